package org.pocketmood.ui

import android.content.Context
import android.graphics.Canvas
import android.graphics.DashPathEffect
import android.graphics.Paint
import android.graphics.Path
import android.graphics.RectF
import android.util.AttributeSet
import android.view.View
import org.pocketmood.R
import org.pocketmood.model.quadrant
import org.pocketmood.session.Moment
import org.pocketmood.session.Run
import org.pocketmood.session.Source

/** Valence (full line) and arousal (dashed) over the session, above a ribbon in the quadrants' colours. */
class TimelineView @JvmOverloads constructor(context: Context, attributes: AttributeSet? = null) : View(context, attributes) {
    private val density = resources.displayMetrics.density
    private val area = RectF()
    private val ribbon = RectF()
    private val fill = Paint(Paint.ANTI_ALIAS_FLAG)
    private val line = Paint(Paint.ANTI_ALIAS_FLAG).apply { style = Paint.Style.STROKE }
    private val dashes = DashPathEffect(floatArrayOf(5 * density, 4 * density), 0f)
    private val words = Paint(Paint.ANTI_ALIAS_FLAG).apply { textSize = resources.getDimension(R.dimen.text_plane) }
    private val path = Path()
    private var moments: List<Moment> = emptyList()
    private var fromS = 0f
    private var toS = WINDOW_S

    init {
        show(Run(Source.Microphone))
    }

    /** Shows a whole file, or the last minutes of the microphone. */
    fun show(run: Run) {
        moments = run.moments
        toS = run.lengthS ?: maxOf(WINDOW_S, run.heardS)
        fromS = if (run.lengthS == null) toS - WINDOW_S else 0f
        contentDescription = resources.getString(R.string.timeline_described, moments.size, clock(run.heardS))
        invalidate()
    }

    override fun onSizeChanged(width: Int, height: Int, oldWidth: Int, oldHeight: Int) {
        val ribbonHeight = 6 * density
        val legend = listOf(R.string.valence, R.string.arousal).maxOf { words.measureText(resources.getString(it)) }
        area.set(legend + 30 * density, density, width.toFloat(), height - ribbonHeight - 6 * density)
        ribbon.set(area.left, height - ribbonHeight, area.right, height.toFloat())
    }

    override fun onDraw(canvas: Canvas) {
        drawLegend(canvas)
        drawFrame(canvas)
        val shown = moments.filter { it.atS >= fromS }
        drawRibbon(canvas, shown)
        drawLine(canvas, shown, dashed = false) { it.prediction.emotion.valence }
        drawLine(canvas, shown, dashed = true) { it.prediction.emotion.arousal }
    }

    private fun drawLegend(canvas: Canvas) {
        words.color = context.getColor(R.color.text_soft)
        listOf(R.string.valence, R.string.arousal).forEachIndexed { i, name ->
            val y = area.top + area.height() * (if (i == 0) .3f else .7f)
            style(dashed = i == 1)
            path.rewind()
            path.moveTo(0f, y)
            path.lineTo(18 * density, y)
            canvas.drawPath(path, line)
            canvas.drawText(resources.getString(name), 24 * density, y + words.textSize * .35f, words)
        }
    }

    private fun drawFrame(canvas: Canvas) {
        line.pathEffect = null
        line.strokeWidth = density
        line.color = context.getColor(R.color.line)
        for (y in listOf(area.top, area.centerY(), area.bottom)) canvas.drawLine(area.left, y, area.right, y, line)
    }

    private fun drawRibbon(canvas: Canvas, shown: List<Moment>) {
        fill.color = faded(context.getColor(R.color.text), .07f)
        canvas.drawRoundRect(ribbon, ribbon.height() / 2, ribbon.height() / 2, fill)
        fill.isAntiAlias = false // no seams between neighbours
        shown.forEachIndexed { i, moment ->
            fill.color = context.getColor(moment.prediction.emotion.quadrant.color)
            // From the moment before to this one; the first has none before it.
            val left = x(if (i == 0) moment.atS - 1 else shown[i - 1].atS)
            canvas.drawRect(maxOf(ribbon.left, left), ribbon.top, x(moment.atS), ribbon.bottom, fill)
        }
        fill.isAntiAlias = true
    }

    private fun drawLine(canvas: Canvas, shown: List<Moment>, dashed: Boolean, value: (Moment) -> Float) {
        path.rewind()
        shown.forEachIndexed { i, moment ->
            val y = area.centerY() - value(moment) * area.height() / 2
            if (i == 0) path.moveTo(x(moment.atS), y) else path.lineTo(x(moment.atS), y)
        }
        style(dashed)
        canvas.drawPath(path, line)
    }

    private fun style(dashed: Boolean) {
        line.pathEffect = if (dashed) dashes else null
        line.strokeWidth = 2 * density
        line.color = context.getColor(if (dashed) R.color.text_soft else R.color.text)
    }

    private fun x(atS: Float) = area.left + (atS - fromS) / (toS - fromS) * area.width()

    private companion object {
        /** Shown of endless sound. */
        const val WINDOW_S = 120f
    }
}
