package org.pocketmood

import java.io.File
import java.util.concurrent.Executor
import org.pocketmood.audio.AudioSource
import org.pocketmood.audio.SoundFormat
import org.pocketmood.audio.SoundSink
import org.pocketmood.bundle.Bundle
import org.pocketmood.bundle.ShippedBundle
import org.pocketmood.model.Contract
import org.pocketmood.model.Emotion
import org.pocketmood.model.EmotionModel
import org.pocketmood.model.ModelLoader
import org.pocketmood.model.Prediction

/** A clip of 30 s in small: 1000 samples a second make sums that a reader can follow, and tests that take no time. */
const val RATE = 1000
const val SAMPLES = 30 * RATE
const val MEL_HASH = "0123456789abcdef"

val contract = Contract(schema = 2, RATE, SAMPLES, MEL_HASH, labels = "nobody", exporter = "a test")

fun prediction(valence: Float, arousal: Float, interval68: Float = .25f) =
    Prediction(Emotion(valence, arousal), Emotion(interval68, interval68))

/** Feels the newest two samples: valence is the last, arousal the one before. */
class FakeModel(
    override val contract: Contract = org.pocketmood.contract,
    private val feel: (FloatArray) -> Prediction = ::newest,
) : EmotionModel {
    override val backends = listOf("FakeBackend")
    val heard = mutableListOf<FloatArray>()
    var closed = false

    override fun predict(waveform: FloatArray): Prediction {
        // As the real one: a prediction after closing is a fault of whoever asked for it.
        check(!closed)
        heard += waveform
        return feel(waveform)
    }

    override fun close() {
        closed = true
    }

    companion object {
        fun newest(waveform: FloatArray) = prediction(waveform[waveform.size - 1], waveform[waveform.size - 2])
    }
}

fun loaderOf(model: EmotionModel) = ModelLoader { _: File -> model }

/** Delivers [chunks] as they are, then ends, or fails with [problem]. */
class FakeSource(
    private val chunks: Sequence<FloatArray>,
    private val seconds: Double? = null,
    private val rate: Int = RATE,
    private val problem: Problem? = null,
) : AudioSource {
    @Volatile var stopped = false

    override fun deliver(to: SoundSink) {
        to.onFormat(SoundFormat(rate, seconds))
        for (chunk in chunks) {
            // Between two chunks, as a real source hears of it.
            if (stopped) return
            to.onSound(chunk, chunk.size)
        }
        problem?.let { throw PocketmoodException(it) }
    }

    override fun stop() {
        stopped = true
    }
}

/** Tenths of a second of a constant value. */
fun tone(seconds: Number, value: Float = .5f, rate: Int = RATE): Sequence<FloatArray> =
    generateSequence { FloatArray(rate / 10) { value } }.take((seconds.toDouble() * 10).toInt())

/** Keeps tasks until a test runs them, on its own thread. */
class Later : Executor {
    private val tasks = ArrayDeque<Runnable>()
    val size get() = tasks.size

    override fun execute(task: Runnable) {
        tasks += task
    }

    fun runOne() = tasks.removeFirst().run()

    fun runAll() {
        while (tasks.isNotEmpty()) runOne()
    }
}

/** The bundle in a folder, as if it lay in the app's assets; or none. */
class ShippedFolder(private val folder: File?) : ShippedBundle {
    override fun id() = folder?.let { File(it, "bundle.json").inputStream().use(Bundle::idOf) }

    override fun names() = folder!!.walk().filter(File::isFile).map { it.relativeTo(folder).path }.toList()

    override fun open(name: String) = File(folder!!, name).takeIf(File::isFile)?.inputStream()
}

/** Runs [work] and returns the problem that it raises. */
fun problem(work: () -> Unit): Problem =
    try {
        work()
        throw AssertionError("no problem was raised")
    } catch (error: PocketmoodException) {
        error.problem
    }
