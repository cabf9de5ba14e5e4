package org.pocketmood.model

import kotlin.math.atan2
import kotlin.math.hypot
import kotlin.math.round

/** A point on the valence-arousal plane, each axis in [-1, 1]; also used for a spread per axis, in the same unit. */
data class Emotion(val valence: Float, val arousal: Float)

/** What a model says of 30 s of music. [spread]: the mean rating of 68 % of songs lies this near. */
data class Answer(val emotion: Emotion, val spread: Emotion)

/** The four quarters of the plane, counter-clockwise from the upper right. */
enum class Quadrant { HAPPY_ENERGETIC, ANGRY_TENSE, SAD_CALM, CONTENT_RELAXED }

/** Eight directions around the plane, counter-clockwise from pure pleasantness, and its middle. */
enum class Mood { PLEASED, HAPPY, EXCITED, TENSE, DISTRESSED, SAD, SLEEPY, RELAXED, NEUTRAL }

/** Zero counts as positive on both axes, as in Python's `pocketmood.emotion`. */
val Emotion.quadrant: Quadrant
    get() =
        when {
            arousal >= 0 && valence >= 0 -> Quadrant.HAPPY_ENERGETIC
            arousal >= 0 -> Quadrant.ANGRY_TENSE
            valence >= 0 -> Quadrant.CONTENT_RELAXED
            else -> Quadrant.SAD_CALM
        }

/** The emotion in one word: its direction on the plane, 45 degrees each, or neutral within .15 of the middle. */
val Emotion.mood: Mood
    get() {
        if (hypot(valence, arousal) < NEUTRAL_RADIUS) return Mood.NEUTRAL
        val turns = Math.toDegrees(atan2(arousal.toDouble(), valence.toDouble())) / DEGREES_PER_WORD
        return Mood.entries[Math.floorMod(round(turns).toInt(), Mood.NEUTRAL.ordinal)]
    }

private const val NEUTRAL_RADIUS = 0.15f
private const val DEGREES_PER_WORD = 45.0
