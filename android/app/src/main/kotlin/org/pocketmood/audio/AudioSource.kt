package org.pocketmood.audio

/** What a source will deliver. [seconds] is null where it ends only when told to. */
data class SoundFormat(val sampleRate: Int, val seconds: Double?)

/** Receives what a source hears, on the source's thread. */
interface SoundListener {
    /** Called once, before any sound. */
    fun onFormat(format: SoundFormat)

    /** The first [count] of [samples], mono in [-1, 1]; the array is used again after the call. */
    fun onSound(samples: FloatArray, count: Int)
}

/** Where sound comes from: the microphone, a file, or a test. Used once. */
interface AudioSource {
    /** Delivers sound until the end or [stop], on the calling thread; a Problem comes as a PocketmoodException. */
    fun listen(listener: SoundListener)

    /** Makes [listen] return soon. May be called from any thread, and before it. */
    fun stop()
}
