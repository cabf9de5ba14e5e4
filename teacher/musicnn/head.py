"""Kernel ridge regression on pooled features, with out-of-fold models: what a frozen network says of emotion.

A ridge is fitted K + 1 times on one set of songs: on all of them, and without each of K folds of artists. A song that
it was fitted on is predicted by the model that has not met its artist, or a table of soft targets would repeat the
labels.

Conventions: N songs, F features, D = 2 axes. Features are standardised over the songs of the fit, constant ones left
out (silent units would blow up); a penalty is chosen per axis, by the squared error of the out-of-fold predictions.
Gaussian kernel exp(-|x - y|^2 / 2F): features count equally, and the width is that of typical neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketmood.errors import DataError
from teacher.musicnn.config import PENALTIES, Kernel

Array = NDArray[np.float64]
_CONSTANT = 1e-6
"""Deviation below which a feature is constant."""


@dataclass(frozen=True)
class Head:
    """A fitted head: model 0 knows all songs of the fit, model 1 + k all but those of fold k."""

    kernel: Kernel
    """How alike two songs are."""
    columns: NDArray[np.int64]
    """Features that are not constant."""
    centre: Array
    scale: Array
    """[F'] mean and deviation of these columns."""
    support: Array
    """[N, F'] standardised features of the songs of the fit."""
    weights: Array
    """[K + 1, N, 2] of each model; 0 for songs that it has not met."""
    bias: Array
    """[K + 1, 2] mean label of each model's songs."""
    penalties: Array
    """[2] chosen per axis."""

    def predict(self, features: NDArray[np.floating], models: NDArray[np.int64] | None = None) -> Array:
        """Predict [B, 2] in [-1, 1] from features [B, F]; models: [B] numbers of the models to ask, 0 if left out."""
        chosen = np.zeros(len(features), np.int64) if models is None else models
        alike = _alike(self.kernel, self._standard(features), self.support)  # [B, N]
        sums = np.stack([alike @ weights for weights in self.weights])[chosen, np.arange(len(features))]
        return np.asarray(np.clip(sums + self.bias[chosen], -1, 1))

    def _standard(self, features: NDArray[np.floating]) -> Array:
        return np.asarray((features[:, self.columns].astype(np.float64) - self.centre) / self.scale)


def fit(
    features: NDArray[np.floating],
    labels: NDArray[np.floating],
    folds: NDArray[np.int64],
    kernel: Kernel = "gaussian",
    penalties: Sequence[float] = PENALTIES,
) -> Head:
    """Fit on features [N, F] and labels [N, 2]; folds: [N] numbers from 0, an artist in one of them.

    DataError for fewer than two folds, or features that are no finite numbers.
    """
    if len(set(folds.tolist())) < 2:
        raise DataError("out-of-fold predictions need songs by at least two artists")
    if not np.isfinite(features).all():
        raise DataError("features hold values that are no finite numbers; delete their folder and run it again")
    wide = features.astype(np.float64)
    centre, scale = wide.mean(0), wide.std(0)
    columns = np.flatnonzero(scale > _CONSTANT)
    support = (wide[:, columns] - centre[columns]) / scale[columns]
    alike, truth = _alike(kernel, support, support), labels.astype(np.float64)

    # [P, N, 2] per model: one eigendecomposition serves every penalty.
    numbers = range(int(folds.max()) + 1)
    solved = [_solve(alike, truth, folds >= 0, penalties)]
    solved += [_solve(alike, truth, folds != number, penalties) for number in numbers]
    bias = np.stack([truth.mean(0), *(truth[folds != number].mean(0) for number in numbers)])
    held = np.empty((len(penalties), *truth.shape))
    for number in numbers:
        rows = folds == number
        held[:, rows] = alike[rows] @ solved[1 + number] + bias[1 + number]
    best = ((held - truth) ** 2).mean(1).argmin(0)  # [2]

    weights = np.stack([np.stack([model[best[axis], :, axis] for axis in range(2)], 1) for model in solved])
    chosen = np.array(penalties)[best]
    return Head(kernel, columns, centre[columns], scale[columns], support, weights, bias, chosen)


def _solve(alike: Array, labels: Array, met: NDArray[np.bool_], penalties: Sequence[float]) -> Array:
    """Return the weights [P, N, 2] of a model that has met some songs, for every penalty."""
    values, vectors = np.linalg.eigh(alike[np.ix_(met, met)])
    projected = vectors.T @ (labels[met] - labels[met].mean(0))
    found = np.zeros((len(penalties), *labels.shape))
    for place, penalty in enumerate(penalties):
        found[place, met] = vectors @ (projected / (values.clip(min=0) + penalty)[:, None])
    return found


def _alike(kernel: Kernel, a: Array, b: Array) -> Array:
    """Compute the kernel [A, B] of standardised features [A, F] and [B, F]."""
    products = a @ b.T / max(a.shape[1], 1)
    if kernel == "linear":
        return np.asarray(products)
    sizes = [(x * x).mean(1) for x in (a, b)]
    # Rounding may leave a song a negative distance to itself.
    return np.asarray(np.exp(-(sizes[0][:, None] + sizes[1][None] - 2 * products).clip(min=0) / 2))
