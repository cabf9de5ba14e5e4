"""The training set of a student: crops that the teacher has predicted for, and batches of them.

Conventions: a crop's numbers follow from (seed, epoch, index) alone, so a killed training that starts again sees the
same crops in the same order. C: samples of a crop's waveform, F: the teacher's features, B: crops of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketmood.data.clips import ClipStore
from pocketmood.data.run_folder import SOFT_TARGETS, RunFolder
from pocketmood.data.split import Split
from pocketmood.errors import DataError
from pocketmood.spec import MelSpec
from pocketmood.training import crops
from student.config import StudentConfig
from student.mixture import Mixture
from teacher.soft_targets import SoftTargets, SyntheticTargets


class TrainingData(NamedTuple):
    """What a student learns from, out of a run's folders; the teacher itself is not among it."""

    store: ClipStore
    split: Split
    soft_targets: SoftTargets
    synthetic: SyntheticTargets | None = None

    @classmethod
    def open(cls, run: RunFolder, synthetic: bool = False) -> TrainingData:
        """Open clips, split, soft targets, and synthetic clips if wanted; RunError names the command for what lacks."""
        soft_targets = SoftTargets.open(run.made("teacher") / SOFT_TARGETS)
        return cls(run.store, run.split, soft_targets, SyntheticTargets.open(run) if synthetic else None)

    @property
    def clips(self) -> int:
        """How many clips teach: rated, unrated and synthetic."""
        return len(self.soft_targets.ids) + (len(self.synthetic.table.ids) if self.synthetic else 0)

    def refuse_foreign(self, config: StudentConfig, spec: MelSpec) -> None:
        """Refuse soft targets of other clips or frames, or that hold a clip of validation or test: DataError."""
        again = "delete RUN/teacher and run the teacher again"
        known = set(self.soft_targets.ids)

        # A held-out clip in the table would teach the student what it is later scored on.
        held_out = sorted(known & {*self.split.validation, *self.split.test})
        if held_out:
            raise DataError(f"the soft targets hold {len(held_out)} held-out clips, first {held_out[0]!r}; {again}")
        lacking = sorted(set(self.split.train) - known)
        if lacking:
            raise DataError(f"the soft targets lack {len(lacking)} training clips, first {lacking[0]!r}; {again}")

        # At another stride or spectrogram the crops would be other sounds, and nothing else would fail.
        made_for = (self.soft_targets.stride, self.soft_targets.frames, self.soft_targets.spec_hash)
        wanted = (config.stride, config.frames, spec.hash)
        if made_for != wanted:
            raise DataError(
                f"the soft targets are made for (stride, frames, spectrogram) {made_for}, not {wanted}; {again}"
            )
        # By the same teacher and at the same crops, or a half-copied run would be two teachers' pupil.
        here = (self.soft_targets.teacher, self.soft_targets.crops, self.soft_targets.spec_hash)
        table = self.synthetic.table if self.synthetic else self.soft_targets
        if (table.teacher, table.crops, table.spec_hash) != here:
            raise DataError(f"the synthetic clips' soft targets do not fit those of the songs; {again}")


class CropItem(TypedDict):
    """One crop, before it is stacked to a batch."""

    context: NotRequired[NDArray[np.float32]]
    """[C] the waveform whose spectrogram is just the crop's frames; synthetic clips have none."""
    mel: NotRequired[NDArray[np.float32]]
    """[1, M, T] the spectrogram of a synthetic clip's crop, which has no waveform."""
    mask: NDArray[np.int64]
    """[4], see `pocketmood.training.crops.apply_mask`."""
    labels: NDArray[np.float32]
    """[2] the song's mean rating; NaN where nobody rated."""
    deviations: NDArray[np.float32]
    """[2] standard deviation of its raters; NaN where unknown."""
    emotion: NDArray[np.float32]
    """[2] the teacher's prediction for this crop."""
    features: NDArray[np.float32]
    """[F] the teacher's features for this crop."""
    agreement: NDArray[np.float32]
    """[2] what the prediction counts by how well the teacher's members agree."""


@dataclass(frozen=True)
class CropBatch:
    """A batch of crops as `collate` stacks it; the field names are those of its dict."""

    mask: Tensor
    """[B, 4]."""
    labels: Tensor
    """[B, 2] mean ratings; 0 where `labelled` is False."""
    deviations: Tensor
    """[B, 2] standard deviations of the raters; NaN where unknown."""
    labelled: Tensor
    """[B] bool: whether people rated the clip."""
    emotion: Tensor
    """[B, 2] the teacher's."""
    features: Tensor
    """[B, F] the teacher's."""
    agreement: Tensor
    """[B, 2] weights of the teacher's predictions."""
    context: Tensor | None = None
    """[R, C] waveforms of the first R rows, see `CropItem`; None where all are synthetic."""
    mel: Tensor | None = None
    """[B - R, 1, M, T] spectrograms of the synthetic clips behind them; None where there are none."""


@dataclass(frozen=True)
class _Unrated:
    """Synthetic clips as `CropDataset` takes them: what they were drawn for is no rating."""

    ids: list[str]
    """One per item."""
    mels: NDArray[np.float16]
    """[N, 1, M, T]."""
    labels: NDArray[np.float32]
    """[N, 2], all NaN."""

    @classmethod
    def visited(cls, synthetic: SyntheticTargets, draws: int) -> _Unrated:
        """Return the clips, each to be visited `draws` times an epoch."""
        ids = list(synthetic.table.ids)
        return cls(ids * draws, synthetic.mels, np.full((len(ids), 2), np.nan, np.float32))


class SoftTargetCrops:
    """Crops of all clips of a table of soft targets: item (seed, epoch, index) is a clip, one of its crops, changed."""

    def __init__(
        self,
        store: ClipStore,
        soft_targets: SoftTargets,
        spec: MelSpec,
        config: StudentConfig,
        synthetic: SyntheticTargets | None = None,
    ) -> None:
        """Join store and table by clip id; DataError where the table has no crop of the wanted length."""
        self.epoch = 0
        self.soft_targets, self.config, self.synthetic = soft_targets, config, synthetic
        rated = np.asarray(np.isfinite(store.labels(soft_targets.ids)).all(1))
        self.mixture = Mixture(rated, config.draws, config.rated_share)
        # Behind the crops of real clips, so that these are the same with synthetic ones and without.
        self.real = self.mixture.items
        cropped = [k for k, (_, frames) in enumerate(soft_targets.crops) if frames == config.crop_frames]
        if not cropped:
            raise DataError(
                f"the soft targets have crops of {sorted({frames for _, frames in soft_targets.crops})} frames, none "
                f"of {config.crop_frames}; pass --crop-frames, or run the teacher with --soft-targets.crop-frames"
            )
        augment = crops.Augment(config.augment.gain_db, config.augment.mask_bands, config.augment.mask_frames)

        drawn = _Unrated.visited(synthetic, config.draws) if synthetic else None

        def choose(rows: Sequence[int]) -> tuple[Sequence[int], crops.CropDataset]:
            chosen = tuple(soft_targets.crops[row] for row in rows)
            geometry = crops.CropGeometry(config.stride, config.frames, chosen, spec)
            ids = list(soft_targets.ids) * config.draws
            return rows, crops.CropDataset(store, ids, geometry, augment, drawn, config.seed)

        # Two sets, because a batch can only be stacked of crops of one length.
        self.cropped, self.whole = choose(cropped), choose([0])

    def __len__(self) -> int:
        """Count the items of an epoch: each clip `draws` times, or fewer unrated ones by `rated_share`."""
        return self.real + (len(self.synthetic.table.ids) if self.synthetic else 0) * self.config.draws

    def __getitem__(self, index: int) -> CropItem:
        """Draw item `index` of the current epoch, mixed with another item of it if the config says so."""
        if index >= self.real:
            # Synthetic clips stay as they are: their levels cannot be added as the energies of two sounds are.
            return self._crop(index - self.real, self.synthetic.table if self.synthetic else None)
        number, alpha = self.mixture.place(index, self.config.seed, self.epoch), self.config.augment.mixup
        if not alpha:
            return self._crop(number)

        # The trailing 1 makes this another stream than the crop's own, which is seeded without it.
        rng = np.random.default_rng([self.config.seed, self.epoch, index, 1])
        share, clips = float(rng.beta(alpha, alpha)), len(self.soft_targets.ids)
        # Rated clips are mixed with rated ones, others with others: a pair of both kinds would throw a rating away.
        same_kind = np.flatnonzero(self.mixture.rated == self.mixture.rated[number % clips])
        partner = int(rng.choice(same_kind)) + clips * int(rng.integers(self.config.draws))
        return mix(self._crop(number), self._crop(partner), share)

    @property
    def first_whole_epoch(self) -> int:
        """The first epoch (from 0) that trains on whole clips, crop 0 of the table; without a share, none does.

        A share makes one such epoch at least; half an epoch is rounded to the even number.
        """
        epochs, share = math.ceil(self.config.schedule.epochs), self.config.whole_share
        return epochs - max(1, round(epochs * share)) if share else epochs

    def _crop(self, number: int, synthetic: SoftTargets | None = None) -> CropItem:
        """Cut a crop of item `number` of all clips `draws` times over, or of the synthetic ones; add soft targets."""
        rows, items = self.whole if self.epoch >= self.first_whole_epoch else self.cropped
        items.epoch = self.epoch
        table = synthetic or self.soft_targets
        # The set lists synthetic clips behind the real ones; its crops are counted among those chosen.
        item = items[number + (len(self.soft_targets.ids) * self.config.draws if synthetic else 0)]
        clip, row = number % len(table.ids), rows[item["crop"]]
        cut: CropItem = {
            "mask": item["mask"],
            "labels": item["labels"],
            "deviations": item["deviations"],
            "emotion": table.emotion[clip, row],
            "features": table.features[clip, row],
            "agreement": table.agreement[clip, row],
        }
        if "mel" in item:
            cut["mel"] = item["mel"]
        else:
            cut["context"] = item["context"]
        return cut


def mix(first: CropItem, second: CropItem, share: float) -> CropItem:
    """Mixup of two crops (Zhang et al. 2018): `share` of the first and the rest of the second, masked as the first.

    Ratings, deviations and soft targets are weighted means; what is NaN in either stays so: a pair with an unrated crop
    has no rating.
    """
    # float32, so that the mixture keeps the type of its parts and fits a batch of plain crops.
    low, high = np.float32(share), np.float32(1 - share)
    # Sounds are scaled by the roots of their shares, so that energies add up by their shares: each value of the power
    # spectrogram, too, is in expectation the weighted mean of both, and loudness, the first cue of arousal, moves as
    # the ratings do.
    sound = np.sqrt(low) * first["context"] + np.sqrt(high) * second["context"]
    return {
        **first,
        "context": sound,
        "labels": low * first["labels"] + high * second["labels"],
        "deviations": low * first["deviations"] + high * second["deviations"],
        "emotion": low * first["emotion"] + high * second["emotion"],
        "features": low * first["features"] + high * second["features"],
        "agreement": low * first["agreement"] + high * second["agreement"],
    }


def collate(items: Sequence[CropItem]) -> dict[str, Tensor]:
    """Stack crops to the dict of a `CropBatch`, as the training loop hands it to a model."""
    # In the order of `crops.collate`: rows with waveforms first, so that targets stay with their sounds.
    items = sorted(items, key=lambda item: "mel" in item)
    batch = crops.collate(items)
    batch["emotion"] = torch.from_numpy(np.stack([item["emotion"] for item in items]))
    batch["features"] = torch.from_numpy(np.stack([item["features"] for item in items]))
    batch["agreement"] = torch.from_numpy(np.stack([item["agreement"] for item in items]))
    # A NaN would turn every sum into NaN, whatever its weight; `labelled` keeps the 0 from being read as a rating.
    batch["labelled"] = torch.isfinite(batch["labels"]).all(1)
    batch["labels"] = torch.nan_to_num(batch["labels"])
    return batch
