"""Emotion as valence and arousal, the rating scale they come from, and the words for them.

Conventions: valence (unpleasant to pleasant) and arousal (calm to excited) lie in [-1, 1] everywhere in this project.
People rate on a 1-9 scale; 5 is the neutral middle, so one rating point is a quarter of our unit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

RATING_MIDDLE = 5.0
RATING_HALF_WIDTH = 4.0
TYPICAL_RATER_SD = 0.45
"""Standard deviation of a DEAM song's raters, typically: 1.8 points of the 1-9 scale. Networks that predict it begin
there."""
RATER_SD_FLOOR = 0.02
"""Smallest rater_sd that a network predicts; a rating step is .25."""
NEUTRAL_RADIUS = 0.15

# Eight directions around the plane, counter-clockwise from pure pleasantness, 45 degrees each: the places that
# listeners give these words on the affect circumplex (Russell 1980).
_WORDS = ("pleased", "happy", "excited", "tense", "distressed", "sad", "sleepy", "relaxed")


class Emotion(NamedTuple):
    """A point on the valence-arousal plane, each axis in [-1, 1]; also two deviations or half widths, in its unit."""

    valence: float
    arousal: float


def from_nine(rating: float) -> float:
    """Bring a 1-9 rating to [-1, 1]."""
    return (rating - RATING_MIDDLE) / RATING_HALF_WIDTH


def to_nine(value: float) -> float:
    """Bring a value in [-1, 1] back to the 1-9 scale."""
    return value * RATING_HALF_WIDTH + RATING_MIDDLE


def deviation_from_nine(deviation: float) -> float:
    """Bring a standard deviation in rating points to the unit of [-1, 1]."""
    return deviation / RATING_HALF_WIDTH


def quadrant(emotion: Emotion) -> str:
    """Name the quadrant of the plane; zero counts as positive on both axes."""
    if emotion.arousal >= 0:
        return "happy-energetic" if emotion.valence >= 0 else "angry-tense"
    return "content-relaxed" if emotion.valence >= 0 else "sad-calm"


def mood_word(emotion: Emotion) -> str:
    """Say the emotion in one word: its direction on the plane, or "neutral" within 0.15 of the middle."""
    if math.hypot(emotion.valence, emotion.arousal) < NEUTRAL_RADIUS:
        return "neutral"
    angle = math.degrees(math.atan2(emotion.arousal, emotion.valence)) % 360
    return _WORDS[round(angle / 45) % 8]
