package org.pocketmood.ui

import org.junit.Assert.assertEquals
import org.junit.Test
import org.pocketmood.model.Mood
import org.pocketmood.model.Quadrant
import org.pocketmood.session.Run
import org.pocketmood.session.Source

class LabelsTest : ScreenTest() {
    @Test
    fun wordsAreThoseOfPython() {
        // pocketmood.emotion's words and quadrants; a Python test compares the lists.
        val moods = Mood.entries.joinToString(" ") { app.getString(it.label) }
        assertEquals("pleased happy excited tense distressed sad sleepy relaxed neutral", moods)
        val quadrants = Quadrant.entries.joinToString(" ") { app.getString(it.label).replace('\n', '-') }
        assertEquals("happy-energetic angry-tense sad-calm content-relaxed", quadrants)
    }

    @Test
    fun aClockCountsMinutesAndHours() = assertEquals(listOf("0:05", "2:05", "1:00:01"), listOf(5.9f, 125f, 3601f).map(::clock))

    @Test
    fun theSourceIsNamed() {
        assertEquals("microphone · 0:07", app.resources.sourceOf(Run(Source.Microphone, heardS = 7f)))
        assertEquals("a.mp3 · 1:00 of 3:00", app.resources.sourceOf(Run(Source.File("a.mp3"), lengthS = 180f, heardS = 60f)))
    }
}
