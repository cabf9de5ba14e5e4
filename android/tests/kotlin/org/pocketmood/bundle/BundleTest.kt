package org.pocketmood.bundle

import java.io.File
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.pocketmood.FakeModel
import org.pocketmood.Problem
import org.pocketmood.RATE
import org.pocketmood.SAMPLES
import org.pocketmood.TinyBundle
import org.pocketmood.contract
import org.pocketmood.model.SelfTestResult
import org.pocketmood.model.selfTest
import org.pocketmood.problem

class BundleTest {
    @get:Rule val temporary = TemporaryFolder()
    private val folder get() = File(temporary.root, "bundle")
    private val home get() = File(temporary.root, "home")

    private val two = mapOf("model.fp32.pte" to ByteArray(2000) { 32 }, "model.int8.pte" to ByteArray(1000) { 8 })

    @Test
    fun saysWhatItHolds() {
        val bundle = Bundle.open(TinyBundle(two).write(folder))
        assertEquals("mobilevit_test", bundle.name)
        assertEquals(RATE, bundle.sampleRate)
        assertEquals(SAMPLES, bundle.samples)
        assertEquals(listOf("model.int8.pte", "model.fp32.pte"), bundle.programs.map { it.file })
    }

    @Test
    fun everyProgramHasTheToleranceOfItsRecord() {
        val tolerances = Bundle.open(TinyBundle(two).write(folder)).programs.associate { it.file to it.tolerance }
        assertEquals(.008f, tolerances.getValue("model.int8.pte"), 1e-7f)
        assertEquals(.005f, tolerances.getValue("model.fp32.pte"), 1e-7f)
    }

    @Test
    fun aChangedToleranceChangesTheVerdict() {
        // The first golden pair is .006 away from what the model predicts.
        fun verdict(tolerance: Double): Boolean {
            val made = TinyBundle(goldenValence = .306f, tolerance = mapOf("model.int8.pte" to tolerance))
            val bundle = Bundle.open(made.write(File(folder, "$tolerance")))
            return selfTest(FakeModel(), bundle.golden(), bundle.programs.single().tolerance) { 0 }.passed
        }
        assertTrue(verdict(.007))
        assertFalse(verdict(.005))
    }

    @Test
    fun aRecordWithoutToleranceIsDamaged() {
        TinyBundle(tolerance = emptyMap()).write(folder)
        assertEquals(Problem.FileDamaged("parity.json"), problem { Bundle.open(folder) })
    }

    @Test
    fun theRecordOfWhatIsNoProgramNeedsNone() {
        TinyBundle().write(folder)
        val records = JSONArray(File(folder, "parity.json").readText())
        records.put(JSONObject(mapOf("artefact" to "model.mlpackage", "verdict" to "failed", "reason" to "could not be made")))
        File(folder, "parity.json").writeText("$records")
        assertEquals(.008f, Bundle.open(folder).programs.single().tolerance, 1e-7f)
    }

    @Test
    fun whatWasLeftOutIsNoProgramAndWhatCannotBeToldIsOne() {
        TinyBundle().write(folder)
        val about = JSONObject(File(folder, "bundle.json").readText())
        about.put("left_out", JSONObject(mapOf("model.fp32.pte" to "no such operator")))
        about.put("warnings", JSONArray(listOf("data: synthetic labels")))
        File(folder, "bundle.json").writeText("$about")
        val records = JSONArray(File(folder, "parity.json").readText())
        records.getJSONObject(0).put("ccc_verdict", "cannot be told")
        File(folder, "parity.json").writeText("$records")
        assertEquals(listOf("model.int8.pte"), Bundle.open(folder).programs.map { it.file })
    }

    @Test
    fun readsItsGoldenPairs() {
        val pairs = Bundle.open(TinyBundle().write(folder)).golden().toList()
        assertEquals(listOf(.3f, -.2f), pairs.map { it.prediction.emotion.valence })
        assertArrayEquals(FloatArray(SAMPLES).also { it[SAMPLES - 1] = .3f }, pairs[0].waveform, 0f)
    }

    @Test
    fun goldenPairsOfAnotherLengthAreRefused() {
        val bundle = Bundle.open(TinyBundle().write(folder))
        File(folder, "golden/waveform.f32").appendBytes(ByteArray(4))
        assertEquals(Problem.FileDamaged("golden/waveform.f32"), problem { bundle.golden() })
    }

    @Test
    fun anotherSchemaIsNamed() {
        TinyBundle(schema = 3).write(folder)
        assertEquals(Problem.OtherSchema(3, 2), problem { Bundle.open(folder) })
        File(folder, "bundle.json").writeText("{}")
        assertEquals(Problem.OtherSchema(-1, 2), problem { Bundle.open(folder) })
    }

    @Test
    fun anOlderSchemaIsNamedWhateverElseIsMissing() {
        folder.mkdirs()
        File(folder, "bundle.json").writeText("{\"schema\": 1}")
        assertEquals(Problem.OlderSchema(1, 2), problem { Bundle.open(folder) })
    }

    @Test
    fun whatFailedItsGateIsRefused() {
        TinyBundle(verdict = "failed").write(folder)
        assertEquals(Problem.NotProven("model.int8.pte"), problem { Bundle.open(folder) })
    }

    @Test
    fun aDamagedRecordIsNamed() {
        TinyBundle().write(folder)
        File(folder, "parity.json").writeText("[")
        assertEquals(Problem.FileDamaged("parity.json"), problem { Bundle.open(folder) })
        File(folder, "parity.json").delete()
        assertEquals(Problem.FileMissing("parity.json"), problem { Bundle.open(folder) })
        File(folder, "bundle.json").writeText("{\"schema\": 2}")
        File(folder, "parity.json").writeText("[]")
        assertEquals(Problem.FileDamaged("bundle.json"), problem { Bundle.open(folder) })
        File(folder, "bundle.json").writeText("no json")
        assertEquals(Problem.NotABundle, problem { Bundle.open(folder) })
    }

    @Test
    fun everyConstantOfTheProgramIsCompared() {
        val bundle = Bundle.open(TinyBundle().write(folder))
        bundle.check(contract)
        assertEquals(Problem.OtherSchema(7, 2), problem { bundle.check(contract.copy(schema = 7)) })
        assertEquals(Problem.OlderSchema(1, 2), problem { bundle.check(contract.copy(schema = 1)) })
        assertEquals(Problem.ContractBroken("sample_rate", "16000", "1000"), problem { bundle.check(contract.copy(sampleRate = 16_000)) })
        assertEquals(Problem.ContractBroken("samples", "5", "30000"), problem { bundle.check(contract.copy(samples = 5)) })
        assertEquals(Problem.ContractBroken("mel_hash", "x", "0123456789abcdef"), problem { bundle.check(contract.copy(melHash = "x")) })
    }

    @Test
    fun aHashIsSha256() {
        // The published digest of "abc" (FIPS 180-4).
        val digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        assertEquals(digest, sha256("abc".byteInputStream()))
    }

    @Test
    fun theStoreRemembersChoiceAndSelfTest() {
        val store = BundleStore(home)
        // Nothing was imported yet.
        assertNull(store.chosen())
        val made = TinyBundle(two).write(temporary.newFolder("made"))
        val bundle = BundleImporter(home).import(TinyBundle.zip(made).inputStream())
        assertEquals(listOf("int8", "fp32"), store.entries().map { it.precision })
        assertEquals("int8", store.chosen()?.precision)
        store.choose("${bundle.id}/model.fp32.pte")
        val chosen = checkNotNull(store.chosen())
        assertEquals("fp32", chosen.precision)
        assertNull(store.selfTest(chosen))
        val passed = SelfTestResult(2, .001f, .005f, 10f)
        store.keep(chosen, passed)
        assertEquals(passed, store.selfTest(chosen))
        // A failure must not be remembered as a pass.
        store.keep(chosen, passed.copy(difference = 1f))
        assertNull(store.selfTest(chosen))
    }

    @Test
    fun aChosenBundleThatBrokeIsNamed() {
        val made = TinyBundle().write(temporary.newFolder("made"))
        val bundle = BundleImporter(home).import(TinyBundle.zip(made).inputStream())
        val store = BundleStore(home)
        store.choose("${bundle.id}/model.int8.pte")
        File(bundle.folder, "model.int8.pte").delete()
        assertEquals(Problem.FileMissing("model.int8.pte"), problem { store.chosen() })
        File(bundle.folder, "bundle.json").writeText("?")
        assertEquals(Problem.NotABundle, problem { store.chosen() })
    }

    @Test
    fun bundlesAreToldApartByWhatTheyHold() {
        val one = Bundle.open(TinyBundle().write(File(folder, "a")))
        val other = Bundle.open(TinyBundle(two).write(File(folder, "b")))
        assertNotEquals(one.id, other.id)
        // The same files elsewhere are the same bundle.
        assertEquals(one.id, Bundle.open(TinyBundle().write(File(folder, "c"))).id)
    }
}
