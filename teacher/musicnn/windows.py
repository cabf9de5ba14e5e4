"""Training items of the fine-tuned musicnn: windows anywhere in a song, at another level, masked, mixed with a song.

Item `index` of epoch `epoch` depends on (seed, epoch, index) only: a killed training that starts again sees the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from pocketmood.training.crops import Augment, draw_mask
from teacher.musicnn.front_end import SPEC, WINDOW_FRAMES
from teacher.musicnn.levels import Levels, mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from teacher.musicnn.config import TunedConfig

Item = dict[str, "NDArray[Any]"]
"""A training item: "windows" [K, T, M], "mask" [K, 4] (see `apply_mask`), "labels" [2], "deviations" [2]."""


class WindowDataset(Dataset[Item]):
    """One item per training song and epoch. Set `epoch` before each pass."""

    def __init__(
        self,
        levels: Levels,
        labels: NDArray[np.float32],
        deviations: NDArray[np.float32],
        recipe: TunedConfig,
        seed: int = 0,
    ) -> None:
        """Draw from songs whose ratings [N, 2] and deviations [N, 2] are those of the first rows of `levels`."""
        self.levels, self.labels, self.deviations = levels, labels, deviations
        self.recipe, self.seed, self.epoch = recipe, seed, 0

    def __len__(self) -> int:
        """Count the songs."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Item:
        """Draw the item that (seed, epoch, index) decides."""
        recipe, rng = self.recipe, np.random.default_rng([self.seed, self.epoch, index])
        shares, songs = [1.0], [index]
        if recipe.mixup:
            share = float(rng.beta(recipe.mixup, recipe.mixup))
            shares, songs = [share, 1 - share], [index, int(rng.integers(len(self)))]
        # In float32, or the ratings of a batch would be of another type than those of validation.
        weights = np.array(shares, np.float32)
        gain = 10 ** (rng.uniform(-recipe.gain_db, recipe.gain_db) / 10)
        windows = mixed([(gain * share, self._cut(song, rng)) for share, song in zip(shares, songs, strict=True)])
        augment = Augment(bands=recipe.mask_bands, frames=recipe.mask_frames)
        return {
            "windows": windows,
            "mask": np.stack([draw_mask(rng, augment, SPEC.bands, WINDOW_FRAMES) for _ in windows]),
            "labels": weights @ self.labels[songs],
            # A deviation that is unknown (NaN) in either song is unknown of the mixture.
            "deviations": weights @ self.deviations[songs],
        }

    def _cut(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Cut windows [K, T, M] anywhere out of a song."""
        starts = rng.integers(self.levels.frames - WINDOW_FRAMES + 1, size=self.recipe.windows)
        song = self.levels.array[index]
        return np.stack([song[start : start + WINDOW_FRAMES] for start in starts]).astype(np.float32)


def collate(items: Sequence[Item]) -> dict[str, Tensor]:
    """Stack items to a batch."""
    return {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]}
