"""The training set of the teacher: crops of rated and synthetic clips, some batches of them whole clips.

Conventions: whether a batch holds whole clips follows from (seed, epoch, first item of the batch) alone, so a killed
training that starts again sees the same batches. Validation is on whole clips, whatever the batches held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pocketmood.training.crops import Augment, CropDataset, CropGeometry, SyntheticClips, collate

if TYPE_CHECKING:
    from torch import Tensor

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from pocketmood.training.schedule import EpochDataset
    from teacher.config import FineTuneConfig, TeacherConfig, VitConfig

Collate = Callable[[list[Any]], "dict[str, Tensor]"]
"""Stacks items to a batch."""


class CropAndWhole(NamedTuple):
    """One clip twice, and which of both its batch holds if it is the first of it."""

    crop: dict[str, Any]
    whole: dict[str, Any]
    draws_whole: bool


class CropsAndWhole:
    """Items of `CropDataset`, each as a crop and whole, for batches of either (`collate_one_length`)."""

    def __init__(self, crops: CropDataset, whole: CropDataset, whole_batches: float) -> None:
        """Join two sets of the same clips; whole_batches: share of batches that are whole, in [0, 1]."""
        self.crops, self.whole, self.whole_batches, self.epoch = crops, whole, whole_batches, 0

    def __len__(self) -> int:
        """Count the clips."""
        return len(self.crops)

    def __getitem__(self, index: int) -> CropAndWhole:
        """Cut both: the one that is not used costs a millisecond, its spectrogram is never computed."""
        self.crops.epoch = self.whole.epoch = self.epoch
        # The trailing 2 makes this another stream than the crop's own, which is seeded without it.
        draw = np.random.default_rng([self.crops.seed, self.epoch, index, 2]).random()
        return CropAndWhole(self.crops[index], self.whole[index], bool(draw < self.whole_batches))


def heard(network: VitConfig, training: FineTuneConfig) -> str:
    """Say what a training's batches hold: "crops", "whole clips", or "crops and whole clips"."""
    if training.crop_frames == network.frames or training.whole_batches == 1:
        return "whole clips"
    return "crops and whole clips" if training.whole_batches else "crops"


def collate_one_length(items: Sequence[CropAndWhole]) -> dict[str, Tensor]:
    """Stack the crops or the whole clips, as the first item draws: a batch can only be stacked of one length."""
    # By an item, not by the batch's number, so that it does not matter how large batches are and who stacks them.
    whole = items[0].draws_whole
    return collate([item.whole if whole else item.crop for item in items])


def training_set(
    store: ClipStore, split: Split, config: TeacherConfig, augment: Augment, synthetic: SyntheticClips | None
) -> tuple[EpochDataset, Collate]:
    """Return the items of a teacher's training, and what stacks them to a batch."""
    recipe = config.training
    geometry = CropGeometry(config.vit.stride, recipe.crop_frames)

    def cut(geometry: CropGeometry) -> CropDataset:
        return CropDataset(store, split.train, geometry, augment, synthetic, config.seed)

    if not recipe.whole_batches:
        return cut(geometry), collate
    whole = replace(geometry, frames=config.vit.frames)
    return CropsAndWhole(cut(geometry), cut(whole), recipe.whole_batches), collate_one_length
