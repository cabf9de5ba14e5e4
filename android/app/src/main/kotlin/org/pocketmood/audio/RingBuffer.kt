package org.pocketmood.audio

/** Ring buffer: the newest [capacity] samples of a stream. Not thread-safe: one thread both fills it and takes snapshots. */
class RingBuffer(val capacity: Int) {
    private val data = FloatArray(capacity)

    /** Samples heard since the start. */
    var total = 0L
        private set

    private val held: Int get() = minOf(total, capacity.toLong()).toInt()

    /** Adds the first [count] of [samples]; the oldest make room. */
    fun append(samples: FloatArray, count: Int = samples.size) {
        // Of more than fits only the end is written, but all of it counts as heard.
        val skipped = maxOf(0, count - capacity)
        var from = skipped
        var at = ((total + skipped) % capacity).toInt()
        while (from < count) {
            val length = minOf(count - from, capacity - at)
            samples.copyInto(data, at, from, from + length)
            from += length
            at = (at + length) % capacity
        }
        total += count
    }

    /** Returns [capacity] samples, oldest first; fewer are repeated from their start, as Python's `audio.fit` does. */
    fun snapshot(): FloatArray {
        val heard = newest(held)
        return if (heard.size == capacity || heard.isEmpty()) heard.copyOf(capacity) else FloatArray(capacity) { heard[it % heard.size] }
    }

    /** Returns the newest [count] samples, or all that are held, oldest first. */
    fun newest(count: Int): FloatArray {
        val length = minOf(count, held)
        val start = ((total - length) % capacity).toInt()
        val first = minOf(length, capacity - start)
        val found = FloatArray(length)
        data.copyInto(found, 0, start, start + first)
        data.copyInto(found, first, 0, length - first)
        return found
    }
}
