package org.pocketmood.session

import java.util.concurrent.Executor
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.pocketmood.FakeModel
import org.pocketmood.FakeSource
import org.pocketmood.Later
import org.pocketmood.RATE
import org.pocketmood.SAMPLES
import org.pocketmood.tone

class InferenceLoopTest {
    private val model = FakeModel()
    private val states = mutableListOf<Run>()
    private val now = Executor(Runnable::run)

    private fun hear(source: FakeSource, what: Source = Source.Microphone, executor: Executor = now): Run {
        source.deliver(InferenceLoop(model, Run(what), executor, { 0L }, states::add))
        return states.last()
    }

    private fun felt() = states.flatMap { it.moments }.map { it.atS }.distinct()

    @Test
    fun theFirstPredictionComesAfterFiveSecondsAndThenOneEverySecond() {
        hear(FakeSource(tone(8.05)))
        assertEquals(listOf(5f, 6f, 7f, 8f), felt())
    }

    @Test
    fun beforeThatItShowsHowLongItTakes() {
        hear(FakeSource(tone(2)))
        val impression = states.last().impression as Impression.Gathering
        assertEquals(3f, impression.secondsLeft, .11f)
        assertTrue(model.heard.isEmpty())
    }

    @Test
    fun littleSoundIsRepeatedToLength() {
        hear(FakeSource(sequenceOf(FloatArray(5 * RATE) { it / (5f * RATE) })))
        val waveform = model.heard.single()
        assertEquals(SAMPLES, waveform.size)
        assertArrayEquals(waveform.copyOfRange(0, 5 * RATE), waveform.copyOfRange(5 * RATE, 10 * RATE), 0f)
    }

    @Test
    fun theModelHearsTheNewestThirtySeconds() {
        // One chunk of 40 s: predictions fall within it, and each sees only what was before it.
        hear(FakeSource(sequenceOf(FloatArray(40 * RATE) { it / (40f * RATE) })))
        val last = model.heard.last()
        assertEquals(.25f, last.first(), 1e-4f) // 10 of 40 s
        assertEquals(1f, last.last(), 1e-4f)
    }

    @Test
    fun silenceIsShownAndNotScored() {
        hear(FakeSource(tone(6) + tone(5, value = 0f)))
        assertEquals(Impression.Silence, states.last().impression)
        assertEquals(listOf(5f, 6f, 7f, 8f), felt()) // three seconds of silence, then no more predictions
    }

    @Test
    fun aSlowModelSkipsPredictionsOfTheMicrophone() {
        // A model that computes for as long as the music plays.
        val later = Later()
        hear(FakeSource(tone(9)), executor = later)
        assertEquals(1, later.size) // one is on its way, four were skipped
        later.runAll()
        assertEquals(listOf(5f), felt())
    }

    @Test
    fun aFileGetsAllItsPredictionsFiveSecondsApart() {
        hear(FakeSource(tone(21), seconds = 21.0), Source.File("song"), Later())
        assertEquals(listOf(5f, 10f, 15f, 20f), felt())
        assertEquals(21f, states.last().lengthS)
    }

    @Test
    fun aLongFileGetsNoMoreThan120Predictions() {
        // One every 30 s instead of every 5 s.
        hear(FakeSource(tone(3600), seconds = 3600.0), Source.File("opera"))
        assertEquals(120, model.heard.size)
    }

    @Test
    fun aShortFileIsPredictedNearItsEnd() {
        // At nine tenths: decoders may end a little early.
        hear(FakeSource(tone(2), seconds = 2.0), Source.File("jingle"))
        assertEquals(listOf(1.8f), felt())
    }

    @Test
    fun anotherRateIsResampled() {
        hear(FakeSource(tone(6, rate = 2 * RATE), rate = 2 * RATE))
        assertEquals(.5f, model.heard.last()[3 * RATE], 1e-3f)
        assertEquals(listOf(5f), felt().take(1))
    }

    @Test
    fun aFailingModelEndsTheRun() {
        val broken = FakeModel { throw IllegalStateException("out of order") }
        val loop = InferenceLoop(broken, Run(Source.Microphone), now, { 0L }, states::add)
        val error = assertThrows(IllegalStateException::class.java) { FakeSource(tone(7)).deliver(loop) }
        assertEquals("out of order", error.message)
    }

    @Test
    fun theScreenIsNotFloodedByAFile() {
        hear(FakeSource(tone(60), seconds = 60.0), Source.File("song"))
        assertTrue("${states.size} states", states.size < 80) // 600 chunks
    }

    @Test
    fun latencyIsTheMedian() {
        val ticks = listOf(0L, 4_000_000, 10_000_000, 16_000_000, 20_000_000, 70_000_000).iterator()
        FakeSource(tone(7.05)).deliver(InferenceLoop(model, Run(Source.Microphone), now, { ticks.next() }, states::add))
        assertEquals(6f, states.last().latencyMs, 0f) // of 4, 6 and 50 ms
    }
}
