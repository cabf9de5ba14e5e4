"""Ratings for composed music: cue equations, a term for the composition itself, and ten simulated listeners.

Conventions: everything here is on DEAM's scale from 1 to 9; arrays end in the two axes (valence, arousal). A song's
true score is what infinitely many listeners would rate on average. Its larger part follows from the cues (the cue
value), the rest is the composition: what no cue tells, correlated between the axes. The ratings of a song depend on
(seed, song) and its cues alone, never on the other songs.

These are labels made by a formula. They are as noisy as people's, and they are nobody's opinion.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketmood.data.corpora.song_parameters import Cues
from pocketmood.metrics import ccc

Array = NDArray[np.float64]

RATERS = 10
# Mean and standard deviation of DEAM's song means, their correlation, and the reliability (ICC) of one rater.
DEAM_MEAN = (5.00, 4.72)
DEAM_DEVIATION = (1.11, 1.34)
DEAM_CORRELATION = 0.60
DEAM_ICC = (0.29, 0.36)
# The cue equations of Eerola, Friberg & Bresin (2013), re-fitted to their published ratings: points of a 1-7 scale per
# unit of major, log2 of notes per second, register, loudness in dB, articulation, flute.
VALENCE_WEIGHTS = (2.33, 0.31, 0.061, -0.046, 0.16, 0.55)
AROUSAL_WEIGHTS = (0.0, 0.87, -0.012, 0.056, 0.21, -0.68)
# Mean and deviation of the two equations over the composer's music, to make standard scores. Fixed, so that a song's
# ratings do not change with the size of its corpus. Made by:
#   raw = [cue_equations(compose(2024, song).cues) for song in range(3000)]
#   np.mean(raw, 0), np.std(raw, 0)
CUE_MEAN = (6.274, 0.403)
CUE_DEVIATION = (1.145, 0.919)
# The share of the true score's variance that the cues explain, and how the rest correlates between the axes.
CUE_SHARE = 0.90
COMPOSITION_CORRELATION = 0.90
# Who finds a song livelier than others do also finds it happier: how one rater's two errors correlate.
OPINION_CORRELATION = 0.36
# Opinions beyond the ends of the scale become 1 or 9, which narrows the range of their means. Wider by this much
# before, it is DEAM's after.
WIDENING = (1.025, 1.055)


class Ratings(NamedTuple):
    """How one song was rated, from 1 to 9: `scores` is [raters, 2], in whole points."""

    cue: Array  # [2]: what the cues alone predict
    true: Array  # [2]: what infinitely many listeners would say
    scores: Array
    highest: Array  # [raters, 2]: the most that each rater heard within the song
    lowest: Array

    @property
    def mean(self) -> Array:
        """The mean opinion, which is the label."""
        return np.asarray(self.scores.mean(axis=0))

    @property
    def deviation(self) -> Array:
        """The population standard deviation of the opinions, as in DEAM's `_std` columns."""
        return np.asarray(self.scores.std(axis=0))


def cue_equations(cues: Cues) -> Array:
    """Return valence and arousal, up to a constant each, as the fitted equations hear them in the cues."""
    heard = np.array(
        [
            cues.major,
            math.log2(max(cues.notes_per_second, 0.1)),
            cues.register,
            cues.loudness_db,
            cues.articulation,
            cues.flute,
        ]
    )
    return np.asarray(np.array([VALENCE_WEIGHTS, AROUSAL_WEIGHTS]) @ heard)


def rate(cues: Cues, seed: int, song: int) -> Ratings:
    """Let ten listeners rate a song; same song, same opinions."""
    rng = np.random.default_rng([seed, song, 20])
    icc, deviation = np.array(DEAM_ICC), np.array(DEAM_DEVIATION) * WIDENING
    # Spearman-Brown: how much of the variance of ten raters' means is variance of true scores.
    reliability = RATERS * icc / (1 + (RATERS - 1) * icc)
    true_deviation = deviation * np.sqrt(reliability)
    # Rounding to whole points adds a twelfth to the variance of an opinion by itself.
    opinion_deviation = np.sqrt(true_deviation**2 * (1 - icc) / icc - 1 / 12)

    level = (cue_equations(cues) - CUE_MEAN) / CUE_DEVIATION
    composition = _correlated(rng, COMPOSITION_CORRELATION)
    cue = DEAM_MEAN + true_deviation * math.sqrt(CUE_SHARE) * level
    true = cue + true_deviation * math.sqrt(1 - CUE_SHARE) * composition

    # One pair per listener, because the two errors of one rater go together.
    errors = np.array([_correlated(rng, OPINION_CORRELATION) for _ in range(RATERS)])
    scores = _whole_points(true + opinion_deviation * errors)
    return Ratings(
        cue=np.clip(cue, 1, 9),
        true=np.clip(true, 1, 9),
        scores=scores,
        highest=_whole_points(scores + rng.poisson(0.9, (RATERS, 2))),
        lowest=_whole_points(scores - rng.poisson(0.9, (RATERS, 2))),
    )


def over_time(true: Array, seed: int, song: int, samples: int) -> Array:
    """Return mean ratings over time, [samples, 2] at 2 Hz, that drift about the true score; all in [-1, 1].

    Other listeners than the song-level ones, on a joystick that they use a little less widely, as in DEAM.
    """
    rng = np.random.default_rng([seed, song, 21])
    centre = 0.9 * true + 0.06 * rng.standard_normal(2)
    drift, path = 0.08 * rng.standard_normal(2), []
    for _ in range(samples):
        path.append(drift)
        # A pull back to the mean with a time constant of eight seconds, and a deviation of .08 in the long run.
        drift = drift * (1 - 1 / 16) + 0.08 * math.sqrt(1 / 8) * rng.standard_normal(2)
    return np.clip(centre + np.array(path), -1, 1)


def single_rater_icc(scores: Array) -> Array:
    """Return the reliability of one rater, ICC(1), per axis ([2]), of scores [songs, raters, 2]."""
    raters = scores.shape[1]
    between = raters * scores.mean(axis=1).var(axis=0, ddof=1)
    within = scores.var(axis=1, ddof=1).mean(axis=0)
    return np.asarray((between - within) / (between + (raters - 1) * within))


def summary(ratings: list[Ratings]) -> str:
    """Return a table of a corpus's ratings beside DEAM's, with the ceilings of perfect listeners."""
    label, true, cue = (np.array([getattr(r, name) for r in ratings]) for name in ("mean", "true", "cue"))
    correlation = float(np.corrcoef(label.T)[0, 1])
    icc = single_rater_icc(np.array([r.scores for r in ratings]))
    rows = [
        ("mean rating (1-9)", *label.mean(axis=0), *DEAM_MEAN),
        ("deviation of songs", *label.std(axis=0), *DEAM_DEVIATION),
        ("reliability of one rater", *icc, *DEAM_ICC),
    ]

    knows, hears = ([ccc(source[:, axis], label[:, axis]) for axis in (0, 1)] for source in (true, cue))
    lines = [f"{f'{len(ratings)} songs, {RATERS} raters':<38}  valence  arousal    DEAM"]
    lines += [f"{name:<38}  {v:7.2f}  {a:7.2f}    {dv:.2f} / {da:.2f}" for name, v, a, dv, da in rows]
    lines += [f"{'valence with arousal, r':<38}  {correlation:16.2f}    {DEAM_CORRELATION:.2f}"]
    for name, (v, a) in (
        ("CCC, listener who knows the true score", knows),
        ("CCC, listener who hears all cues", hears),
    ):
        lines += [f"{name:<38}  {v:7.2f}  {a:7.2f}    mean {(v + a) / 2:.2f}"]
    return "\n".join(lines)


def _correlated(rng: np.random.Generator, correlation: float) -> Array:
    first, second = rng.standard_normal(2)
    return np.array([first, correlation * first + math.sqrt(1 - correlation**2) * second])


def _whole_points(opinions: Array) -> Array:
    return np.clip(np.rint(opinions), 1, 9)
