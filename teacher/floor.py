"""The ridge floor: ridge regression on three numbers per mel band, which any network must beat to have learnt more.

Conventions: features are band mean, band deviation and mean absolute difference of neighbouring frames (M each), of a
spectrogram in [-1, 1] at stride `FLOOR_STRIDE`; the last third hears pulse and texture, and is worth .11 of CCC.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketmood.errors import DataError
from pocketmood.metrics import ccc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore

FLOOR_STRIDE = 5
"""Frame stride of the floor's spectrogram: what student and small teacher see, at a fifth of the cost of all frames."""
FLOOR_FRAMES = 256
ALPHAS = tuple(float(alpha) for alpha in np.logspace(0, 5, 16))
"""Penalties to try, from 1 to 100 000; features are standardised, so that these compare with the number of songs."""


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge regression on standardised features, with its predictions clamped to [-1, 1]."""

    centre: NDArray[np.float64]
    """[3M] mean of each training feature."""
    scale: NDArray[np.float64]
    """[3M] deviation of each training feature; 1 where it was constant."""
    weights: NDArray[np.float64]
    """[3M, 2]."""
    bias: NDArray[np.float64]
    """[2] mean training label."""
    alpha: float
    """Penalty that validation chose."""
    rater_sd: NDArray[np.float64]
    """[2] standard deviation of one listener's rating around the prediction, the same for every clip."""

    def predict(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Predict [N, 2] from features [N, 3M]."""
        return np.clip((features - self.centre) / self.scale @ self.weights + self.bias, -1, 1)

    def __call__(self, mels: NDArray[Any]) -> NDArray[np.float64]:
        """Predict [N, 2] from spectrograms [N, 1, M, T] at stride 1: the reader of the GAN's quality check."""
        return np.concatenate([self.predict(features(mel[None, ..., ::FLOOR_STRIDE])) for mel in mels])

    def save(self, path: Path) -> None:
        """Write the numbers as safetensors."""
        # Imported here, as torch is not needed to fit or to predict.
        import torch

        from pocketmood.training.checkpoints import save_tensors

        arrays = {name: np.ascontiguousarray(value) for name, value in vars(self).items() if name != "alpha"}
        arrays["alpha"] = np.array([self.alpha])
        save_tensors(path, {name: torch.from_numpy(value) for name, value in arrays.items()})

    @classmethod
    def load(cls, path: Path) -> Ridge:
        """Read what `save` wrote; RunError for a damaged file."""
        from pocketmood.training.checkpoints import load_tensors

        arrays = {name: tensor.numpy() for name, tensor in load_tensors(path).items()}
        return cls(alpha=float(arrays.pop("alpha")[0]), **arrays)


def features(mel: NDArray[Any]) -> NDArray[np.float64]:
    """Describe spectrograms [N, 1, M, T] (T >= 2) by 3M numbers each."""
    bands = np.asarray(mel, np.float64)[:, 0]  # [N, M, T]
    if bands.shape[-1] < 2:
        raise DataError(f"the floor needs at least 2 frames, not {bands.shape[-1]}")
    return np.concatenate([bands.mean(2), bands.std(2), np.abs(np.diff(bands, axis=2)).mean(2)], 1)


def _mean_square(deviations: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean square [2] of deviations [N, 2] that are known; 0 where none is, as for quadrants by tags."""
    squares = deviations.astype(np.float64) ** 2
    known = np.isfinite(squares)
    total: NDArray[np.float64] = np.where(known, squares, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    return total


def fit(
    train: NDArray[Any],
    labels: NDArray[Any],
    validation: NDArray[Any],
    validation_labels: NDArray[Any],
    deviations: NDArray[Any] | None = None,
    alphas: Sequence[float] = ALPHAS,
) -> Ridge:
    """Fit on training features [N, 3M] and labels [N, 2]; the penalty with the best mean CCC on validation wins.

    deviations: [N, 2] of the raters (NaN where unknown), part of rater_sd.
    """
    centre, scale = train.mean(0), train.std(0)
    # A band above a recording's cut-off is constant: it must not be divided by a deviation of nothing.
    scale = np.where(scale > 1e-9, scale, 1.0)
    x, bias = (train - centre) / scale, labels.mean(0).astype(np.float64)
    # One eigendecomposition serves every penalty: (X'X + aI)^-1 X'y = V (L + a)^-1 V' X'y.
    values, vectors = np.linalg.eigh(x.T @ x)
    projected = vectors.T @ (x.T @ (labels - bias))
    # Two sources of a listener's distance: the ridge's own error, and the raters' deviation around their mean.
    raters = np.zeros(2) if deviations is None else _mean_square(deviations)

    best: tuple[float, Ridge] | None = None
    for alpha in alphas:
        weights = vectors @ (projected / (values.clip(min=0) + alpha)[:, None])
        rater_sd = np.sqrt(((x @ weights + bias - labels) ** 2).mean(0) + raters)
        ridge = Ridge(centre, scale, weights, bias, alpha, rater_sd)
        predictions = ridge.predict(validation)
        score = sum(ccc(predictions[:, axis], validation_labels[:, axis]) for axis in range(2)) / 2
        if best is None or score > best[0]:
            best = (score, ridge)
    if best is None:
        raise DataError("the floor needs at least one penalty to try")
    return best[1]


def store_features(store: ClipStore, ids: Sequence[str]) -> NDArray[np.float64]:
    """Describe clips of a store: [N, 3M], through the one front end."""
    # Here, not above: the ridge itself is numpy only.
    from pocketmood.mel import MelFrontEnd
    from pocketmood.training.crops import whole_mels
    from pocketmood.training.device import default_device

    front = MelFrontEnd(stride=FLOOR_STRIDE, frames=FLOOR_FRAMES).to(default_device())
    return np.concatenate([features(mel.cpu().numpy()) for _, mel in whole_mels(store, ids, front)])
