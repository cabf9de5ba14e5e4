package org.pocketmood.audio

import android.media.AudioFormat
import android.media.MediaFormat
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Downmixer: a decoder's interleaved samples, 16 bit or float, to mono in [-1, 1], the mean over the channels. */
class PcmMixer(val rate: Int, private val channels: Int, private val float: Boolean) {
    // Used again for every buffer: a sink may keep nothing of it.
    private var mono = FloatArray(0)

    /** Delivers what remains in [buffer]; returns how many frames that were. */
    fun deliver(buffer: ByteBuffer, to: SoundSink): Int {
        val pcm = buffer.order(ByteOrder.nativeOrder())
        val frames = pcm.remaining() / (channels * if (float) Float.SIZE_BYTES else Short.SIZE_BYTES)
        if (mono.size < frames) mono = FloatArray(frames)
        for (frame in 0 until frames) {
            var sum = 0f
            repeat(channels) { sum += if (float) pcm.float else pcm.short / FULL_SCALE }
            // Decoders overshoot full scale a little; models were taught on clipped sound.
            mono[frame] = (sum / channels).coerceIn(-1f, 1f)
        }
        if (frames > 0) to.onSound(mono, frames)
        return frames
    }

    companion object {
        private const val FULL_SCALE = 32_768f

        /** Reads a decoder's output format; 16 bit where it does not say. */
        fun of(format: MediaFormat): PcmMixer {
            val named = format.containsKey(MediaFormat.KEY_PCM_ENCODING)
            val encoding = if (named) format.getInteger(MediaFormat.KEY_PCM_ENCODING) else AudioFormat.ENCODING_PCM_16BIT
            check(encoding == AudioFormat.ENCODING_PCM_16BIT || encoding == AudioFormat.ENCODING_PCM_FLOAT) { "PCM encoding $encoding" }
            return PcmMixer(
                rate = format.getInteger(MediaFormat.KEY_SAMPLE_RATE),
                channels = format.getInteger(MediaFormat.KEY_CHANNEL_COUNT),
                float = encoding == AudioFormat.ENCODING_PCM_FLOAT,
            )
        }
    }
}
