package org.pocketmood.audio

import android.Manifest
import android.annotation.SuppressLint
import android.content.Context
import android.content.pm.PackageManager
import android.media.AudioFormat
import android.media.AudioManager
import android.media.AudioRecord
import android.media.MediaRecorder
import org.pocketmood.PocketmoodException
import org.pocketmood.Problem

/**
 * The device's microphone, 16 bit mono in chunks of a tenth of a second.
 *
 * [rates] are tried in order. Every device records at 44 100 Hz; 22 050 Hz, which models want, mostly works too, but
 * through the device's own resampler, whose filter nobody has tested.
 */
class Microphone(private val context: Context, private val rates: List<Int> = listOf(44_100, 22_050)) : AudioSource {
    @Volatile private var stopped = false

    override fun deliver(to: SoundSink) {
        if (!allowed()) throw PocketmoodException(Problem.MicrophoneNotAllowed)
        val (record, rate) = open()
        try {
            record.startRecording()
            // Another app may hold the microphone: start "succeeds" without recording.
            if (record.recordingState != AudioRecord.RECORDSTATE_RECORDING) throw PocketmoodException(Problem.MicrophoneBusy)
            to.onFormat(SoundFormat(rate, seconds = null))
            copy(record, rate / CHUNKS_PER_SECOND, to)
        } catch (error: IllegalStateException) {
            throw PocketmoodException(Problem.MicrophoneBusy, error)
        } finally {
            record.release() // stops first
        }
    }

    override fun stop() {
        stopped = true
    }

    private fun copy(record: AudioRecord, chunk: Int, to: SoundSink) {
        val pcm = ShortArray(chunk)
        val samples = FloatArray(chunk)
        while (!stopped) {
            val count = record.read(pcm, 0, chunk)
            // Without permission some devices fail and others deliver silence for ever.
            if (!allowed()) throw PocketmoodException(Problem.MicrophoneRevoked)
            if (count < 0) throw PocketmoodException(Problem.MicrophoneLost)
            for (i in 0 until count) samples[i] = pcm[i] / FULL_SCALE
            to.onSound(samples, count)
        }
    }

    private fun open(): Pair<AudioRecord, Int> {
        for (rate in rates) {
            val record = record(rate) ?: continue
            // Building may succeed and setting up fail: only the state tells.
            if (record.state == AudioRecord.STATE_INITIALIZED) return record to rate
            record.release()
        }
        throw PocketmoodException(Problem.MicrophoneBusy)
    }

    /** Returns null where the device does not take the rate. */
    @SuppressLint("MissingPermission") // `deliver` has checked
    private fun record(rate: Int): AudioRecord? {
        val least = AudioRecord.getMinBufferSize(rate, AudioFormat.CHANNEL_IN_MONO, AudioFormat.ENCODING_PCM_16BIT)
        // An error code where the hardware does not take the rate.
        if (least <= 0) return null
        val format =
            AudioFormat.Builder()
                .setSampleRate(rate)
                .setChannelMask(AudioFormat.CHANNEL_IN_MONO)
                .setEncoding(AudioFormat.ENCODING_PCM_16BIT)
                .build()

        // The rate was taken; a builder may refuse all the same.
        return try {
            AudioRecord.Builder()
                .setAudioSource(quietestProcessing())
                .setAudioFormat(format)
                .setBufferSizeInBytes(maxOf(least, rate)) // half a second: a prediction may take its time
                .build()
        } catch (_: UnsupportedOperationException) {
            null
        }
    }

    /** Automatic gain would erase loudness, the first cue of arousal. */
    private fun quietestProcessing(): Int {
        val audio = context.getSystemService(AudioManager::class.java)
        val unprocessed = audio.getProperty(AudioManager.PROPERTY_SUPPORT_AUDIO_SOURCE_UNPROCESSED)
        return if (unprocessed.toBoolean()) MediaRecorder.AudioSource.UNPROCESSED else MediaRecorder.AudioSource.VOICE_RECOGNITION
    }

    private fun allowed() = context.checkSelfPermission(Manifest.permission.RECORD_AUDIO) == PackageManager.PERMISSION_GRANTED

    private companion object {
        // As often as the screen changes.
        const val CHUNKS_PER_SECOND = 10
        // The lowest 16-bit sample becomes exactly -1.
        const val FULL_SCALE = 32_768f
    }
}
