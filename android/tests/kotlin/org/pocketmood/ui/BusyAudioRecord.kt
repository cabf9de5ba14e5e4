package org.pocketmood.ui

import android.media.AudioRecord
import org.robolectric.annotation.Implementation
import org.robolectric.annotation.Implements

/** A microphone that another app holds: it opens, start returns, and nothing is recorded. */
@Implements(AudioRecord::class)
class BusyAudioRecord {
    @Implementation
    @Suppress("unused", "FunctionName", "UNUSED_PARAMETER")
    fun native_start(event: Int, session: Int): Int = AudioRecord.ERROR_INVALID_OPERATION

    companion object {
        @JvmStatic
        @Implementation
        @Suppress("unused", "FunctionName", "UNUSED_PARAMETER")
        fun native_get_min_buff_size(rate: Int, channels: Int, format: Int): Int = 4096
    }
}
