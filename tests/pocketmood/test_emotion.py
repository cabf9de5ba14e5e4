"""Scales by hand, words by direction."""

from __future__ import annotations

import pytest

from pocketmood.emotion import Emotion, deviation_from_nine, from_nine, mood_word, quadrant, to_nine


@pytest.mark.parametrize(("rating", "value"), [(1, -1), (5, 0), (9, 1), (6, 0.25)])
def test_scales_by_hand(rating: float, value: float) -> None:
    assert from_nine(rating) == value
    assert to_nine(value) == rating


def test_a_spread_has_no_offset() -> None:
    assert deviation_from_nine(2) == 0.5


@pytest.mark.parametrize(
    ("point", "name"),
    [
        ((0.5, 0.5), "happy-energetic"),
        ((-0.5, 0.5), "angry-tense"),
        ((-0.5, -0.5), "sad-calm"),
        ((0.5, -0.5), "content-relaxed"),
        ((0.0, 0.0), "happy-energetic"),
    ],
)
def test_quadrants(point: tuple[float, float], name: str) -> None:
    assert quadrant(Emotion(*point)) == name


@pytest.mark.parametrize(
    ("point", "word"),
    [
        ((0.8, 0.0), "pleased"),
        ((0.8, 0.7), "happy"),
        ((0.0, 0.8), "excited"),
        ((-0.3, 0.3), "tense"),
        ((-0.8, 0.0), "distressed"),
        ((-0.5, -0.5), "sad"),
        ((0.0, -0.9), "sleepy"),
        ((0.5, -0.5), "relaxed"),
        ((0.1, 0.1), "neutral"),
        ((0.8, -0.1), "pleased"),
    ],
)
def test_words(point: tuple[float, float], word: str) -> None:
    assert mood_word(Emotion(*point)) == word
