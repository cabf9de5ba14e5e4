"""Conformal calibration of a student's intervals, and the share of ratings that lie inside them (coverage).

Conventions: arrays are [N, 2], valence before arousal, on [-1, 1]. `interval68` is half the width of the 68 % interval:
the mean rating of 68 % of songs lies within emotion +- interval68. The student's head learns where listeners disagree
(`rater_sd`), which gives intervals their shape over songs; one factor per axis, from songs that the student was not
trained on, gives their width.

Of each song a corpus tells the mean of its ratings (label) and their standard deviation (deviation). Two shares tell
what an interval of 1 or of 1.96 times `interval68` holds:

    songs       of songs, the share whose mean rating lies inside: what the interval promises, 68 and 95 %; the second
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

COVERAGE = 0.6827
"""Share of songs that `interval68` promises: that of a normal distribution within one standard deviation."""
LEVELS = {"68": 1.0, "95": 1.96}
"""Nominal per cent of each interval, and its half width in units of `interval68`."""
_TINY = 1e-9
Array = NDArray[np.floating[Any]]


def conformal_factor(emotion: Array, rater_sd: Array, labels: Array) -> NDArray[np.float64]:
    """Return the factor per axis [2] that makes an `interval68` of a `rater_sd`: it then holds 68.27 % of songs.

    The ceil(.6827 (N + 1))-th smallest of |label - emotion| / rater_sd, at most the largest: the quantile of split
    conformal prediction (Papadopoulos et al. 2002), which keeps its promise on new songs whatever the errors'
    distribution, if they come from where these come from.
    """
    misses = np.sort(np.abs(labels - emotion.astype(float)) / rater_sd.astype(float), axis=0)
    # For one or two songs the rank is one more than there are songs: the largest miss is the nearest that they have.
    rank = min(math.ceil(COVERAGE * (len(misses) + 1)), len(misses))
    factor: NDArray[np.float64] = misses[rank - 1]
    return factor


def coverage(emotion: Array, interval68: Array, labels: Array, deviations: Array) -> dict[str, Any]:
    """Return the shares of listeners and of songs inside each interval: {"listeners": {"68": {"valence": ...}}, ...}.

    deviations: [N, 2] of each song's ratings, NaN where unknown. Listeners are None where no song has one.
    """
    known = _known(deviations)
    shares: dict[str, Any] = {"listeners": {}, "songs": songs_inside(emotion, interval68, labels)}
    for level, width in LEVELS.items():
        reach = width * interval68.astype(float)
        inside = expected_inside(emotion[known], reach[known], labels[known], deviations[known])
        shares["listeners"][level] = _by_axis(inside.mean(0)) if known.any() else None
    return shares


def songs_inside(emotion: Array, interval68: Array, labels: Array) -> dict[str, dict[str, float]]:
    """Return the share of songs whose mean rating lies inside each interval: {"68": {"valence": ...}, ...}."""
    misses = np.abs(labels - emotion)
    return {level: _by_axis((misses <= width * interval68.astype(float)).mean(0)) for level, width in LEVELS.items()}


def expected_inside(emotion: Array, reach: Array, labels: Array, deviations: Array) -> NDArray[np.float64]:
    """Return P(|rating - emotion| < reach) for ratings from N(label, deviation), song by song [N, 2]."""
    # Where all listeners agree the distribution is a step; the least width keeps the quotient finite.
    width = np.maximum(deviations.astype(float), _TINY)
    low, high = ((emotion + sign * reach - labels) / width for sign in (-1, 1))
    share: NDArray[np.float64] = _normal_share(high) - _normal_share(low)
    return share


def _normal_share(z: Array) -> NDArray[np.float64]:
    """Return the standard normal distribution function."""
    # By math.erf, because numpy has none and scipy would take longer to import than this takes to compute.
    return np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in z.ravel()]).reshape(z.shape)


def _known(deviations: Array) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(deviations).all(1))


def _by_axis(values: Array) -> dict[str, float]:
    return {**dict(zip(AXES, map(float, values), strict=True)), "mean": float(np.mean(values))}
