"""Simulated ratings: the cue equations by hand, DEAM's statistics, and the ceilings that follow."""

from __future__ import annotations

import numpy as np
import pytest

from pocketmood.data.corpora.composer import compose
from pocketmood.data.corpora.raters import (
    AROUSAL_WEIGHTS,
    CUE_DEVIATION,
    CUE_MEAN,
    DEAM_CORRELATION,
    DEAM_DEVIATION,
    DEAM_ICC,
    DEAM_MEAN,
    RATERS,
    VALENCE_WEIGHTS,
    cue_equations,
    over_time,
    rate,
    single_rater_icc,
    summary,
)
from pocketmood.data.corpora.song_parameters import Cues
from pocketmood.metrics import ccc

MIDDLING = Cues(
    major=0.5, notes_per_second=2.0, register=65.0, loudness_db=0.0, articulation=2.0, flute=0.5
)  # fmt: skip


def cues_with_levels(valence: float, arousal: float) -> Cues:
    """Solve major and loudness for the wanted standard scores; all other cues stay in the middle."""
    wanted = np.array(CUE_MEAN) + np.array(CUE_DEVIATION) * (valence, arousal)
    short = wanted - cue_equations(MIDDLING)
    loudness = short[1] / AROUSAL_WEIGHTS[3]
    major = (short[0] - VALENCE_WEIGHTS[3] * loudness) / VALENCE_WEIGHTS[0]
    return Cues(0.5 + major, 2.0, 65.0, loudness, 2.0, 0.5)


@pytest.fixture(scope="module")
def ratings():
    """Ratings of 2000 songs whose cue values have DEAM-like correlation, without composing them."""
    rng = np.random.default_rng(0)
    levels = rng.multivariate_normal([0, 0], [[1, 0.63], [0.63, 1]], 2000)
    return [rate(cues_with_levels(*level), 5, song) for song, level in enumerate(levels)]


def test_cue_equations_by_hand():
    # 2.33 x .5 + .31 x log2(2) + .061 x 65 + .16 x 2 + .55 x .5; .87 x 1 - .012 x 65 + .21 x 2 - .68 x .5
    np.testing.assert_allclose(cue_equations(MIDDLING), [6.035, 0.17], rtol=0, atol=1e-9)
    louder = Cues(0.5, 2.0, 65.0, 10.0, 2.0, 0.5)
    np.testing.assert_allclose(cue_equations(louder) - cue_equations(MIDDLING), [-0.46, 0.56], rtol=0, atol=1e-9)


def test_ratings_are_whole_points_and_the_label_is_their_mean():
    rating = rate(MIDDLING, 1, 2)
    assert rating.scores.shape == (RATERS, 2)
    assert set(rating.scores.ravel()) <= set(range(1, 10))
    np.testing.assert_allclose(rating.mean, rating.scores.sum(axis=0) / 10, rtol=1e-12, atol=0)
    deviation = np.sqrt(((rating.scores - rating.mean) ** 2).sum(axis=0) / 10)  # population: divided by n
    np.testing.assert_allclose(rating.deviation, deviation, rtol=1e-12, atol=0)
    assert (rating.lowest <= rating.scores).all()
    assert (rating.scores <= rating.highest).all()


def test_ratings_depend_on_the_song_and_on_nothing_else():
    np.testing.assert_array_equal(rate(MIDDLING, 1, 2).scores, rate(MIDDLING, 1, 2).scores)
    assert (rate(MIDDLING, 1, 2).scores != rate(MIDDLING, 1, 3).scores).any()
    assert (rate(MIDDLING, 1, 2).scores != rate(MIDDLING, 2, 2).scores).any()


def test_statistics_are_deams(ratings):
    label = np.array([rating.mean for rating in ratings])
    # Standard errors of 2000 songs: .03 for means, .02 for deviations, .014 for the correlation.
    np.testing.assert_allclose(label.mean(axis=0), DEAM_MEAN, rtol=0, atol=0.07)
    np.testing.assert_allclose(label.std(axis=0), DEAM_DEVIATION, rtol=0, atol=0.05)
    np.testing.assert_allclose(np.corrcoef(label.T)[0, 1], DEAM_CORRELATION, rtol=0, atol=0.04)
    icc = single_rater_icc(np.array([rating.scores for rating in ratings]))
    np.testing.assert_allclose(icc, DEAM_ICC, rtol=0, atol=0.02)


def test_reliability_of_raters_who_agree_and_of_raters_who_guess():
    truth = np.arange(200.0)[:, None, None] % 9 + np.zeros((1, 10, 2))
    np.testing.assert_allclose(single_rater_icc(truth), [1, 1], rtol=0, atol=1e-12)
    guesses = np.random.default_rng(0).normal(size=(2000, 10, 2))
    np.testing.assert_allclose(single_rater_icc(guesses), [0, 0], rtol=0, atol=0.02)


def test_ceilings_are_what_reliability_allows(ratings):
    # Knowing the true score, CCC = 2 rho / (1 + rho), with rho = k ICC / (1 + (k - 1) ICC) of the mean of k raters.
    icc = np.array(DEAM_ICC)
    rho = RATERS * icc / (1 + (RATERS - 1) * icc)
    true, label = (np.array([getattr(rating, name) for rating in ratings]) for name in ("true", "mean"))
    found = [ccc(true[:, axis], label[:, axis]) for axis in (0, 1)]
    np.testing.assert_allclose(found, 2 * rho / (1 + rho), rtol=0, atol=0.015)
    cue = np.array([rating.cue for rating in ratings])
    heard = [ccc(cue[:, axis], label[:, axis]) for axis in (0, 1)]
    assert all(h < f for h, f in zip(heard, found, strict=True))


def test_stored_cue_constants_are_those_of_the_composers_music():
    raw = np.array([cue_equations(compose(2024, song).cues) for song in range(80)])
    level = (raw - CUE_MEAN) / CUE_DEVIATION
    # 80 songs: standard errors .11 of the mean, .08 of the deviation.
    np.testing.assert_allclose(level.mean(axis=0), 0, rtol=0, atol=0.3)
    np.testing.assert_allclose(level.std(axis=0), 1, rtol=0, atol=0.22)
    assert 0.4 < np.corrcoef(level.T)[0, 1] < 0.8


def test_ratings_over_time_drift_about_the_song():
    true = np.array([0.4, -0.6])
    paths = np.array([over_time(true, 0, song, 32) for song in range(300)])
    assert paths.shape == (300, 32, 2)
    assert np.abs(paths).max() <= 1
    np.testing.assert_allclose(paths.mean(axis=(0, 1)), 0.9 * true, rtol=0, atol=0.02)
    np.testing.assert_array_equal(paths[3], over_time(true, 0, 3, 32))
    steps = np.abs(np.diff(paths, axis=1)).mean()
    assert 0 < steps < 0.05  # half a second moves the joystick a little


def test_summary_names_statistics_and_ceilings(ratings):
    text = summary(ratings[:100])
    for words in (
        "100 songs, 10 raters",
        "valence with arousal",
        "knows the true score",
        "hears all cues",
        "5.00 / 4.72",
    ):
        assert words in text
