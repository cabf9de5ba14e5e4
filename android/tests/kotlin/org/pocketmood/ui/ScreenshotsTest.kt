package org.pocketmood.ui

import android.Manifest
import android.app.Activity
import android.graphics.Bitmap
import kotlin.math.cos
import kotlin.math.sin
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.pocketmood.FakeModel
import org.pocketmood.FakeSource
import org.pocketmood.Problem
import org.pocketmood.R
import org.pocketmood.RATE
import org.pocketmood.SAMPLES
import org.pocketmood.TinyBundle
import org.pocketmood.contract
import org.pocketmood.loaderOf
import org.pocketmood.prediction
import org.pocketmood.session.Source
import org.pocketmood.session.run
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf

/** A picture of every screen, in both themes, on a phone and on a tablet; people look at them, and README.md shows some. */
class ScreenshotsTest : ScreenTest() {
    private val phone = "w411dp-h891dp-xhdpi"
    private val tablet = "w1280dp-h800dp-land-hdpi"

    /** A minute and a half that begins sad, turns tense, and ends happy. */
    private fun wandering(): FakeModel {
        var step = 0
        val labels = "simulated raters on rendered music; fix: none; synthetic labels"
        return FakeModel(contract.copy(labels = labels, exporter = "pocketmood 0.2.0")) { waveform ->
            if (step == 0 && waveform[0] == 0f) return@FakeModel FakeModel.newest(waveform) // the self-test
            val t = step++ / 85.0
            val (valence, arousal) = .62 * cos(3.9 - 4.0 * t) + .06 * sin(40 * t) to .6 * sin(3.9 - 4.0 * t) + .05 * cos(33 * t)
            prediction(valence.toFloat(), arousal.toFloat(), .22f)
        }
    }

    private fun chunks(seconds: Int) = generateSequence { FloatArray(RATE / 10) { i -> .2f + .1f * (i % 7) / 7 } }.take(seconds * 10)

    private fun everywhere(name: String, work: (String) -> Unit) {
        for ((device, size) in listOf("phone" to phone, "tablet" to tablet)) {
            for ((theme, night) in listOf("light" to "notnight", "dark" to "night")) {
                val (first, density) = size.substringBeforeLast('-') to size.substringAfterLast('-')
                RuntimeEnvironment.setQualifiers("$first-$night-$density")
                work("$name-$theme-$device")
            }
        }
    }

    /** Something is drawn everywhere that matters: many colours, and the background where nothing is. */
    private fun keep(activity: Activity, name: String): Bitmap {
        val picture = shot(activity, name)
        val colors = HashSet<Int>()
        // A sample is enough to tell a screen from an empty one.
        for (y in 0 until picture.height step 5) for (x in 0 until picture.width step 5) colors += picture.getPixel(x, y)
        assertTrue("$name: ${colors.size} colours", colors.size > 20)
        assertEquals(name, activity.getColor(R.color.background), picture.getPixel(2, picture.height / 2))
        assertNothingIsCut(activity, name)
        return picture
    }

    /** No text is wider or higher than its view, but for file and model names, which end in dots. */
    private fun assertNothingIsCut(activity: Activity, name: String) {
        fun look(view: android.view.View) {
            if (view.visibility != android.view.View.VISIBLE) return
            if (view is android.widget.TextView && view.text.isNotEmpty() && view.layout != null && view.ellipsize == null) {
                val room = view.height - view.compoundPaddingTop - view.compoundPaddingBottom
                assertTrue("$name: \"${view.text}\" needs ${view.layout.height} of $room", view.layout.height <= room)
                val widest = (0 until view.layout.lineCount).maxOf(view.layout::getLineMax)
                assertTrue("$name: \"${view.text}\" needs $widest of ${view.width}", widest <= view.width + 1f)
            }
            if (view is android.view.ViewGroup) (0 until view.childCount).forEach { look(view.getChildAt(it)) }
        }
        look(activity.window.decorView)
    }

    @Test
    fun listening() = everywhere("listening") { live(it) }

    private fun live(name: String) {
        dressed(wandering())
        shadowOf(app).grantPermissions(Manifest.permission.RECORD_AUDIO)
        app.session.start()
        // Still listening: the picture is taken from within the source.
        app.session.listen(Source.Microphone, FakeSource(chunks(90) + generateSequence { picture(name) }.take(1)))
        assertEquals("the picture was taken while listening", 86, app.session.state.run?.moments?.size)
    }

    private fun picture(name: String): FloatArray {
        open<ListenActivity> { keep(it.get(), name) }
        return FloatArray(1)
    }

    /** Pictures of a screen with a model in service, after [first] has happened. */
    private inline fun <reified A : Activity> pictures(name: String, crossinline first: () -> Unit = {}) =
        everywhere(name) { where ->
            dressed(wandering())
            first()
            open<A> { keep(it.get(), where) }
        }

    @Test
    fun file() =
        pictures<ListenActivity>("file") {
            app.session.listen(Source.File("Goldberg Variations - Aria.flac"), FakeSource(chunks(240), seconds = 240.0))
        }

    @Test
    fun ready() = pictures<ListenActivity>("ready")

    @Test
    fun problem() = pictures<ListenActivity>("problem") { app.session.fail(Problem.MicrophoneBusy) }

    @Test
    fun details() = pictures<DetailsActivity>("details")

    @Test
    fun models() =
        pictures<ModelsActivity>("models") {
            val programs = mapOf("model.int8.pte" to ByteArray(43_677) { 1 }, "model.fp32.pte" to ByteArray(57_623) { 2 })
            val more = TinyBundle(programs, name = "mobilevit_s").write(temporary.newFolder())
            app.session.import { TinyBundle.zip(more).inputStream() }
        }

    @Test
    fun landscapeOnAPhone() {
        RuntimeEnvironment.setQualifiers("w891dp-h411dp-land-notnight-xhdpi")
        live("landscape")
    }

    @Test
    fun largeFontsInGerman() {
        RuntimeEnvironment.setQualifiers("de-w411dp-h891dp-night-xhdpi")
        // German words and large letters need the most room.
        RuntimeEnvironment.setFontScale(1.6f)
        live("large-german")
        app.session.fail(Problem.UnsafePath("../../evil.pte"))
        open<ListenActivity> { keep(it.get(), "large-german-problem") }
        open<DetailsActivity> { keep(it.get(), "large-german-details") }
    }

    @Test
    fun selfTestFailed() {
        dressed(FakeModel { prediction(.9f, .9f) })
        open<DetailsActivity> {
            keep(it.get(), "self-test-failed")
            assertTrue(it.get().words(), "Self-test: Failed" in it.get().words())
            assertTrue(it.get().words(), "is 1.1000 away from that of PyTorch, and 0.0080 is allowed" in it.get().words())
            Stage.loader = loaderOf(FakeModel()) // as if the device had been mended
            it.get().touch(R.id.page_button)
            assertTrue(it.get().words(), "Self-test: Passed" in it.get().words())
        }
    }

    /** The same process draws many screens: each begins with its own model. */
    private fun dressed(model: FakeModel) {
        check(model.contract.samples == SAMPLES)
        Stage.loader = loaderOf(model)
        app.session.restart()
    }
}
