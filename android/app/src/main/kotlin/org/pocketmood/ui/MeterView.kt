package org.pocketmood.ui

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View
import org.pocketmood.R
import org.pocketmood.audio.Level
import org.pocketmood.audio.SILENCE_DB

/** Level meter, from silence to full scale, with a mark at the newest peak. */
class MeterView @JvmOverloads constructor(context: Context, attributes: AttributeSet? = null) : View(context, attributes) {
    private val paint = Paint(Paint.ANTI_ALIAS_FLAG)
    private var level = Level.NONE

    fun show(heard: Level) {
        level = heard
        contentDescription = resources.getString(R.string.meter_described, -heard.rmsDb)
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        val round = height / 2f
        paint.color = faded(context.getColor(R.color.text), .07f)
        canvas.drawRoundRect(0f, 0f, width.toFloat(), height.toFloat(), round, round, paint)
        if (share(level.rmsDb) > 0) {
            paint.color = context.getColor(R.color.accent)
            // No shorter than its two round ends.
            canvas.drawRoundRect(0f, 0f, maxOf(2 * round, share(level.rmsDb) * width), height.toFloat(), round, round, paint)
        }
        if (share(level.peakDb) > 0) canvas.drawCircle((share(level.peakDb) * width).coerceIn(round, width - round), round, round, paint)
    }

    private fun share(db: Float) = ((db - SILENCE_DB) / -SILENCE_DB).coerceIn(0f, 1f)
}
