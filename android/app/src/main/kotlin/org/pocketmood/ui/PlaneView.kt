package org.pocketmood.ui

import android.content.Context
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.graphics.Path
import android.graphics.RectF
import android.graphics.Typeface
import android.util.AttributeSet
import android.view.View
import org.pocketmood.R
import org.pocketmood.model.Emotion
import org.pocketmood.model.Prediction
import org.pocketmood.model.Quadrant
import org.pocketmood.model.quadrant

/** The valence-arousal plane: four named quadrants, the newest prediction in its ellipse, and a fading trail behind it. */
class PlaneView @JvmOverloads constructor(context: Context, attributes: AttributeSet? = null) : View(context, attributes) {
    private val density = resources.displayMetrics.density
    private val plane = RectF()
    private val outline = Path()
    private val corner = resources.getDimension(R.dimen.corner)
    private val fill = Paint(Paint.ANTI_ALIAS_FLAG)
    private val stroke = Paint(Paint.ANTI_ALIAS_FLAG).apply { style = Paint.Style.STROKE }
    private val words = Paint(Paint.ANTI_ALIAS_FLAG).apply { textSize = resources.getDimension(R.dimen.text_plane) }
    private val medium = Typeface.create("sans-serif-medium", Typeface.NORMAL)
    private var trail: List<Prediction> = emptyList()

    init {
        contentDescription = resources.descriptionOf(null)
    }

    /** Shows the last of [predictions], oldest first; none clears the plane. */
    fun show(predictions: List<Prediction>) {
        trail = predictions.takeLast(TRAIL)
        contentDescription = resources.descriptionOf(trail.lastOrNull())
        invalidate()
    }

    /** Where an emotion lies in this view, in pixels. */
    fun x(emotion: Emotion): Float = plane.centerX() + emotion.valence * plane.width() / 2

    fun y(emotion: Emotion): Float = plane.centerY() - emotion.arousal * plane.height() / 2

    /** As wide as it may be, and no higher than half of the screen where the layout gives no height. */
    override fun onMeasure(widthSpec: Int, heightSpec: Int) {
        val width = MeasureSpec.getSize(widthSpec)
        val free = MeasureSpec.getMode(heightSpec) == MeasureSpec.UNSPECIFIED
        val most = if (free) (resources.displayMetrics.heightPixels * SHARE_OF_SCREEN).toInt() else MeasureSpec.getSize(heightSpec)
        val exact = MeasureSpec.getMode(heightSpec) == MeasureSpec.EXACTLY
        setMeasuredDimension(width, if (exact) most else minOf(width, most))
    }

    override fun onSizeChanged(width: Int, height: Int, oldWidth: Int, oldHeight: Int) {
        val margin = words.textSize * 1.7f // the ends of the axes are named outside
        val half = minOf(width, height) / 2f - margin
        plane.set(width / 2f - half, height / 2f - half, width / 2f + half, height / 2f + half)
        outline.reset()
        outline.addRoundRect(plane, corner, corner, Path.Direction.CW)
    }

    override fun onDraw(canvas: Canvas) {
        drawQuadrants(canvas)
        drawAxes(canvas)
        drawTrail(canvas)
        trail.lastOrNull()?.let { drawPoint(canvas, it) }
    }

    private fun drawQuadrants(canvas: Canvas) {
        canvas.save()
        canvas.clipPath(outline)
        fill.color = context.getColor(R.color.card)
        canvas.drawRect(plane, fill)
        for (quadrant in Quadrant.entries) {
            val (right, up) = quadrant.side
            fill.color = faded(context.getColor(quadrant.color), .10f)
            val left = if (right) plane.centerX() else plane.left
            val top = if (up) plane.top else plane.centerY()
            canvas.drawRect(left, top, left + plane.width() / 2, top + plane.height() / 2, fill)
            drawName(canvas, quadrant, right, up)
        }
        canvas.restore()
    }

    private fun drawName(canvas: Canvas, quadrant: Quadrant, right: Boolean, up: Boolean) {
        val lines = resources.getString(quadrant.label).split('\n')
        val inset = 14 * density
        words.typeface = medium
        words.color = context.getColor(quadrant.color)
        words.textAlign = if (right) Paint.Align.RIGHT else Paint.Align.LEFT
        val x = if (right) plane.right - inset else plane.left + inset
        val first = if (up) plane.top + inset - words.ascent() * .8f else plane.bottom - inset - (lines.size - 1) * words.fontSpacing
        lines.forEachIndexed { i, line -> canvas.drawText(line, x, first + i * words.fontSpacing, words) }
    }

    private fun drawAxes(canvas: Canvas) {
        stroke.color = context.getColor(R.color.line)
        stroke.strokeWidth = density
        canvas.drawPath(outline, stroke)
        canvas.drawLine(plane.left, plane.centerY(), plane.right, plane.centerY(), stroke)
        canvas.drawLine(plane.centerX(), plane.top, plane.centerX(), plane.bottom, stroke)
        words.typeface = Typeface.DEFAULT
        words.color = context.getColor(R.color.text_soft)
        words.textAlign = Paint.Align.CENTER
        val gap = words.textSize * .55f
        canvas.drawText(resources.getString(R.string.excited_end), plane.centerX(), plane.top - gap, words)
        canvas.drawText(resources.getString(R.string.calm_end), plane.centerX(), plane.bottom + gap - words.ascent() * .8f, words)
        drawSideways(canvas, R.string.unpleasant, plane.left - gap)
        drawSideways(canvas, R.string.pleasant, plane.right + gap - words.ascent() * .8f)
    }

    /** Reads upwards, as on any chart's vertical axis. */
    private fun drawSideways(canvas: Canvas, text: Int, x: Float) {
        canvas.save()
        canvas.rotate(-90f, x, plane.centerY())
        canvas.drawText(resources.getString(text), x, plane.centerY(), words)
        canvas.restore()
    }

    private fun drawTrail(canvas: Canvas) {
        stroke.strokeWidth = 2.5f * density
        trail.zipWithNext().forEachIndexed { i, (from, to) ->
            // The newest is the strongest, and a short trail is no fainter than the end of a long one.
            val strength = (i + 1f) / TRAIL + 1 - trail.size.toFloat() / TRAIL
            stroke.color = faded(accent(to), .6f * strength)
            canvas.drawLine(x(from.emotion), y(from.emotion), x(to.emotion), y(to.emotion), stroke)
            fill.color = faded(accent(from), .6f * strength)
            canvas.drawCircle(x(from.emotion), y(from.emotion), 3.5f * density, fill)
        }
    }

    /** The half-axes of the ellipse are the half-widths of the 68 % intervals, so that it shows what the numbers' ± says. */
    private fun drawPoint(canvas: Canvas, prediction: Prediction) {
        val (x, y) = x(prediction.emotion) to y(prediction.emotion)
        val (wide, high) = prediction.interval68.valence * plane.width() / 2 to prediction.interval68.arousal * plane.height() / 2

        // Cut at the outline: an interval may reach beyond the scale, where no rating lies.
        canvas.save()
        canvas.clipPath(outline)
        fill.color = faded(accent(prediction), .16f)
        canvas.drawOval(x - wide, y - high, x + wide, y + high, fill)
        stroke.color = faded(accent(prediction), .55f)
        stroke.strokeWidth = 1.5f * density
        canvas.drawOval(x - wide, y - high, x + wide, y + high, stroke)
        canvas.restore()

        // A rim in the colour of the ground: the point stands out from its own ellipse.
        fill.color = context.getColor(R.color.card)
        canvas.drawCircle(x, y, 13 * density, fill)
        fill.color = accent(prediction)
        canvas.drawCircle(x, y, 10 * density, fill)
    }

    private fun accent(prediction: Prediction) = context.getColor(prediction.emotion.quadrant.color)

    private companion object {
        /** Predictions in the trail: twenty seconds of a microphone's. */
        const val TRAIL = 20
        const val SHARE_OF_SCREEN = .5f
    }
}

/** Whether a quadrant lies on the right, and whether it lies above. */
private val Quadrant.side: Pair<Boolean, Boolean>
    get() =
        when (this) {
            Quadrant.HAPPY_ENERGETIC -> true to true
            Quadrant.ANGRY_TENSE -> false to true
            Quadrant.SAD_CALM -> false to false
            Quadrant.CONTENT_RELAXED -> true to false
        }

/** The same colour with another opacity, 0 to 1. */
internal fun faded(color: Int, opacity: Float): Int =
    Color.argb((opacity.coerceIn(0f, 1f) * 255).toInt(), Color.red(color), Color.green(color), Color.blue(color))
