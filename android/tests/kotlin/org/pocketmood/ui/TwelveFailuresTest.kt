package org.pocketmood.ui

import android.Manifest
import android.app.Activity
import android.content.Intent
import android.media.MediaFormat
import android.net.Uri
import java.io.ByteArrayInputStream
import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.pocketmood.FakeModel
import org.pocketmood.Later
import org.pocketmood.PocketmoodException
import org.pocketmood.Problem
import org.pocketmood.R
import org.pocketmood.ShippedFolder
import org.pocketmood.TinyBundle
import org.pocketmood.contract
import org.pocketmood.loaderOf
import org.pocketmood.model.ModelLoader
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.shadows.ShadowAudioRecord
import org.robolectric.shadows.ShadowMediaExtractor
import org.robolectric.shadows.util.DataSource

/** Twelve ways of failing, each with the message that the user reads. */
class TwelveFailuresTest : ScreenTest() {
    private fun allow() = shadowOf(app).grantPermissions(Manifest.permission.RECORD_AUDIO)

    /** Opens the app, does [first], and returns what stands on the screen. */
    private fun message(first: (ListenActivity) -> Unit = {}): String {
        var shown = ""
        open<ListenActivity> {
            first(it.get())
            settle()
            shown = it.get().text(R.id.headline) + ": " + it.get().text(R.id.numbers)
        }
        return shown
    }

    /** Opens a zip from the file picker of the models screen; returns what stands there afterwards. */
    private fun import(zip: ByteArray): String {
        val uri = Uri.parse("content://files/bundle.zip")
        shadowOf(app.contentResolver).registerInputStream(uri, ByteArrayInputStream(zip))
        var shown = ""
        open<ModelsActivity> {
            val activity = it.get()
            activity.touch(R.id.page_button)
            val asked = shadowOf(activity).nextStartedActivityForResult.intent
            shadowOf(activity).receiveResult(asked, Activity.RESULT_OK, Intent().setData(uri))
            settle()
            shown = activity.words()
        }
        return shown
    }

    private fun openMusic(activity: ListenActivity, uri: Uri) {
        activity.touch(R.id.open_file)
        val asked = shadowOf(activity).nextStartedActivityForResult.intent
        shadowOf(activity).receiveResult(asked, Activity.RESULT_OK, Intent().setData(uri))
    }

    @Test
    fun `1 no permission`() {
        val shown = message {
            it.touch(R.id.listen)
            assertEquals(listOf(Manifest.permission.RECORD_AUDIO), shadowOf(it).lastRequestedPermission.requestedPermissions.toList())
            it.onRequestPermissionsResult(1, arrayOf(Manifest.permission.RECORD_AUDIO), intArrayOf(-1))
        }
        assertEquals(
            "The microphone is not allowed: pocketmood hears music through the microphone, and nothing leaves this device. " +
                "Allow it, or open a music file instead.",
            shown,
        )
    }

    @Test
    fun `2 permission revoked while running`() {
        allow()
        // After two seconds of sound, before the first prediction.
        val revoke = { count: Int -> if (count == 20) shadowOf(app).denyPermissions(Manifest.permission.RECORD_AUDIO) }
        val source = record(revoke)
        ShadowAudioRecord.setSourceProvider { source }
        val shown = message { it.touch(R.id.listen) }
        assertTrue(shown, shown.startsWith("The microphone was taken away: The permission was withdrawn while listening. Allow it again"))
    }

    @Test
    @Config(shadows = [BusyAudioRecord::class])
    fun `3 microphone busy`() {
        allow()
        val shown = message { it.touch(R.id.listen) }
        assertEquals("The microphone is busy: Another app is using it, perhaps a call or a recorder. Close that app and try again.", shown)
    }

    @Test
    fun `4 damaged program`() {
        message() // installs the shipped bundle
        val installed = File(app.filesDir, "models").listFiles()!!.single { it.isDirectory }
        File(installed, "model.int8.pte").writeText("not what was exported")
        app.session.restart()
        val shown = message()
        assertTrue(shown, shown.startsWith("The model is damaged: model.int8.pte is not as it was exported: truncated, or changed"))
    }

    @Test
    fun `4b program that the runtime cannot load`() {
        Stage.loader = ModelLoader { throw PocketmoodException(Problem.FileDamaged(it.name)) }
        assertTrue(message().startsWith("The model is damaged: model.int8.pte"))
    }

    @Test
    fun `5 wrong schema`() {
        val newer = TinyBundle(schema = 9).write(temporary.newFolder("newer"))
        val shown = import(TinyBundle.zip(newer))
        assertTrue(shown, "It has schema 9, and this app reads schema 2. Export it again, or install the app that fits." in shown)
    }

    @Test
    fun `5b a bundle of an older version`() {
        val older = TinyBundle(schema = 1).write(temporary.newFolder("older"))
        val shown = import(TinyBundle.zip(older))
        val made = "An older version made it (schema 1; this app reads 2), and its outputs have other names."
        assertTrue(shown, "This bundle is too old\n$made Export it again with make export, and import the new zip." in shown)
    }

    @Test
    fun `6 wrong sample rate in the program`() {
        Stage.loader = loaderOf(FakeModel(contract.copy(sampleRate = 16_000)))
        assertEquals(
            "Program and bundle do not fit: The program says sample_rate = 16000, its bundle says 1000. Export the bundle again.",
            message(),
        )
    }

    @Test
    fun `7 truncated asset`() {
        val folder = TinyBundle().write(temporary.newFolder("cut"))
        File(folder, "golden/waveform.f32").run { writeBytes(readBytes().copyOf(1000)) }
        Stage.shipped = ShippedFolder(folder)
        val shown = message()
        assertTrue(shown, shown.startsWith("The model is damaged: golden/waveform.f32 is not as it was exported: truncated"))
    }

    @Test
    fun `8 zip that climbs out`() {
        val shown = import(TinyBundle.zip(mapOf("../outside.pte" to ByteArray(4))))
        assertTrue(shown, "It wants to write outside of its folder (../outside.pte). Nothing was imported" in shown)
    }

    @Test
    fun `9 huge zip`() {
        // One more than is allowed, and not one byte.
        val shown = import(TinyBundle.zip((0..1000).associate { "file$it" to ByteArray(0) }))
        assertTrue(shown, "Unpacked it takes more than 256 MB or a thousand files, and no bundle does. Nothing was imported" in shown)
    }

    @Test
    fun `10 no music`() {
        val uri = Uri.parse("content://files/letter.pdf")
        ShadowMediaExtractor.addTrack(DataSource.toDataSource(app, uri, null), format("text/plain", 60), ByteArray(4))
        val shown = message { openMusic(it, uri) }
        assertEquals(
            "This is no music: letter.pdf holds no sound that this device can decode. Open an MP3, AAC, Ogg, FLAC or WAV file.",
            shown,
        )
    }

    @Test
    fun `11 ten hours`() {
        val uri = Uri.parse("content://files/rain.mp3")
        ShadowMediaExtractor.addTrack(DataSource.toDataSource(app, uri, null), format("audio/mpeg", 36_000), ByteArray(4))
        val shown = message { openMusic(it, uri) }
        assertEquals("This is too long: rain.mp3 plays for 10.0 hours; up to 4 hours are read. Cut it into pieces first.", shown)
    }

    @Test
    fun `12 rotation while loading`() {
        val later = Later()
        Stage.background = later
        open<ListenActivity> {
            assertEquals("Loading the model …", it.get().text(R.id.headline))
            it.configurationChange(android.content.res.Configuration(app.resources.configuration).apply { orientation = 2 })
            settle()
            assertEquals("Loading the model …", it.get().text(R.id.headline))
            assertEquals("one task for both activities", 1, later.size)
            later.runAll()
            settle()
            assertEquals("How does it feel?", it.get().text(R.id.headline))
        }
    }

    @Test
    fun `the button below a problem leads on`() {
        Stage.loader = loaderOf(FakeModel(contract.copy(samples = 1)))
        open<ListenActivity> {
            assertEquals("Choose a model", it.get().text(R.id.remedy))
            it.get().touch(R.id.remedy)
            assertEquals(ModelsActivity::class.java.name, shadowOf(it.get()).nextStartedActivity.component?.className)
            assertNull(shadowOf(it.get()).nextStartedActivity)
        }
    }

    private fun format(kind: String, seconds: Long) =
        MediaFormat.createAudioFormat(kind, 44_100, 2).apply { setLong(MediaFormat.KEY_DURATION, seconds * 1_000_000) }

    private fun record(each: (Int) -> Unit) =
        object : ShadowAudioRecord.AudioRecordSource {
            private var count = 0

            override fun readInShortArray(data: ShortArray, offset: Int, size: Int, blocking: Boolean): Int {
                each(count++)
                data.fill(1000, offset, offset + size)
                return size
            }
        }
}
