package org.pocketmood.bundle

import java.io.File
import java.util.Random
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.pocketmood.Problem
import org.pocketmood.TinyBundle
import org.pocketmood.problem

class BundleImporterTest {
    @get:Rule val temporary = TemporaryFolder()
    private val home by lazy { temporary.newFolder("home") }
    private val made by lazy { TinyBundle().write(temporary.newFolder("made")) }
    private val importer by lazy { BundleImporter(home, ImportLimits(bytes = 1 shl 20, entries = 20)) }

    private fun import(zip: ByteArray) = importer.import(zip.inputStream())

    private fun refused(zip: ByteArray): Problem {
        val found = problem { import(zip) }
        // A refused zip leaves nothing on the device.
        assertEquals("leftovers", emptyList<String>(), home.list()!!.toList())
        return found
    }

    @Test
    fun keepsWhatThePhoneNeedsAndNoMore() {
        val bundle = import(TinyBundle.zip(made))
        val kept = bundle.folder.walk().filter(File::isFile).map { it.relativeTo(bundle.folder).path }.toSet()
        assertEquals(setOf("bundle.json", "parity.json", "model.int8.pte") + Bundle.GOLDEN, kept)
        assertEquals(listOf(bundle.id), home.list()!!.toList())
        assertArrayEquals(File(made, "model.int8.pte").readBytes(), File(bundle.folder, "model.int8.pte").readBytes())
    }

    @Test
    fun findsABundleAtAnyDepth() = assertEquals("mobilevit_test", import(TinyBundle.zip(made, "runs/demo/bundle/")).name)

    @Test
    fun importingAgainReplaces() {
        val first = import(TinyBundle.zip(made))
        File(first.folder, "model.int8.pte").writeText("broken since")
        val again = import(TinyBundle.zip(made))
        assertEquals(first.id, again.id)
        again.checked("model.int8.pte")
    }

    @Test
    fun aPathThatClimbsOutIsRefused() {
        for (path in listOf("../evil.pte", "golden/../../evil", "/etc/evil")) {
            assertEquals(Problem.UnsafePath(path), refused(TinyBundle.zip(mapOf(path to ByteArray(1)))))
        }
        assertFalse(File(temporary.root, "evil.pte").exists())
    }

    @Test
    fun aPathThatOnlyLooksLikeClimbingIsNot() {
        val files = made.walk().filter(File::isFile).associate { "a/../" + it.relativeTo(made).path to it.readBytes() }
        assertEquals("mobilevit_test", import(TinyBundle.zip(files)).name)
    }

    @Test
    fun aZipBombIsRefusedWhileItUnpacks() {
        val bomb = TinyBundle.zip(mapOf("zeros" to ByteArray(5 shl 20)))
        assertTrue("${bomb.size} bytes", bomb.size < 10_000)
        assertEquals(Problem.TooLarge(1), refused(bomb))
    }

    @Test
    fun manySmallFilesAreRefusedToo() =
        assertEquals(Problem.TooLarge(1), refused(TinyBundle.zip((0..20).associate { "file$it" to ByteArray(0) })))

    @Test
    fun whatIsNoZipIsNoBundle() {
        assertEquals(Problem.NotABundle, refused("no zip at all".toByteArray()))
        assertEquals(Problem.NotABundle, refused(ByteArray(0)))
        assertEquals(Problem.NotABundle, refused(TinyBundle.zip(mapOf("song.mp3" to ByteArray(9)))))
    }

    @Test
    fun aZipCutShortIsRefusedWhereverItIsCut() {
        val random = Random(1)
        // Noise does not compress: every cut goes through a file's bytes.
        val files = mapOf("model.int8.pte" to ByteArray(5000).also(random::nextBytes))
        val zip = TinyBundle.zip(TinyBundle(files).write(temporary.newFolder("noise")))
        for (part in listOf(10, zip.size / 3, zip.size * 3 / 4)) {
            val found = refused(zip.copyOf(part))
            assertTrue("$part: $found", found == Problem.NotABundle || found is Problem.FileMissing || found is Problem.FileDamaged)
        }
    }

    @Test
    fun aChangedProgramIsRefused() {
        File(made, "model.int8.pte").writeText("other bytes")
        assertEquals(Problem.FileDamaged("model.int8.pte"), refused(TinyBundle.zip(made)))
    }

    @Test
    fun aBundleWithoutProgramOrGoldenPairsIsRefused() {
        File(made, "model.int8.pte").delete()
        assertEquals(Problem.FileMissing("*.pte"), refused(TinyBundle.zip(made)))
        val without = TinyBundle(golden = false).write(temporary.newFolder("without"))
        assertEquals(Problem.FileMissing("golden/waveform.f32"), refused(TinyBundle.zip(without)))
    }

    @Test
    fun aFailureLeavesTheBundleBeforeAlone() {
        val bundle = import(TinyBundle.zip(made))
        problem { import("nothing".toByteArray()) }
        bundle.checked("model.int8.pte")
        assertEquals(listOf(bundle.id), home.list()!!.toList())
    }
}
