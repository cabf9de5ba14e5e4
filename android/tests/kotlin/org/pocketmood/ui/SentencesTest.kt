package org.pocketmood.ui

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.pocketmood.Problem
import org.pocketmood.model.Mood
import org.pocketmood.model.Quadrant
import org.pocketmood.session.Run
import org.pocketmood.session.Source
import org.robolectric.annotation.Config

class SentencesTest : ScreenTest() {
    private val problems =
        listOf(
            Problem.MicrophoneNotAllowed, Problem.MicrophoneRevoked, Problem.MicrophoneBusy, Problem.MicrophoneLost,
            Problem.NotMusic("a.txt"), Problem.SoundTooLong("b.mp3", 10.0), Problem.SoundTooShort("c.mp3"), Problem.SoundDamaged("d.mp3"),
            Problem.NoModel, Problem.NotABundle, Problem.OtherSchema(2, 1), Problem.FileMissing("e.pte"), Problem.FileDamaged("f.pte"),
            Problem.ContractBroken("samples", "1", "2"), Problem.NotProven("g.pte"), Problem.UnsafePath("../h"), Problem.TooLarge(256),
            Problem.NoSpace, Problem.SelfTestFailed(.1f, .01f), Problem.NoRuntime, Problem.Unexpected("i"),
        )

    private fun sentences() = problems.map { it.sentence(app.resources) }

    @Test
    fun everyProblemHasASentenceOfItsOwn() {
        // Of every kind of problem one is in the list above.
        assertEquals(problems.size, Problem::class.java.classes.count { Problem::class.java.isAssignableFrom(it) })
        assertEquals(problems.size, sentences().map { it.text }.toSet().size)
        assertEquals(problems.size, sentences().map { it.title }.toSet().size)
        for (sentence in sentences()) {
            assertTrue(sentence.text, sentence.text.endsWith("."))
            assertTrue("says what to do: ${sentence.text}", sentence.text.count { it == '.' || it == ';' || it == ',' } >= 2)
            assertFalse(sentence.text, '%' in sentence.text)
        }
    }

    @Test
    @Config(qualifiers = "de")
    fun everySentenceIsGermanToo() {
        val german = sentences()
        assertEquals(problems.size, german.map { it.text }.toSet().size)
        assertEquals("Das Mikrofon ist belegt", german[2].title)
        assertTrue(german.none { " the " in it.text })
        assertTrue(german[5].text, "10,0 Stunden" in german[5].text)
    }

    @Test
    fun theValueIsNamed() {
        assertTrue(Problem.SoundTooLong("opera.mp3", 10.0).sentence(app.resources).text.startsWith("opera.mp3 plays for 10.0 hours"))
        assertTrue("22050" in Problem.ContractBroken("sample_rate", "16000", "22050").sentence(app.resources).text)
    }

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

    @Test
    fun remediesHaveLabels() = assertEquals(4, Remedy.entries.map { app.getString(it.label) }.toSet().size)
}
