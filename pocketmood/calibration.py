"""How wide the answered spread should be, and how often ratings then lie inside: calibration and coverage.

Conventions: arrays are [N, 2], valence before arousal. A student's spread is half the width of its 68 % interval: the
mean rating of 68 % of songs lies within the answer +- 1 spread. The head learns where listeners disagree, which gives
spreads their shape over songs; one factor per axis, from songs that the student was not trained on, gives the width.

Of each song a corpus tells the mean of its ratings (label) and their standard deviation (deviation). Two shares tell
what an interval of 1 or of 1.96 spreads holds:

    songs       of songs, the share whose mean rating lies inside: what the spread promises, 68 and 95 %; the second
                holds as far as errors are normal
    listeners   of single ratings, the share to be expected inside, mean over songs, ratings taken as normal: below the
                other, because listeners scatter about their mean
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketmood.metrics import AXES

ONE_SPREAD = 0.6827
"""Share of a normal distribution within one standard deviation."""
LEVELS = {"68": 1.0, "95": 1.96}
"""Nominal per cent of each interval, and its half width in spreads."""
_TINY = 1e-9
Array = NDArray[np.floating[Any]]


def calibration(emotion: Array, spread: Array, labels: Array) -> NDArray[np.float64]:
    """Return the factor per axis [2] with which `spread` holds the mean rating of 68.27 % of songs.

    The ceil(.6827 (N + 1))-th smallest of |label - answer| / spread, at most the largest: the quantile of split
    conformal prediction (Papadopoulos et al. 2002), which keeps its promise on new songs whatever the errors'
    distribution, if they come from where these come from.
    """
    misses = np.sort(np.abs(labels - emotion.astype(float)) / spread.astype(float), axis=0)
    rank = min(math.ceil(ONE_SPREAD * (len(misses) + 1)), len(misses))
    factor: NDArray[np.float64] = misses[rank - 1]
    return factor


def coverage(emotion: Array, spread: Array, labels: Array, deviations: Array) -> dict[str, Any]:
    """Return the shares of listeners and of songs inside each interval: {"listeners": {"68": {"valence": ...}}, ...}.

    Listeners are None where no song has a deviation.
    """
    known = _known(deviations)
    shares: dict[str, Any] = {"listeners": {}, "songs": songs_inside(emotion, spread, labels)}
    for level, half_width in LEVELS.items():
        reach = half_width * spread.astype(float)
        inside = expected_inside(emotion[known], reach[known], labels[known], deviations[known])
        shares["listeners"][level] = _by_axis(inside.mean(0)) if known.any() else None
    return shares


def songs_inside(emotion: Array, spread: Array, labels: Array) -> dict[str, dict[str, float]]:
    """Return the share of songs whose mean rating lies inside each interval: {"68": {"valence": ...}, ...}."""
    misses = np.abs(labels - emotion)
    return {level: _by_axis((misses <= width * spread.astype(float)).mean(0)) for level, width in LEVELS.items()}


def expected_inside(emotion: Array, reach: Array, labels: Array, deviations: Array) -> NDArray[np.float64]:
    """Return P(|rating - answer| < reach) for ratings from N(label, deviation), song by song [N, 2]."""
    width = np.maximum(deviations.astype(float), _TINY)  # listeners who all agree: nearly a step
    low, high = ((emotion + sign * reach - labels) / width for sign in (-1, 1))
    share: NDArray[np.float64] = _normal_share(high) - _normal_share(low)
    return share


def _normal_share(z: Array) -> NDArray[np.float64]:
    """Return the standard normal distribution function."""
    return np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in z.ravel()]).reshape(z.shape)


def _known(deviations: Array) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = np.isfinite(deviations).all(1)
    return known


def _by_axis(values: Array) -> dict[str, float]:
    return {**dict(zip(AXES, map(float, values), strict=True)), "mean": float(np.mean(values))}
