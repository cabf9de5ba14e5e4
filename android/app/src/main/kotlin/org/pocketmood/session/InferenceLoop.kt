package org.pocketmood.session

import java.util.concurrent.Executor
import java.util.concurrent.atomic.AtomicBoolean
import org.pocketmood.audio.Level
import org.pocketmood.audio.Resampler
import org.pocketmood.audio.RingBuffer
import org.pocketmood.audio.SoundFormat
import org.pocketmood.audio.SoundSink
import org.pocketmood.audio.silent
import org.pocketmood.model.EmotionModel
import org.pocketmood.model.medianMs

/**
 * Inference over a stream: resamples what a source delivers, keeps the newest 30 s, and lets the model predict every second.
 *
 * Lives on the source's thread. Of endless sound a model that is slower than a second skips predictions; a file waits for
 * each of its own. [publish] receives every new state of the run, on the thread that made it.
 */
class InferenceLoop(
    private val model: EmotionModel,
    private var run: Run,
    private val background: Executor,
    private val nanoTime: () -> Long,
    private val publish: (Run) -> Unit,
) : SoundSink {
    private val rate = model.contract.sampleRate
    private val ring = RingBuffer(model.contract.samples)
    private lateinit var resampler: Resampler
    private var stepSamples = rate.toLong()
    private var nextPrediction = (FIRST_PREDICTION_S * rate).toLong()
    private val endless = run.source is Source.Microphone
    private val busy = AtomicBoolean()
    private var published = 0L

    /** What a prediction on the other thread failed with; raised on the source's thread. */
    @Volatile private var failure: Exception? = null
    private val times = mutableListOf<Long>()

    override fun onFormat(format: SoundFormat) {
        resampler = Resampler(format.sampleRate, rate)
        val length = format.seconds?.toFloat()
        // At most MAX_PREDICTIONS for a file, however long: a symphony takes no more time than a song.
        if (!endless) stepSamples = (rate * maxOf(FILE_STEP_S, (length ?: 0f) / MAX_PREDICTIONS)).toLong()
        // A file that ends before the fifth second gets one prediction, near its end.
        if (length != null && length < FIRST_PREDICTION_S) nextPrediction = (length * SHORT_SHARE * rate).toLong()
        update { it.copy(lengthS = length) }
    }

    override fun onSound(samples: FloatArray, count: Int) {
        failure?.let { throw it }
        keep(resampler.process(samples, count))

        // The screen needs no more than ten pictures a second, a file delivers a hundred times faster than that.
        if (ring.total - published < rate / (if (endless) 20 else 1)) return
        published = ring.total
        val level = Level.of(samples, count)
        update { it.copy(heardS = heardS(), level = level, impression = waiting() ?: it.impression) }
    }

    /** Fills the ring buffer piece by piece, so that a prediction sees no sound after its second, however large a chunk is. */
    private fun keep(sound: FloatArray) {
        var from = 0
        while (from < sound.size) {
            val length = minOf(sound.size - from, maxOf(1, (nextPrediction - ring.total).toInt()))
            ring.append(sound.copyOfRange(from, from + length))
            from += length
            if (ring.total < nextPrediction) continue
            nextPrediction += stepSamples
            if (endless) predictLater() else predict(ring.snapshot(), heardS(), quiet())
        }
    }

    private fun heardS() = ring.total.toFloat() / rate

    /** Null as soon as there was a prediction, which of a short file is before its fifth second. */
    private fun waiting(): Impression? {
        val left = FIRST_PREDICTION_S - heardS()
        return if (left > 0 && run.moments.isEmpty()) Impression.Gathering(left) else null
    }

    /** On another thread, or AudioRecord's half a second of buffer would run over while a slow model computes. */
    private fun predictLater() {
        // The one before is still being computed: this second is skipped.
        if (!busy.compareAndSet(false, true)) return
        // Copied here: the ring belongs to the source's thread.
        val waveform = ring.snapshot()
        val at = heardS()
        val quiet = quiet()
        background.execute {
            try {
                predict(waveform, at, quiet)
            } catch (error: Exception) {
                failure = error
            } finally {
                busy.set(false)
            }
        }
    }

    private fun quiet() = Level.of(ring.newest((SILENCE_S * rate).toInt())).silent

    private fun predict(waveform: FloatArray, atS: Float, quiet: Boolean) {
        // A model would predict for silence too, and it would mean nothing.
        if (quiet) return update { it.copy(impression = Impression.Silence) }
        val start = nanoTime()
        val prediction = model.predict(waveform)
        val took = nanoTime() - start

        update {
            times += took
            // Within the lock, as `times` is shared by the threads too.
            val moments = (it.moments + Moment(atS, prediction)).takeLast(MAX_MOMENTS)
            it.copy(impression = Impression.Felt(prediction), moments = moments, latencyMs = medianMs(times))
        }
    }

    /** The run is this loop's own until it is published; predictions change it on another thread than sound. */
    @Synchronized
    private fun update(change: (Run) -> Run) {
        run = change(run)
        publish(run)
    }

    private companion object {
        const val FILE_STEP_S = 5f
        const val MAX_PREDICTIONS = 120

        /** Of a file of 1 to 5 s this share must be heard: decoders may end a little early. */
        const val SHORT_SHARE = .9f

        /** So much of the newest sound must be silent before the screen says so. */
        const val SILENCE_S = 3f

        /** An hour of the microphone. */
        const val MAX_MOMENTS = 3600
    }
}
