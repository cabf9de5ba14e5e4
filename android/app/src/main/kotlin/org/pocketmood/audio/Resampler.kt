package org.pocketmood.audio

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.sin
import kotlin.math.sqrt

/**
 * Resampler for a stream of mono samples: a Kaiser-windowed sinc in polyphase form.
 *
 * The band is kept up to [PASS] of the lower rate's half (10.0 kHz for 22 050 Hz) and gone from that half on, by more
 * than 100 dB, so nothing folds back into what a model hears. 44 100 to 22 050 Hz is the plain case: every second
 * output of one filter of 292 taps, 6 million multiplications a second. No delay: an output lies where its sample would
 * be, and appears as soon as the 3 ms of sound after it are known.
 */
class Resampler(from: Int, to: Int) {
    private val up: Int
    private val down: Int
    private val half: Int
    private val phases: Array<FloatArray>

    /** Input that outputs still need; begins with silence, so that the first output has a left side. */
    private var waiting: FloatArray
    private var held: Int

    /** Position of the next output relative to `waiting[half - 1]`, in units of 1 / [up] input samples. */
    private var position = 0L

    init {
        require(from > 0 && to > 0) { "rates $from and $to" }
        val divisor = gcd(from, to)
        up = to / divisor
        down = from / divisor
        val nyquist = minOf(from, to) / 2.0
        val transition = 2 * PI * nyquist * (1 - PASS) / from
        // Kaiser's estimate of a filter's length from its attenuation and the width of its transition.
        half = ceil((ATTENUATION_DB - 7.95) / (2.285 * transition) / 2).toInt()
        // The cutoff lies in the middle of the transition; equal rates need no filter.
        phases = Array(if (up == down) 0 else up) { phase(it, nyquist * (1 + PASS) / 2 / from) }
        waiting = FloatArray(half - 1)
        held = half - 1
    }

    /** Returns the outputs that the first [count] of [samples] complete. */
    fun process(samples: FloatArray, count: Int = samples.size): FloatArray {
        // A copy, because the caller uses its array again.
        if (up == down) return samples.copyOf(count)
        if (waiting.size < held + count) waiting = waiting.copyOf(held + count)
        samples.copyInto(waiting, held, 0, count)
        held += count
        // An output between waiting[half - 1 + i] and the next needs waiting[i] to waiting[i + 2 half - 1].
        val last = (held - 2 * half).toLong() * up + up - 1
        val output = FloatArray(if (last < position) 0 else ((last - position) / down + 1).toInt())
        for (n in output.indices) {
            output[n] = product(phases[(position % up).toInt()], (position / up).toInt())
            position += down
        }
        forget()
        return output
    }

    private fun product(taps: FloatArray, start: Int): Float {
        var sum = 0f
        for (k in taps.indices) sum += taps[k] * waiting[start + k]
        return sum
    }

    private fun forget() {
        val used = minOf(position / up, held.toLong()).toInt()
        waiting.copyInto(waiting, 0, used, held)
        held -= used
        position -= used.toLong() * up
    }

    /** The taps for outputs that lie [phase] / [up] of a sample after an input; [cutoff] in cycles per input sample. */
    private fun phase(phase: Int, cutoff: Double) =
        FloatArray(2 * half) { k ->
            val distance = phase.toDouble() / up + half - 1 - k
            val angle = 2 * PI * cutoff * distance
            // The limit where the sine's quotient is 0 / 0.
            val sinc = if (abs(angle) < 1e-9) 1.0 else sin(angle) / angle
            (2 * cutoff * sinc * kaiser(distance / half)).toFloat()
        }

    companion object {
        /** Share of the lower rate's half that passes unchanged; libsoxr's high quality keeps .913. */
        const val PASS = 0.907
        private const val ATTENUATION_DB = 105.0
        // Kaiser's estimate of the window's shape for more than 50 dB.
        private const val BETA = 0.1102 * (ATTENUATION_DB - 8.7)

        private fun kaiser(x: Double) = if (abs(x) >= 1) 0.0 else bessel(BETA * sqrt(1 - x * x)) / bessel(BETA)

        /** The modified Bessel function of order zero, by its series. */
        private fun bessel(x: Double): Double {
            var term = 1.0
            var sum = 1.0
            var k = 1
            while (term > 1e-12 * sum) {
                term *= (x / 2 / k) * (x / 2 / k)
                sum += term
                k++
            }
            return sum
        }

        private tailrec fun gcd(a: Int, b: Int): Int = if (b == 0) a else gcd(b, a % b)
    }
}
