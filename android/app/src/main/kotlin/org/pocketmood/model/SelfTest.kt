package org.pocketmood.model

import java.util.Locale
import kotlin.math.abs

/** A waveform and what PyTorch answered for it when the bundle was exported. */
class GoldenPair(val waveform: FloatArray, val answer: Answer)

/**
 * How far a program lies from its golden pairs on this device.
 *
 * [difference]: the largest over all pairs, both outputs and both axes; NaN where an answer was no number.
 * [limit]: what the bundle's parity record allows. [latencyMs]: median time of one answer.
 */
data class SelfTestResult(val pairs: Int, val difference: Float, val limit: Float, val latencyMs: Float) {
    // Written so that NaN fails.
    val passed: Boolean get() = pairs > 0 && difference <= limit

    /** One line that [parse] reads. */
    fun format(): String = String.format(Locale.ROOT, "%d %e %e %.3f", pairs, difference, limit, latencyMs)

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
fun selfTest(model: EmotionModel, golden: Sequence<GoldenPair>, limit: Float, nanoTime: () -> Long): SelfTestResult {
    val times = mutableListOf<Long>()
    var worst = 0f
    for (pair in golden) {
        val start = nanoTime()
        val answer = model.predict(pair.waveform)
        times += nanoTime() - start
        // maxOf keeps NaN.
        worst = maxOf(worst, distance(answer, pair.answer))
    }
    return SelfTestResult(times.size, worst, limit, medianMs(times))
}

/** The largest absolute difference over both outputs and axes. */
fun distance(one: Answer, other: Answer): Float =
    maxOf(
        maxOf(abs(one.emotion.valence - other.emotion.valence), abs(one.emotion.arousal - other.emotion.arousal)),
        maxOf(abs(one.spread.valence - other.spread.valence), abs(one.spread.arousal - other.spread.arousal)),
    )

/** The middle of times in nanoseconds, in milliseconds; 0 for none. */
fun medianMs(nanos: List<Long>): Float = if (nanos.isEmpty()) 0f else nanos.sorted()[nanos.size / 2] / 1e6f
