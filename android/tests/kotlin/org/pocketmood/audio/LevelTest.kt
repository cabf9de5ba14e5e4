package org.pocketmood.audio

import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test

class LevelTest {
    @Test
    fun halfOfFullScaleIsSixDecibelsBelow() {
        val level = Level.of(floatArrayOf(.5f, -.5f, .5f, -.5f))
        assertEquals(-6.02f, level.rmsDb, .01f)
        assertEquals(-6.02f, level.peakDb, .01f)
    }

    @Test
    fun nothingIsTheFloor() {
        assertEquals(Level.NONE, Level.of(FloatArray(100)))
        assertEquals(Level.NONE, Level.of(FloatArray(0)))
    }

    @Test
    fun aSilentRoomIsSilentAndQuietMusicIsNot() {
        assertTrue(Level.of(FloatArray(100) { .0005f }).silent) // -66 dB
        assertFalse(Level.of(FloatArray(100) { .003f }).silent) // -50 dB
    }

    @Test
    fun onlyTheCountedPartIsMeasured() = assertEquals(-20f, Level.of(floatArrayOf(.1f, .1f, 1f), 2).rmsDb, .01f)

    @Test
    fun stereoIsMixedToItsMean() {
        val pcm = ByteBuffer.allocate(8).order(ByteOrder.nativeOrder())
        // Two frames of two channels.
        listOf(16_384, 0, -32_768, -32_768).forEach { pcm.putShort(it.toShort()) }
        pcm.flip()
        val heard = mutableListOf<Float>()
        val frames = PcmMixer(RATE, channels = 2, float = false).deliver(pcm, Ear(heard))
        assertEquals(2, frames)
        assertEquals(listOf(.25f, -1f), heard)
    }

    @Test
    fun floatsBeyondFullScaleAreClipped() {
        val pcm = ByteBuffer.allocate(8).order(ByteOrder.nativeOrder()).putFloat(1.5f).putFloat(-.25f)
        pcm.flip()
        val heard = mutableListOf<Float>()
        PcmMixer(RATE, channels = 1, float = true).deliver(pcm, Ear(heard))
        assertEquals(listOf(1f, -.25f), heard)
    }

    private class Ear(private val heard: MutableList<Float>) : SoundSink {
        override fun onFormat(format: SoundFormat) = Unit

        override fun onSound(samples: FloatArray, count: Int) {
            heard += samples.take(count)
        }
    }

    private companion object {
        const val RATE = 22_050
    }
}
