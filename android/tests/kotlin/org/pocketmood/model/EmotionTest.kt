package org.pocketmood.model

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.sin
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.pocketmood.FakeModel
import org.pocketmood.SAMPLES
import org.pocketmood.prediction

class EmotionTest {
    @Test
    fun everyQuadrantHasItsName() {
        assertEquals(Quadrant.HAPPY_ENERGETIC, Emotion(.1f, .1f).quadrant)
        assertEquals(Quadrant.ANGRY_TENSE, Emotion(-.1f, .1f).quadrant)
        assertEquals(Quadrant.SAD_CALM, Emotion(-.1f, -.1f).quadrant)
        assertEquals(Quadrant.CONTENT_RELAXED, Emotion(.1f, -.1f).quadrant)
        // Zero counts as positive.
        assertEquals(Quadrant.HAPPY_ENERGETIC, Emotion(0f, 0f).quadrant)
    }

    @Test
    fun eightDirectionsHaveTheirWords() {
        val words = (0 until 8).map { Emotion(cos(it * PI / 4).toFloat() / 2, sin(it * PI / 4).toFloat() / 2).mood }
        assertEquals(Mood.entries.take(8), words)
    }

    @Test
    fun theMiddleIsNeutral() {
        assertEquals(Mood.NEUTRAL, Emotion(.1f, .1f).mood) // .141 from the middle
        assertEquals(Mood.HAPPY, Emotion(.11f, .11f).mood) // .156
    }

    @Test
    fun wordsChangeHalfwayBetweenDirections() {
        fun at(degrees: Double) = Emotion(cos(degrees * PI / 180).toFloat(), sin(degrees * PI / 180).toFloat()).mood
        assertEquals(Mood.PLEASED, at(22.4))
        assertEquals(Mood.HAPPY, at(22.6))
        assertEquals(Mood.PLEASED, at(-22.4))
        assertEquals(Mood.RELAXED, at(-22.6))
    }

    private fun pair(valence: Float, golden: Prediction) = GoldenPair(FloatArray(SAMPLES).also { it[SAMPLES - 1] = valence }, golden)

    @Test
    fun aSelfTestFindsTheLargestDifference() {
        val pairs = sequenceOf(pair(.5f, prediction(.5f, .001f)), pair(-.2f, prediction(-.2f, -.004f)))
        val result = selfTest(FakeModel(), pairs, tolerance = .005f, nanoTime = { 0 })
        assertEquals(2, result.pairs)
        assertEquals(.004f, result.difference, 1e-7f)
        assertTrue(result.passed)
        assertFalse(result.copy(tolerance = .003f).passed)
    }

    @Test
    fun theIntervalCountsToo() {
        val result = selfTest(FakeModel(), sequenceOf(pair(.5f, prediction(.5f, 0f, interval68 = .35f))), .05f) { 0 }
        assertEquals(.1f, result.difference, 1e-6f)
        assertFalse(result.passed)
    }

    @Test
    fun noNumberAndNoPairsFail() {
        val broken = FakeModel { prediction(Float.NaN, 0f) }
        assertFalse(selfTest(broken, sequenceOf(pair(0f, prediction(0f, 0f))), 1f) { 0 }.passed)
        assertFalse(selfTest(FakeModel(), emptySequence(), 1f) { 0 }.passed)
    }

    @Test
    fun theMedianTimeIsTaken() {
        val ticks = listOf(0L, 9_000_000, 10_000_000, 12_000_000, 20_000_000, 60_000_000).iterator()
        val pairs = sequenceOf(pair(0f, prediction(0f, 0f)), pair(0f, prediction(0f, 0f)), pair(0f, prediction(0f, 0f)))
        assertEquals(9f, selfTest(FakeModel(), pairs, 1f) { ticks.next() }.latencyMs, 0f) // of 9, 2 and 40 ms
    }

    @Test
    fun aResultSurvivesItsFile() {
        val result = SelfTestResult(5, .00115f, .0088f, 21.5f)
        assertEquals(result, SelfTestResult.parse(result.format()))
        assertNull(SelfTestResult.parse("5 none"))
        assertNull(SelfTestResult.parse("5 1 2 x"))
    }
}
