package org.pocketmood.ui

import android.content.res.Resources
import java.util.Locale
import org.pocketmood.R
import org.pocketmood.model.Answer
import org.pocketmood.model.Mood
import org.pocketmood.model.Quadrant
import org.pocketmood.model.mood
import org.pocketmood.session.Run
import org.pocketmood.session.Source
import org.pocketmood.session.Step

val Quadrant.label: Int
    get() =
        when (this) {
            Quadrant.HAPPY_ENERGETIC -> R.string.quadrant_happy_energetic
            Quadrant.ANGRY_TENSE -> R.string.quadrant_angry_tense
            Quadrant.SAD_CALM -> R.string.quadrant_sad_calm
            Quadrant.CONTENT_RELAXED -> R.string.quadrant_content_relaxed
        }

val Quadrant.color: Int
    get() =
        when (this) {
            Quadrant.HAPPY_ENERGETIC -> R.color.happy_energetic
            Quadrant.ANGRY_TENSE -> R.color.angry_tense
            Quadrant.SAD_CALM -> R.color.sad_calm
            Quadrant.CONTENT_RELAXED -> R.color.content_relaxed
        }

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

fun Resources.numbersOf(answer: Answer): String =
    getString(R.string.numbers, answer.emotion.valence, answer.spread.valence, answer.emotion.arousal, answer.spread.arousal)

/** What a screen reader says of the point. */
fun Resources.descriptionOf(answer: Answer?): String {
    val emotion = answer?.emotion ?: return getString(R.string.plane_empty)
    val mood = getString(emotion.mood.label)
    return getString(R.string.plane_point, mood, emotion.valence, answer.spread.valence, emotion.arousal, answer.spread.arousal)
}
