package org.pocketmood.model

import kotlin.math.atan2
import kotlin.math.hypot
import kotlin.math.round

/** A point on the valence-arousal plane, each axis in [-1, 1]; also used for a width per axis, in the same unit. */
data class Emotion(val valence: Float, val arousal: Float)

/**
 * Prediction for 30 s of music. [interval68] is half the width of the 68 % interval of a song's mean rating: of 100 songs,
 * 68 have a mean rating this near to [emotion], axis by axis.
 */
data class Prediction(val emotion: Emotion, val interval68: Emotion)

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
        // Below the axis the angle is negative: floorMod, not %, brings it back onto the circle.
        return Mood.entries[Math.floorMod(round(turns).toInt(), Mood.NEUTRAL.ordinal)]
    }

// Both as in Python's `pocketmood.emotion`; a Python test compares the radius.
private const val NEUTRAL_RADIUS = 0.15f
private const val DEGREES_PER_WORD = 45.0
