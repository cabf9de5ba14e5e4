package org.pocketmood.ui

import android.app.Activity
import android.view.View
import android.widget.Button
import android.widget.TextView
import kotlin.math.ceil
import org.pocketmood.R
import org.pocketmood.model.mood
import org.pocketmood.model.quadrant
import org.pocketmood.session.Impression
import org.pocketmood.session.Run
import org.pocketmood.session.UiState
import org.pocketmood.session.model
import org.pocketmood.session.run

/** Draws the state on the listening screen's views. */
class ListenScreen(private val activity: Activity) {
    private val plane: PlaneView = activity.findViewById(R.id.plane)
    private val modelName: TextView = activity.findViewById(R.id.model_name)
    private val headline: TextView = activity.findViewById(R.id.headline)
    private val numbers: TextView = activity.findViewById(R.id.numbers)
    private val remedy: Button = activity.findViewById(R.id.remedy)
    private val hearing: View = activity.findViewById(R.id.hearing)
    private val timeline: TimelineView = activity.findViewById(R.id.timeline)
    private val meter: MeterView = activity.findViewById(R.id.meter)
    private val source: TextView = activity.findViewById(R.id.source)
    private val listen: Button = activity.findViewById(R.id.listen)
    private val openFile: Button = activity.findViewById(R.id.open_file)
    private val resources get() = activity.resources

    fun show(state: UiState) {
        val listening = state is UiState.Listening
        modelName.text = state.model?.entry?.let { "${it.bundle.name} · ${it.precision}" }.orEmpty()
        modelName.visibility = shown(modelName.text.isNotEmpty())

        listen.setText(if (listening) R.string.stop else R.string.listen)
        listen.isEnabled = state.model != null
        openFile.isEnabled = state.model != null
        listOf(listen, openFile).forEach { it.alpha = if (it.isEnabled) 1f else DISABLED }

        // Music goes on for longer than nobody touches the screen.
        plane.keepScreenOn = listening
        plane.show(state.run?.moments.orEmpty().map { it.prediction })
        remedy.visibility = shown(state is UiState.Failed)
        hearing.visibility = shown(state.run != null)
        state.run?.let(::showRun)

        when (state) {
            is UiState.Preparing -> say(activity.getString(state.step.label), activity.getString(R.string.preparing_text))
            is UiState.Ready -> say(activity.getString(R.string.ready_title), activity.getString(R.string.ready_text))
            is UiState.Failed -> {
                val message = state.problem.message(resources)
                say(message.title, message.text)
                remedy.setText(message.remedy.label)
            }
            is UiState.Listening, is UiState.Stopped -> Unit
        }
    }

    private fun showRun(run: Run) {
        timeline.show(run)
        meter.show(run.level)
        source.text = resources.sourceOf(run)
        when (val impression = run.impression) {
            is Impression.Gathering -> {
                // Rounded up: "0 s" would stand there while it still waits.
                val seconds = ceil(impression.secondsLeft).toInt()
                say(activity.getString(R.string.gathering_title), activity.getString(R.string.gathering_text, seconds))
            }
            Impression.Silence -> say(activity.getString(R.string.silence_title), activity.getString(R.string.silence_text))
            is Impression.Felt -> {
                val emotion = impression.prediction.emotion
                say(activity.getString(emotion.mood.label), resources.numbersOf(impression.prediction), emotion.quadrant.color)
            }
        }
    }

    /** Sets a text only where it changed: a screen reader would say it again every second. */
    private fun say(title: String, text: String, color: Int = R.color.text) {
        if (headline.text.toString() != title) headline.text = title
        headline.setTextColor(activity.getColor(color))
        numbers.text = text
    }

    private fun shown(yes: Boolean) = if (yes) View.VISIBLE else View.GONE

    private companion object {
        const val DISABLED = .4f
    }
}
