package org.pocketmood.audio

import java.util.Random
import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.cos
import kotlin.math.hypot
import kotlin.math.log10
import kotlin.math.sin
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** Levels in dB re the input's amplitude, measured by correlation over whole periods away from the ends. */
class ResamplerTest {
    @Test
    fun passbandIsFlatTo9Kilohertz() {
        for (hz in listOf(20, 50, 440, 1000, 3000, 5000, 7000, 8000, 9000)) {
            val db = gain(44_100, 22_050, hz.toDouble(), hz.toDouble())
            assertEquals("$hz Hz", 0.0, db, .01) // asked for: .1 dB
        }
    }

    @Test
    fun imagesAreBelow80Decibels() {
        // From the lower rate's half on, everything folds: f becomes 22050 - f.
        for (hz in listOf(11_030, 11_100, 11_500, 12_500, 13_050, 15_000, 18_000, 20_000, 22_000)) {
            val db = gain(44_100, 22_050, hz.toDouble(), 22_050.0 - hz)
            assertTrue("$hz Hz comes back at $db dB", db < -95) // asked for: -80 dB
        }
    }

    @Test
    fun otherRatesAreAsFlat() {
        for (rate in listOf(48_000, 96_000, 32_000, 11_025, 8_000)) {
            val hz = .4 * minOf(rate, 22_050)
            assertEquals("$rate Hz", 0.0, gain(rate, 22_050, hz, hz), .01)
        }
    }

    @Test
    fun imagesOf48KilohertzAreBelow80Decibels() {
        for (hz in listOf(11_500.0, 14_000.0, 21_000.0)) {
            val folded = abs(hz - 22_050)
            assertTrue("$hz Hz", gain(48_000, 22_050, hz, folded) < -95)
        }
    }

    @Test
    fun doesNotDelay() {
        val step = FloatArray(4000) { if (it == 2000) 1f else 0f }
        val out = Resampler(44_100, 22_050).process(step)
        assertEquals(1000, out.indices.maxByOrNull { out[it] })
        assertEquals(out[999], out[1001], 1e-6f)
    }

    @Test
    fun keepsAConstant() {
        val out = Resampler(44_100, 22_050).process(FloatArray(10_000) { .5f })
        for (n in 200 until out.size) assertEquals(.5f, out[n], 1e-4f)
    }

    @Test
    fun chunksMakeNoDifference() {
        val random = Random(3)
        val sound = FloatArray(20_000) { random.nextFloat() - .5f }
        // Ratios of one phase, of many, and upwards.
        for ((from, to) in listOf(44_100 to 22_050, 48_000 to 22_050, 8_000 to 22_050)) {
            val whole = Resampler(from, to).process(sound)
            val pieces = Resampler(from, to)
            val joined = mutableListOf<Float>()
            var at = 0
            while (at < sound.size) {
                val count = minOf(1 + random.nextInt(700), sound.size - at)
                joined += pieces.process(sound.copyOfRange(at, at + count)).toList()
                at += count
            }
            assertArrayEquals(whole, joined.toFloatArray(), 0f)
        }
    }

    @Test
    fun equalsASlowTwin() {
        // A polyphase filter is: zeros between the samples, one filter at the high rate, every n-th output.
        val random = Random(5)
        val sound = FloatArray(800) { random.nextFloat() - .5f }
        val impulse = FloatArray(800).also { it[400] = 1f }
        val out = Resampler(3_000, 2_000).process(sound)
        // The filter's own impulse response, at three offsets, gives the taps.
        fun shifted(by: Int) = Resampler(3_000, 2_000).process(FloatArray(800) { if (it == 400 + by) 1f else impulse[it] * 0 })
        for (n in 200..210) {
            var sum = 0.0
            for (j in 0 until 800) {
                // out[n] lies at 1.5 n; the response to an impulse at j equals that at 400 + (j mod 3) moved by whole steps.
                val by = Math.floorMod(j - 400, 3)
                val moved = n - 2 * ((j - 400 - by) / 3)
                val response = responses.getOrPut(by) { shifted(by) }
                if (moved in response.indices) sum += sound[j].toDouble() * response[moved]
            }
            assertEquals(sum, out[n].toDouble(), 1e-5)
        }
    }

    private val responses = mutableMapOf<Int, FloatArray>()

    @Test
    fun theSameRatePassesThrough() =
        assertArrayEquals(floatArrayOf(1f, 2f), Resampler(22_050, 22_050).process(floatArrayOf(1f, 2f, 3f), 2), 0f)

    /** How much of a sine at [hz] arrives at [outHz], in dB. */
    private fun gain(from: Int, to: Int, hz: Double, outHz: Double): Double {
        val sound = FloatArray(from) { sin(2 * PI * hz * it / from).toFloat() }
        val out = Resampler(from, to).process(sound)
        // Away from the ends, where the filter meets silence.
        val used = 2_000 until 2_000 + (out.size - 4_000)
        var (re, im, weight) = listOf(0.0, 0.0, 0.0)
        for ((i, n) in used.withIndex()) {
            // A Hann window keeps the leakage of a sine below what the filter lets through.
            val window = .5 - .5 * cos(2 * PI * i / (out.size - 4_000))
            re += window * out[n] * cos(2 * PI * outHz * n / to)
            im += window * out[n] * sin(2 * PI * outHz * n / to)
            weight += window / 2
        }
        return 20 * log10(maxOf(1e-12, hypot(re, im) / weight))
    }
}
