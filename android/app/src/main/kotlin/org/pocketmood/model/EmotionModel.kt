package org.pocketmood.model

import java.io.File

/** The schema of bundles and programs that this app reads; `SCHEMA` in Python's `pocketmood/bundle.py`. */
const val SCHEMA = 2

/** Contract of a program: what its constant methods return; names as in Python's `export/contract.py`. */
data class Contract(
    val schema: Long,
    /** Samples per second. */
    val sampleRate: Int,
    /** Length of the waveform that the program takes. */
    val samples: Int,
    val melHash: String,
    /** What the numbers were learnt from, in one line. */
    val labels: String,
    val exporter: String,
) {
    val seconds: Float get() = samples.toFloat() / sampleRate
}

/** Model: waveform in, emotion out. Not thread-safe unless an implementation says so. */
interface EmotionModel : AutoCloseable {
    val contract: Contract

    /** The delegates that compute the program, for the details screen. */
    val backends: List<String>

    /** Predicts from exactly [Contract.samples] mono samples in [-1, 1]. Takes tens of milliseconds. */
    fun predict(waveform: FloatArray): Prediction
}

/** Opens a program; raises FileDamaged or NoRuntime as a PocketmoodException. */
fun interface ModelLoader {
    fun load(program: File): EmotionModel
}
