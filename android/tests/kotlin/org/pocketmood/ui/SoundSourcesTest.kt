package org.pocketmood.ui

import android.Manifest
import android.media.MediaFormat
import android.net.Uri
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.pocketmood.Problem
import org.pocketmood.audio.Microphone
import org.pocketmood.audio.MusicFile
import org.pocketmood.audio.SoundFormat
import org.pocketmood.audio.SoundSink
import org.pocketmood.bundle.AssetBundle
import org.pocketmood.bundle.Bundle
import org.pocketmood.problem
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowAudioRecord
import org.robolectric.shadows.ShadowMediaCodec
import org.robolectric.shadows.ShadowMediaExtractor
import org.robolectric.shadows.util.DataSource

/** The app's own AudioRecord and MediaCodec loops, over Robolectric's devices. */
class SoundSourcesTest : ScreenTest() {
    private class Ear(private val enough: Int = Int.MAX_VALUE, private val stop: () -> Unit = {}) : SoundSink {
        lateinit var heardFormat: SoundFormat
        val heard = mutableListOf<Float>()

        override fun onFormat(format: SoundFormat) {
            heardFormat = format
        }

        override fun onSound(samples: FloatArray, count: Int) {
            heard += samples.take(count)
            if (heard.size >= enough) stop()
        }
    }

    private val uri = Uri.parse("content://music/song.wav")

    private fun song(format: MediaFormat, bytes: ByteArray) {
        ShadowMediaExtractor.addTrack(DataSource.toDataSource(app, uri, null), format, bytes)
        val copying = ShadowMediaCodec.CodecConfig(4096, 4096) { from, to -> to.put(from) }
        ShadowMediaCodec.addDecoder(format.getString(MediaFormat.KEY_MIME), copying)
    }

    private fun pcm(frames: Int, value: (Int) -> Short): ByteArray {
        val buffer = ByteBuffer.allocate(2 * frames).order(ByteOrder.nativeOrder())
        repeat(frames) { buffer.putShort(value(it)) }
        return buffer.array()
    }

    @Test
    fun theMicrophoneDelivers44100SamplesASecond() {
        shadowOf(app).grantPermissions(Manifest.permission.RECORD_AUDIO)
        val counting =
            object : ShadowAudioRecord.AudioRecordSource {
                private var next = 0

                override fun readInShortArray(data: ShortArray, offset: Int, size: Int, blocking: Boolean): Int {
                    for (i in 0 until size) data[offset + i] = (next++ % 30_000).toShort()
                    return size
                }
            }
        ShadowAudioRecord.setSourceProvider { counting }
        val microphone = Microphone(app)
        val ear = Ear(enough = 10_000, stop = microphone::stop)
        microphone.deliver(ear)
        assertEquals(SoundFormat(44_100, null), ear.heardFormat)
        assertEquals(13_230, ear.heard.size) // three tenths of a second
        for (i in ear.heard.indices) assertEquals(i / 32_768f, ear.heard[i], 0f)
    }

    @Test
    fun withoutPermissionNothingIsOpened() = assertEquals(Problem.MicrophoneNotAllowed, problem { Microphone(app).deliver(Ear()) })

    @Test
    fun aMicrophoneThatStopsIsReported() {
        shadowOf(app).grantPermissions(Manifest.permission.RECORD_AUDIO)
        ShadowAudioRecord.setSourceProvider {
            object : ShadowAudioRecord.AudioRecordSource {
                override fun readInShortArray(data: ShortArray, offset: Int, size: Int, blocking: Boolean) = -6 // ERROR_DEAD_OBJECT
            }
        }
        assertEquals(Problem.MicrophoneLost, problem { Microphone(app).deliver(Ear()) })
    }

    @Test
    fun aFileIsDecodedToItsEnd() {
        val format = MediaFormat.createAudioFormat("audio/raw", 22_050, 1).apply { setLong(MediaFormat.KEY_DURATION, 2_000_000) }
        song(format, pcm(44_100) { (it % 1000).toShort() })
        val ear = Ear()
        MusicFile(app, uri, "song.wav").deliver(ear)
        assertEquals(SoundFormat(22_050, 2.0), ear.heardFormat)
        assertEquals(44_100, ear.heard.size)
        for (i in ear.heard.indices) assertEquals(i % 1000 / 32_768f, ear.heard[i], 0f)
    }

    @Test
    fun stereoIsMixed() {
        val format = MediaFormat.createAudioFormat("audio/raw", 8_000, 2)
        song(format, pcm(32_000) { if (it % 2 == 0) 16_384 else 0 })
        val ear = Ear()
        MusicFile(app, uri, "song.wav").deliver(ear)
        assertEquals(16_000, ear.heard.size)
        // The mean of a half and nothing.
        assertTrue(ear.heard.all { it == .25f })
    }

    @Test
    fun aFileOfHalfASecondIsTooShort() {
        // Its header gives no length: only decoding tells.
        song(MediaFormat.createAudioFormat("audio/raw", 8_000, 1), pcm(4_000) { 1 })
        assertEquals(Problem.SoundTooShort("song.wav"), problem { MusicFile(app, uri, "song.wav").deliver(Ear()) })
    }

    @Test
    fun aDecoderThatBreaksOffIsReported() {
        val format = MediaFormat.createAudioFormat("audio/mpeg", 8_000, 1)
        ShadowMediaExtractor.addTrack(DataSource.toDataSource(app, uri, null), format, ByteArray(9000))
        val broken = ShadowMediaCodec.CodecConfig(512, 512) { _, _ -> throw IllegalStateException("broken frame") }
        ShadowMediaCodec.addDecoder("audio/mpeg", broken)
        assertEquals(Problem.SoundDamaged("song.wav"), problem { MusicFile(app, uri, "song.wav").deliver(Ear()) })
    }

    @Test
    fun theBundleOfTheAssetsIsFound() {
        // tests/assets is linked into the tests' resources, not into the app's.
        val shipped = AssetBundle(app.assets)
        assertEquals(setOf("model.int8.pte", "bundle.json", "parity.json") + Bundle.GOLDEN, shipped.names().toSet())
        assertEquals("program", shipped.open("model.int8.pte")!!.reader().readText().trim())
        assertEquals(Bundle.idOf(shipped.open("bundle.json")!!), shipped.id())
        assertNull(shipped.open("golden/waveform.f32"))
    }

    @Test
    fun aDecoderThatNamesNoEncodingGives16Bit() {
        song(MediaFormat.createAudioFormat("audio/raw", 8_000, 1), pcm(16_000) { -32_768 })
        val ear = Ear()
        MusicFile(app, uri, "song.wav").deliver(ear)
        assertEquals(-1f, ear.heard.min(), 0f)
    }
}
