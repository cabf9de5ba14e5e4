package org.pocketmood.ui

import android.content.res.Resources
import java.util.Locale
import org.pocketmood.R
import org.pocketmood.model.Mood
import org.pocketmood.model.Prediction
import org.pocketmood.model.Quadrant
import org.pocketmood.model.mood
import org.pocketmood.session.Run
import org.pocketmood.session.Source
import org.pocketmood.session.Step

val Quadrant.label: Int get() = labelAndColor.first
val Quadrant.color: Int get() = labelAndColor.second

private val Quadrant.labelAndColor: Pair<Int, Int>
    get() =
        when (this) {
            Quadrant.HAPPY_ENERGETIC -> R.string.quadrant_happy_energetic to R.color.happy_energetic
            Quadrant.ANGRY_TENSE -> R.string.quadrant_angry_tense to R.color.angry_tense
            Quadrant.SAD_CALM -> R.string.quadrant_sad_calm to R.color.sad_calm
            Quadrant.CONTENT_RELAXED -> R.string.quadrant_content_relaxed to R.color.content_relaxed
        }

// `when` and no table: an enum's new value that has no word does not compile.
val Mood.label: Int
    get() =
        when (this) {
            Mood.PLEASED -> R.string.mood_pleased
            Mood.HAPPY -> R.string.mood_happy
            Mood.EXCITED -> R.string.mood_excited
            Mood.TENSE -> R.string.mood_tense
            Mood.DISTRESSED -> R.string.mood_distressed
            Mood.SAD -> R.string.mood_sad
            Mood.SLEEPY -> R.string.mood_sleepy
            Mood.RELAXED -> R.string.mood_relaxed
            Mood.NEUTRAL -> R.string.mood_neutral
        }

val Step.label: Int
    get() =
        when (this) {
            Step.UNPACKING -> R.string.preparing_unpacking
            Step.IMPORTING -> R.string.preparing_importing
            Step.LOADING -> R.string.preparing_loading
            Step.TESTING -> R.string.preparing_testing
        }

/** Minutes and seconds, "2:05"; hours where there are any. */
fun clock(seconds: Float): String {
    val all = seconds.toInt()
    val (hours, minutes) = all / 3600 to all / 60 % 60
    return if (hours > 0) String.format(Locale.ROOT, "%d:%02d:%02d", hours, minutes, all % 60)
    else String.format(Locale.ROOT, "%d:%02d", minutes, all % 60)
}

fun Resources.sourceOf(run: Run): String {
    val length = run.lengthS
    return when (val source = run.source) {
        Source.Microphone -> getString(R.string.from_microphone, clock(run.heardS))
        is Source.File ->
            if (length == null) getString(R.string.from_file, source.name, clock(run.heardS))
            else getString(R.string.from_file_of, source.name, clock(minOf(run.heardS, length)), clock(length))
    }
}

fun Resources.numbersOf(prediction: Prediction): String = getString(R.string.numbers, *prediction.numbers)

/** The plane in words, for a screen reader. */
fun Resources.descriptionOf(prediction: Prediction?): String =
    if (prediction == null) getString(R.string.plane_empty)
    else getString(R.string.plane_point, getString(prediction.emotion.mood.label), *prediction.numbers)

/** Valence and its half-width, arousal and its: the order in which the strings take them. */
private val Prediction.numbers get() = arrayOf(emotion.valence, interval68.valence, emotion.arousal, interval68.arousal)
