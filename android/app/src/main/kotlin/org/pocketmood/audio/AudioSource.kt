package org.pocketmood.audio

/** What a source will deliver: samples per second, and [seconds], null where it ends only by [AudioSource.stop]. */
data class SoundFormat(val sampleRate: Int, val seconds: Double?)

/** Receiver of a source's sound, called on the source's thread. */
interface SoundSink {
    /** Called once, before any sound. */
    fun onFormat(format: SoundFormat)

    /** The first [count] of [samples], mono in [-1, 1]; the array is used again after the call. */
    fun onSound(samples: FloatArray, count: Int)
}

/** Source of sound: the microphone, a file, or a test. Used once. */
interface AudioSource {
    /** Delivers sound until the end or [stop], on the calling thread; a Problem comes as a PocketmoodException. */
    fun deliver(to: SoundSink)

    /** Makes [deliver] return soon. May be called from any thread, and before it. */
    fun stop()
}
