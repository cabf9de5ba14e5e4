package org.pocketmood.ui

import android.Manifest
import android.content.Intent
import android.content.res.Configuration
import android.net.Uri
import android.view.View
import android.widget.Button
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.pocketmood.FakeSource
import org.pocketmood.Later
import org.pocketmood.R
import org.pocketmood.ShippedFolder
import org.pocketmood.session.UiState
import org.pocketmood.tone
import org.robolectric.Robolectric
import org.robolectric.Shadows.shadowOf

class ScreensTest : ScreenTest() {
    private fun listened(seconds: Number, work: (ListenActivity) -> Unit) {
        shadowOf(app).grantPermissions(Manifest.permission.RECORD_AUDIO)
        Stage.source = FakeSource(tone(seconds))
        open<ListenActivity> {
            it.get().touch(R.id.listen)
            work(it.get())
        }
    }

    @Test
    fun theMoodIsShownWithItsNumbers() =
        listened(6) {
            assertEquals("happy", it.text(R.id.headline))
            assertEquals("valence +0.50 ± 0.25 · arousal +0.50 ± 0.25", it.text(R.id.numbers))
            assertEquals(it.getColor(R.color.happy_energetic), it.findViewById<android.widget.TextView>(R.id.headline).currentTextColor)
        }

    @Test
    fun aScreenReaderSaysThePoint() =
        listened(6) {
            val spoken = it.findViewById<View>(R.id.plane).contentDescription.toString()
            assertTrue(spoken, spoken.startsWith("The music feels happy: valence +0.50, give or take 0.25, arousal +0.50"))
            assertEquals("Level 6 decibels below full scale", it.findViewById<View>(R.id.meter).contentDescription)
            assertEquals("Timeline with 2 predictions over 0:06", it.findViewById<View>(R.id.timeline).contentDescription)
            assertEquals(View.ACCESSIBILITY_LIVE_REGION_POLITE, it.findViewById<View>(R.id.headline).accessibilityLiveRegion)
        }

    @Test
    fun everythingThatCanBeTouchedIsLargeEnoughAndNamed() =
        listened(6) {
            // Android's own least size of what a finger touches.
            val least = 48 * it.resources.displayMetrics.density
            for (id in listOf(R.id.listen, R.id.open_file, R.id.open_models, R.id.open_details)) {
                val view = it.findViewById<View>(id)
                assertTrue("${view.width} x ${view.height}", view.width >= least && view.height >= least)
                assertTrue((view as? Button)?.text?.isNotEmpty() ?: view.contentDescription.isNotEmpty())
            }
        }

    @Test
    fun thePointLiesWhereItBelongs() =
        listened(6) { activity ->
            val picture = shot(activity, "test/point")
            val plane = activity.findViewById<PlaneView>(R.id.plane)
            val at = IntArray(2).also(plane::getLocationInWindow)
            val emotion = org.pocketmood.model.Emotion(.5f, .5f)
            val color = picture.getPixel((at[0] + plane.x(emotion)).toInt(), (at[1] + plane.y(emotion)).toInt())
            assertEquals(activity.getColor(R.color.happy_energetic), color)
            val opposite = org.pocketmood.model.Emotion(-.5f, -.5f)
            val elsewhere = picture.getPixel((at[0] + plane.x(opposite)).toInt(), (at[1] + plane.y(opposite)).toInt())
            assertFalse(elsewhere == color)
        }

    @Test
    fun silenceIsSaid() {
        shadowOf(app).grantPermissions(Manifest.permission.RECORD_AUDIO)
        Stage.source = FakeSource(tone(6, value = 0f))
        open<ListenActivity> {
            it.get().touch(R.id.listen)
            assertEquals("Silence", it.get().text(R.id.headline))
        }
    }

    @Test
    fun thePictureSurvivesRotation() =
        Robolectric.buildActivity(ListenActivity::class.java).use { controller ->
            shadowOf(app).grantPermissions(Manifest.permission.RECORD_AUDIO)
            Stage.source = FakeSource(tone(6))
            controller.setup()
            settle()
            val before = controller.get()
            before.touch(R.id.listen)
            // A rotation destroys the activity and makes another.
            val turned = Configuration(app.resources.configuration).apply { orientation = Configuration.ORIENTATION_LANDSCAPE }
            controller.configurationChange(turned)
            settle()
            assertFalse(before === controller.get())
            assertEquals("happy", controller.get().text(R.id.headline))
        }

    @Test
    fun theMicrophoneStopsWhenTheScreenGoes() {
        shadowOf(app).grantPermissions(Manifest.permission.RECORD_AUDIO)
        val later = Later()
        Stage.background = later
        val source = FakeSource(tone(60))
        Stage.source = source
        open<ListenActivity> {
            later.runAll()
            settle()
            it.get().touch(R.id.listen)
            assertEquals("Stop", it.get().text(R.id.listen))
            it.pause().stop()
            assertTrue(source.stopped)
        }
    }

    @Test
    fun sharedMusicIsHeard() {
        Stage.source = FakeSource(tone(6), seconds = 6.0)
        val shared = Intent(Intent.ACTION_SEND).setType("audio/mpeg").putExtra(Intent.EXTRA_STREAM, Uri.parse("content://music/song.mp3"))
        Robolectric.buildActivity(ListenActivity::class.java, shared).use {
            it.setup()
            settle()
            assertEquals("song.mp3 · 0:06 of 0:06", it.get().text(R.id.source))
        }
    }

    @Test
    fun buttonsWaitForAModel() {
        Stage.shipped = ShippedFolder(null)
        open<ListenActivity> {
            assertFalse(it.get().findViewById<View>(R.id.listen).isEnabled)
            assertEquals("No model yet", it.get().text(R.id.headline))
        }
    }

    @Test
    fun detailsTellTheSelfTestAndTheModel() =
        open<DetailsActivity> {
            val words = it.get().words()
            val interval = "What ± means\nOf 100 songs, 68 have a mean rating this near to the point"
            val result = "Largest difference 0.00000 over 2 pairs, 0.00800 allowed"
            for (part in listOf("Self-test: Passed", result, interval, "mobilevit_test", "30 s at 1000 Hz", "FakeBackend")) {
                assertTrue("$part in $words", part in words)
            }
            it.get().touch(R.id.page_button)
            assertTrue("Self-test: Passed" in it.get().words())
        }

    @Test
    fun detailsTellAnotherProblemOnACardOfItsOwn() =
        open<DetailsActivity> {
            app.session.import { "no zip".byteInputStream() }
            settle()
            val words = it.get().words()
            assertTrue(words, "This is no bundle\n" in words && "Self-test: Passed\nLargest difference" in words)
        }

    @Test
    fun modelsAreListedAndOneIsInUse() =
        open<ModelsActivity> {
            assertTrue(it.get().words(), "mobilevit_test · in use" in it.get().words())
            it.get().touch(R.id.card_second)
            assertTrue(app.session.state is UiState.Failed)
            assertTrue("No model yet" in it.get().words())
        }
}
