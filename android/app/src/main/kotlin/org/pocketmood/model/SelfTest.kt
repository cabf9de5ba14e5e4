package org.pocketmood.model

import java.util.Locale
import kotlin.math.abs

/** Golden pair: a waveform and what PyTorch predicted for it when the bundle was exported. */
class GoldenPair(val waveform: FloatArray, val prediction: Prediction)

/**
 * Result of a self-test: how far a program lies from its golden pairs on this device.
 *
 * [difference]: the largest over all pairs, both outputs and both axes; NaN where a prediction was no number.
 * [tolerance]: the largest that the bundle's parity.json allows this program on any device.
 * [latencyMs]: median time of one prediction.
 */
data class SelfTestResult(val pairs: Int, val difference: Float, val tolerance: Float, val latencyMs: Float) {
    // Written so that NaN fails.
    val passed: Boolean get() = pairs > 0 && difference <= tolerance

    /** One line that [parse] reads. */
    fun format(): String = String.format(Locale.ROOT, "%d %e %e %.3f", pairs, difference, tolerance, latencyMs)

    companion object {
        /** Returns null for a line that [format] did not write. */
        fun parse(line: String): SelfTestResult? {
            val parts = line.trim().split(' ')
            if (parts.size != 4) return null
            val pairs = parts[0].toIntOrNull() ?: return null
            val numbers = parts.drop(1).map { it.toFloatOrNull() ?: return null }
            return SelfTestResult(pairs, numbers[0], numbers[1], numbers[2])
        }
    }
}

/** Runs the golden pairs through a model. They are read one by one: five take 13 MB. */
fun selfTest(model: EmotionModel, golden: Sequence<GoldenPair>, tolerance: Float, nanoTime: () -> Long): SelfTestResult {
    val times = mutableListOf<Long>()
    var worst = 0f
    for (pair in golden) {
        val start = nanoTime()
        val prediction = model.predict(pair.waveform)
        times += nanoTime() - start
        // maxOf keeps NaN.
        worst = maxOf(worst, distance(prediction, pair.prediction))
    }
    return SelfTestResult(times.size, worst, tolerance, medianMs(times))
}

/** The largest absolute difference over both outputs and axes. */
fun distance(one: Prediction, other: Prediction): Float =
    maxOf(
        maxOf(abs(one.emotion.valence - other.emotion.valence), abs(one.emotion.arousal - other.emotion.arousal)),
        maxOf(abs(one.interval68.valence - other.interval68.valence), abs(one.interval68.arousal - other.interval68.arousal)),
    )

/** The middle of times in nanoseconds, in milliseconds; 0 for none. */
fun medianMs(nanos: List<Long>): Float = if (nanos.isEmpty()) 0f else nanos.sorted()[nanos.size / 2] / 1e6f
