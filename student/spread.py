"""How wide the answered spread should be, and how often ratings then lie inside: calibration and coverage.

Conventions: arrays are [N, 2], valence before arousal. A spread is the standard deviation of ONE LISTENER's rating
about the student's answer. Of each song a corpus tells the mean of its ratings (label) and their standard deviation
(deviation); single ratings are taken as normal with these two. The 68 % interval is the answer +- 1 spread, the 95 %
interval the answer +- 1.96 spreads. Two shares tell how far the promise holds:

    listeners   of single ratings, the share to be expected inside, mean over songs: what the spread promises, so that
                a calibrated student comes close to 68 and 95 %
    songs       of songs, the share whose mean rating lies inside: well above 68 and 95 %, because means over listeners
                scatter far less than listeners do
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketmood.errors import DataError
from pocketmood.metrics import AXES

LEVELS = {"68": 1.0, "95": 1.96}
"""Nominal per cent of each interval, and its half width in spreads."""
_TINY = 1e-9
Array = NDArray[np.floating[Any]]


def calibration(emotion: Array, spread: Array, labels: Array, deviations: Array) -> NDArray[np.float64]:
    """Return the factor per axis [2] that makes `spread` as wide as ratings scatter on these songs.

    sqrt(mean((deviation^2 + (label - answer)^2) / spread^2)): the scale with the highest Gaussian likelihood of single
    ratings, whose second moment about the answer is the numerator. Songs without deviations (NaN) do not count;
    DataError where there are no others.
    """
    known = _known(deviations)
    if not known.any():
        raise DataError(f"none of {len(deviations)} songs has a deviation of its raters; spreads cannot be calibrated")
    moment = deviations[known].astype(float) ** 2 + (labels[known] - emotion[known].astype(float)) ** 2
    scale: NDArray[np.float64] = np.sqrt((moment / spread[known].astype(float) ** 2).mean(0))
    return scale


def coverage(emotion: Array, spread: Array, labels: Array, deviations: Array) -> dict[str, Any]:
    """Return the shares of listeners and of songs inside each interval: {"listeners": {"68": {"valence": ...}}, ...}.

    Listeners are None where no song has a deviation.
    """
    known = _known(deviations)
    shares: dict[str, Any] = {"listeners": {}, "songs": {}}
    for level, half_width in LEVELS.items():
        reach = half_width * spread.astype(float)
        shares["songs"][level] = _by_axis((np.abs(labels - emotion) <= reach).mean(0))
        inside = expected_inside(emotion[known], reach[known], labels[known], deviations[known])
        shares["listeners"][level] = _by_axis(inside.mean(0)) if known.any() else None
    return shares


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
