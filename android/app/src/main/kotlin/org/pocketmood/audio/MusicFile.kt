package org.pocketmood.audio

import android.content.Context
import android.media.MediaCodec
import android.media.MediaExtractor
import android.media.MediaFormat
import android.net.Uri
import java.io.IOException
import java.nio.Buffer
import org.pocketmood.PocketmoodException
import org.pocketmood.Problem

/** A music file or stream that the user picked or shared, decoded as fast as the device can. */
class MusicFile(private val context: Context, private val uri: Uri, private val name: String) : AudioSource {
    @Volatile private var stopped = false

    override fun deliver(to: SoundSink) {
        val extractor = MediaExtractor()
        try {
            val format = open(extractor)
            // Before the decoder is made: ten hours would be decoded for minutes.
            refuseAbsurd(format)

            val decoder = decoderOf(format)
            try {
                decoder.configure(format, null, null, 0)
                decoder.start()
                decode(extractor, decoder, to, durationOf(format))
            } catch (error: IllegalStateException) { // MediaCodec.CodecException is one
                throw PocketmoodException(Problem.SoundDamaged(name), error)
            } finally {
                decoder.release()
            }
        } finally {
            extractor.release()
        }
    }

    override fun stop() {
        stopped = true
    }

    /** Selects the first audio track and returns its format. */
    private fun open(extractor: MediaExtractor): MediaFormat {
        try {
            extractor.setDataSource(context, uri, null)
        } catch (error: IOException) {
            throw PocketmoodException(Problem.NotMusic(name), error)
        } catch (error: IllegalArgumentException) {
            throw PocketmoodException(Problem.NotMusic(name), error)
        } catch (error: SecurityException) { // the permission that came with the share has ended
            throw PocketmoodException(Problem.NotMusic(name), error)
        }
        val track =
            (0 until extractor.trackCount).firstOrNull { kindOf(extractor.getTrackFormat(it)).startsWith("audio/") }
                ?: throw PocketmoodException(Problem.NotMusic(name))
        extractor.selectTrack(track)
        return extractor.getTrackFormat(track)
    }

    private fun refuseAbsurd(format: MediaFormat) {
        val seconds = durationOf(format) ?: return
        if (seconds > LONGEST_S) throw PocketmoodException(Problem.SoundTooLong(name, seconds / 3600))
        if (seconds < SHORTEST_S) throw PocketmoodException(Problem.SoundTooShort(name))
    }

    private fun decoderOf(format: MediaFormat): MediaCodec =
        try {
            MediaCodec.createDecoderByType(kindOf(format))
        } catch (error: IOException) {
            throw PocketmoodException(Problem.NotMusic(name), error)
        } catch (error: IllegalArgumentException) {
            throw PocketmoodException(Problem.NotMusic(name), error)
        }

    private fun decode(extractor: MediaExtractor, decoder: MediaCodec, to: SoundSink, seconds: Double?) {
        val info = MediaCodec.BufferInfo()
        var mixer: PcmMixer? = null
        var fed = false
        var frames = 0L

        while (!stopped) {
            if (!fed) fed = feed(extractor, decoder)
            val index = decoder.dequeueOutputBuffer(info, WAIT_US)
            if (index < 0) continue // nothing yet, or a change of format, which is read with the first buffer

            val mix = mixer ?: PcmMixer.of(decoder.outputFormat).also { mixer = it; to.onFormat(SoundFormat(it.rate, seconds)) }
            decoder.getOutputBuffer(index)?.let { buffer ->
                val window: Buffer = buffer // ByteBuffer has its own position() from Android 14 on only
                window.limit(info.offset + info.size)
                window.position(info.offset)
                frames += mix.deliver(buffer, to)
            }
            // At once, or the decoder runs out of buffers.
            decoder.releaseOutputBuffer(index, false)

            // Some files do not say how long they are.
            if (frames > LONGEST_S * mix.rate) throw PocketmoodException(Problem.SoundTooLong(name, LONGEST_S / 3600))
            if (info.flags and MediaCodec.BUFFER_FLAG_END_OF_STREAM != 0) break
        }

        // A duration in the header may be missing or wrong: what was decoded counts.
        if (!stopped && frames < SHORTEST_S * (mixer?.rate ?: 1)) throw PocketmoodException(Problem.SoundTooShort(name))
    }

    /** Hands the decoder what it has room for; returns whether that was the end. */
    private fun feed(extractor: MediaExtractor, decoder: MediaCodec): Boolean {
        val index = decoder.dequeueInputBuffer(WAIT_US)
        if (index < 0) return false
        val size = extractor.readSampleData(checkNotNull(decoder.getInputBuffer(index)), 0)
        if (size < 0) {
            decoder.queueInputBuffer(index, 0, 0, 0, MediaCodec.BUFFER_FLAG_END_OF_STREAM)
            return true
        }
        decoder.queueInputBuffer(index, 0, size, extractor.sampleTime, 0)
        extractor.advance()
        return false
    }

    private fun kindOf(format: MediaFormat) = format.getString(MediaFormat.KEY_MIME).orEmpty()

    private fun durationOf(format: MediaFormat): Double? =
        if (format.containsKey(MediaFormat.KEY_DURATION)) format.getLong(MediaFormat.KEY_DURATION) / 1e6 else null

    companion object {
        /** As Python's `pocketmood.audio`. */
        const val LONGEST_S = 4 * 3600.0
        const val SHORTEST_S = 1.0
        // Waits without spinning, and hears of `stop` soon after it.
        private const val WAIT_US = 10_000L
    }
}
