"""How far generated bands are from real ones, as a loss: batches have no pairs, so their statistics are compared."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, l1_loss

RESOLUTIONS = (1, 4, 16)
"""Frames that are averaged before statistics are taken: 23 ms shows attacks, .4 s shows beats and phrases."""


def spectral_distance(fake: Tensor, real: Tensor) -> Tensor:
    """Return the mean distance of band statistics of two batches of spectrograms [B, 1, M, T], a scalar.

    Per band and resolution: mean, deviation over time, mean absolute difference of neighbouring frames; each as its
    mean and its deviation over the batch, so that a generator that draws one clip for all is told apart.
    """
    distances = []
    for frames in RESOLUTIONS:
        for of_fake, of_real in zip(_statistics(fake[:, 0], frames), _statistics(real[:, 0], frames), strict=True):
            distances.append(l1_loss(of_fake.mean(0), of_real.mean(0)))
            distances.append(l1_loss(_deviation(of_fake, 0), _deviation(of_real, 0)))
    return torch.stack(distances).mean()


def _statistics(bands: Tensor, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, deviation and change [B, M] of each band [B, M, T], averaged over so many frames first."""
    pooled = avg_pool1d(bands, frames)
    return pooled.mean(2), _deviation(pooled, 2), pooled.diff(dim=2).abs().mean(2)


def _deviation(values: Tensor, axis: int) -> Tensor:
    """Return the standard deviation; its slope stays finite where nothing varies."""
    return (values.var(axis, correction=0) + 1e-8).sqrt()
