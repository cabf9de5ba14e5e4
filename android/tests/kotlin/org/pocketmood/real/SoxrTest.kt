package org.pocketmood.real

import kotlin.math.log10
import kotlin.math.sqrt
import org.junit.Assert.assertTrue
import org.junit.Test
import org.pocketmood.audio.Resampler

/** Our resampler beside soxr's high quality, which `pocketmood.audio` uses. Errors in dB re the sound itself. */
class SoxrTest {
    private fun compare(input: String, wanted: String, from: Int, limitDb: Double) {
        val expected = reference(wanted)
        val found = Resampler(from, 22_050).process(reference(input))
        var (error, signal) = 0.0 to 0.0
        // Ends differ: soxr imagines silence around, and ours still waits for the last milliseconds.
        for (n in 1000 until minOf(expected.size, found.size) - 1000) {
            error += (found[n] - expected[n]).toDouble().let { it * it }
            signal += expected[n].toDouble() * expected[n]
        }
        val db = 10 * log10(error / signal)
        println("resampler against soxr, $input: ${"%.1f".format(db)} dB, rms ${"%.4f".format(sqrt(signal / expected.size))}")
        assertTrue("$input: $db dB", db < limitDb)
    }

    @Test
    fun aSweepInThePassbandIsTheSame() = compare("sweep44.f32", "sweep22.f32", 44_100, limitDb = -80.0)

    @Test
    fun musicIsTheSame() = compare("music44.f32", "music22.f32", 44_100, limitDb = -80.0)

    @Test
    fun musicWithAllItsTrebleIsTheSameButForTheEdge() = compare("treble44.f32", "treble22.f32", 44_100, limitDb = -40.0)

    @Test
    fun musicAt48KilohertzIsTheSame() = compare("music48.f32", "music48-22.f32", 48_000, limitDb = -80.0)
}
