package org.pocketmood.audio

import java.util.Random
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test

class RingBufferTest {
    @Test
    fun keepsTheNewestOldestFirst() {
        val ring = RingBuffer(3)
        ring.append(floatArrayOf(1f, 2f))
        ring.append(floatArrayOf(3f, 4f))
        assertArrayEquals(floatArrayOf(2f, 3f, 4f), ring.snapshot(), 0f)
    }

    @Test
    fun repeatsTooLittleFromItsStart() {
        val ring = RingBuffer(5)
        ring.append(floatArrayOf(1f, 2f))
        assertArrayEquals(floatArrayOf(1f, 2f, 1f, 2f, 1f), ring.snapshot(), 0f)
    }

    @Test
    fun isSilentBeforeAnythingWasHeard() = assertArrayEquals(FloatArray(4), RingBuffer(4).snapshot(), 0f)

    @Test
    fun takesMoreAtOnceThanItHolds() {
        val ring = RingBuffer(3)
        ring.append(floatArrayOf(9f))
        ring.append(FloatArray(10) { it.toFloat() })
        assertArrayEquals(floatArrayOf(7f, 8f, 9f), ring.snapshot(), 0f)
        assertEquals(11, ring.total)
    }

    @Test
    fun takesOnlyTheCountedPart() {
        val ring = RingBuffer(2)
        ring.append(floatArrayOf(1f, 2f, 99f), 2)
        assertArrayEquals(floatArrayOf(1f, 2f), ring.snapshot(), 0f)
    }

    @Test
    fun equalsASlowTwinForAnyChunks() {
        val random = Random(7)
        val ring = RingBuffer(64)
        val twin = mutableListOf<Float>()
        repeat(200) {
            val chunk = FloatArray(random.nextInt(90)) { random.nextFloat() }
            ring.append(chunk)
            twin += chunk.toList()
            val count = random.nextInt(64)
            assertEquals(twin.takeLast(minOf(count, 64)), ring.newest(count).toList())
        }
        assertEquals(twin.takeLast(64), ring.snapshot().toList())
    }
}
