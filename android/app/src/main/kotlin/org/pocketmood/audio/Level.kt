package org.pocketmood.audio

import kotlin.math.abs
import kotlin.math.log10
import kotlin.math.sqrt

/** Level of sound in dB re full scale: 0 is the loudest that can be stored. */
data class Level(val rmsDb: Float, val peakDb: Float) {
    companion object {
        /** The lowest level that differs from none: below the last bit of 16. */
        const val FLOOR_DB = -100f
        val NONE = Level(FLOOR_DB, FLOOR_DB)

        /** Measures the first [count] of [samples]. */
        fun of(samples: FloatArray, count: Int = samples.size): Level {
            if (count == 0) return NONE
            var squares = 0.0
            var peak = 0f
            for (i in 0 until count) {
                squares += samples[i].toDouble() * samples[i]
                peak = maxOf(peak, abs(samples[i]))
            }
            return Level(db(sqrt(squares / count)), db(peak.toDouble()))
        }

        // Zero has no logarithm: 1e-9 is -180 dB, well below the floor.
        private fun db(amplitude: Double) = maxOf(FLOOR_DB, (20 * log10(maxOf(amplitude, 1e-9))).toFloat())
    }
}

/**
 * Whether there is nothing to score. Quiet music lies above -50 dB; phones' microphones hear a silent room at -65 to
 * -75 dB. A model would predict for noise too, and it would mean nothing.
 */
val Level.silent: Boolean get() = rmsDb < SILENCE_DB

const val SILENCE_DB = -60f
