package org.pocketmood.ui

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.pocketmood.Problem
import org.robolectric.annotation.Config

class ErrorMessagesTest : ScreenTest() {
    private val problems =
        listOf(
            Problem.MicrophoneNotAllowed, Problem.MicrophoneRevoked, Problem.MicrophoneBusy, Problem.MicrophoneLost,
            Problem.NotMusic("a.txt"), Problem.SoundTooLong("b.mp3", 10.0), Problem.SoundTooShort("c.mp3"), Problem.SoundDamaged("d.mp3"),
            Problem.NoModel, Problem.NotABundle, Problem.OlderSchema(1, 2), Problem.OtherSchema(3, 2), Problem.FileMissing("e.pte"),
            Problem.FileDamaged("f.pte"), Problem.ContractBroken("samples", "1", "2"), Problem.NotProven("g.pte"),
            Problem.UnsafePath("../h"), Problem.TooLarge(256), Problem.NoSpace, Problem.SelfTestFailed(.1f, .01f),
            Problem.NoRuntime, Problem.Unexpected("i"),
        )

    private fun messages() = problems.map { it.message(app.resources) }

    @Test
    fun everyProblemHasAMessageOfItsOwn() {
        // Of every kind of problem one is in the list above.
        assertEquals(problems.size, Problem::class.java.classes.count { Problem::class.java.isAssignableFrom(it) })
        assertEquals(problems.size, messages().map { it.text }.toSet().size)
        assertEquals(problems.size, messages().map { it.title }.toSet().size)
        for (message in messages()) {
            assertTrue(message.text, message.text.endsWith("."))
            assertTrue("says what to do: ${message.text}", message.text.count { it == '.' || it == ';' || it == ',' } >= 2)
            assertFalse(message.text, '%' in message.text)
        }
    }

    @Test
    @Config(qualifiers = "de")
    fun everyMessageIsGermanToo() {
        val german = messages()
        assertEquals(problems.size, german.map { it.text }.toSet().size)
        assertEquals("Das Mikrofon ist belegt", german[2].title)
        assertTrue(german.none { " the " in it.text })
        assertTrue(german[5].text, "10,0 Stunden" in german[5].text)
    }

    @Test
    fun theValueIsNamed() {
        assertTrue(Problem.SoundTooLong("opera.mp3", 10.0).message(app.resources).text.startsWith("opera.mp3 plays for 10.0 hours"))
        assertTrue("22050" in Problem.ContractBroken("sample_rate", "16000", "22050").message(app.resources).text)
    }

    @Test
    fun remediesHaveLabels() = assertEquals(4, Remedy.entries.map { app.getString(it.label) }.toSet().size)
}
