package org.pocketmood.real

import android.Manifest
import android.view.View
import java.util.concurrent.Executor
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import kotlin.math.abs
import kotlin.math.roundToInt
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.pocketmood.R
import org.pocketmood.ShippedFolder
import org.pocketmood.audio.AudioSource
import org.pocketmood.audio.Microphone
import org.pocketmood.bundle.Bundle
import org.pocketmood.model.Emotion
import org.pocketmood.model.ExecuTorchModel
import org.pocketmood.model.Prediction
import org.pocketmood.model.quadrant
import org.pocketmood.session.UiState
import org.pocketmood.session.run
import org.pocketmood.ui.ListenActivity
import org.pocketmood.ui.PlaneView
import org.pocketmood.ui.ScreenTest
import org.pocketmood.ui.Stage
import org.pocketmood.ui.color
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowAudioRecord

/**
 * The whole road: samples in a synthetic microphone -> the AudioRecord loop -> resampler -> ring buffer -> the shipped
 * program -> words and pixels, compared with what Python's runtime predicts for the same bundle.
 */
class MicrophoneToPixelsTest : ScreenTest() {
    private val bundle by lazy { Bundle.open(bundleFolder()) }

    /** Plays 16 bit sound once at the rate asked for, then ends the session by falling silent. */
    private class Tape(private val sound: ShortArray) : ShadowAudioRecord.AudioRecordSource {
        private var position = 0

        override fun readInShortArray(data: ShortArray, offset: Int, size: Int, blocking: Boolean): Int {
            val count = minOf(size, sound.size - position)
            sound.copyInto(data, offset, position, position + count)
            position += count
            if (count == 0) Thread.sleep(5)
            return count
        }
    }

    private fun shorts(sound: FloatArray) = ShortArray(sound.size) { (sound[it] * 32_768).roundToInt().coerceIn(-32_768, 32_767).toShort() }

    /** Lets the app hear [sound] and returns the last prediction on its screen, after drawing it as [name]. */
    private fun hear(sound: FloatArray, microphone: AudioSource, name: String): Prediction {
        HostRuntime.install()
        shadowOf(app).grantPermissions(Manifest.permission.RECORD_AUDIO)
        val tape = Tape(shorts(sound + FloatArray(TAIL))) // the resampler is 3 ms late
        ShadowAudioRecord.setSourceProvider { tape }
        Stage.loader = ExecuTorchModel
        Stage.shipped = ShippedFolder(bundleFolder())
        Stage.source = microphone

        // The source gets a thread, as in the app.
        val threads = Executors.newCachedThreadPool()
        // The predictions themselves are waited for: on a slow machine they would be skipped.
        val listening = Thread.currentThread()
        Stage.background = Executor { if (Thread.currentThread() === listening) threads.execute(it) else it.run() }

        var prediction: Prediction? = null
        open<ListenActivity> {
            waitFor("the model") { app.session.state is UiState.Ready }
            it.get().touch(R.id.listen)
            waitFor("the last prediction") { (app.session.state.run?.moments?.lastOrNull()?.atS ?: 0f) >= 30f }
            prediction = app.session.state.run?.moments?.last()?.prediction
            check(it.get(), checkNotNull(prediction), name)
            it.get().touch(R.id.listen)
        }

        threads.shutdown()
        assertTrue(threads.awaitTermination(10, TimeUnit.SECONDS))
        return checkNotNull(prediction)
    }

    private fun waitFor(what: String, done: () -> Boolean) {
        // A slow machine computes 26 predictions in seconds; a minute means that nothing comes.
        val end = System.nanoTime() + 60_000_000_000
        while (!done()) {
            assertTrue("waited a minute for $what; state ${app.session.state}", System.nanoTime() < end)
            Thread.sleep(10)
            settle()
        }
        settle()
    }

    /** The picture shows the prediction: its numbers as words, and its point in its quadrant's colour. */
    private fun check(activity: ListenActivity, prediction: Prediction, name: String) {
        val picture = shot(activity, name)
        val (valence, arousal) = prediction.emotion
        val words = activity.text(R.id.numbers)
        assertTrue(words, "%+.2f".format(valence) in words && "%+.2f".format(arousal) in words)
        val plane = activity.findViewById<PlaneView>(R.id.plane)
        // The picture is the window's, the point's place the view's.
        val at = IntArray(2).also(plane::getLocationInWindow)
        val pixel = picture.getPixel((at[0] + plane.x(prediction.emotion)).toInt(), (at[1] + plane.y(prediction.emotion)).toInt())
        assertEquals(activity.getColor(prediction.emotion.quadrant.color), pixel)
        assertEquals(View.VISIBLE, activity.findViewById<View>(R.id.hearing).visibility)
    }

    private fun assertNear(expected: FloatArray, found: Emotion, tolerance: Float, what: String) {
        val error = maxOf(abs(expected[0] - found.valence), abs(expected[1] - found.arousal))
        println("$what: screen ${found.valence} ${found.arousal}, Python ${expected[0]} ${expected[1]}, difference $error")
        assertTrue("$what: $error", error <= tolerance)
    }

    @Test
    fun sixteenBitsFromTheMicrophoneChangeLittle() {
        val loudest = reference("loudest.f32")[0].toInt()
        val pair = bundle.golden().elementAt(loudest)
        val prediction = hear(pair.waveform, Microphone(app, rates = listOf(22_050)), "real/microphone-22050")
        val expected = reference("golden.f32").copyOfRange(4 * loudest, 4 * loudest + 4)
        assertNear(expected, prediction.emotion, 2e-3f, "16-bit rounding alone")
    }

    @Test
    fun theMicrophoneAt44100HertzTellsWhatPythonTells() {
        val sound = reference("music44.f32") // soxr: 30 s at 44 100 Hz
        val prediction = hear(sound, Microphone(app), "real/microphone-44100")
        // Python brings the same sound to 22 050 Hz with soxr.
        assertNear(reference("music44-prediction.f32"), prediction.emotion, 2e-3f, "16-bit rounding and resampling")
    }

    private companion object {
        const val TAIL = 4410
    }
}
