"""Distillation: crops that both sides heard, the loss around the student, training, and answers for whole clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketmood.data.clips import ClipStore
from pocketmood.data.split import Split
from pocketmood.errors import DataError
from pocketmood.mel import MelFrontEnd
from pocketmood.metrics import score
from pocketmood.spec import MelSpec
from pocketmood.training import crops
from pocketmood.training.distributed import gather
from pocketmood.training.fit import Training, fit
from student.config import LossConfig, StudentConfig
from student.feature_losses import Projector
from student.losses import Targets, distillation_loss
from student.mobilevit import Student, StudentOutput

if TYPE_CHECKING:
    from teacher.soft_targets import SoftTargets

Item = Mapping[str, Any]
"""One crop: "context" [C], the waveform whose spectrogram is just its frames; "mask" [4], see
`crops.apply_mask`; "labels" and "deviations" [2], NaN where nobody rated; "emotion" [2] and "features" [F], the
teacher's for this crop."""
_MIXED = ("labels", "deviations", "emotion", "features")
_WHOLE_CLIPS_PER_BATCH = 16
_CLIPS_FOR_STATISTICS = 64


class Crops:
    """A training set whose items follow from (seed, epoch, index): a clip, one of the table's crops, the changes."""

    def __init__(self, store: ClipStore, soft_targets: SoftTargets, spec: MelSpec, config: StudentConfig) -> None:
        """Join store and table by clip id; DataError where the table has no crop of the wanted length."""
        self.epoch = 0
        self.soft_targets, self.config = soft_targets, config
        cropped = [k for k, (_, frames) in enumerate(soft_targets.crops) if frames == config.crop_frames]
        if not cropped:
            raise DataError(
                f"the teacher answered crops of {sorted({frames for _, frames in soft_targets.crops})} frames, none of "
                f"{config.crop_frames}; pass --crop-frames, or run the teacher with --soft-targets.crop-frames"
            )
        augment = crops.Augment(config.augment.gain_db, config.augment.mask_bands, config.augment.mask_frames)

        def choose(rows: Sequence[int]) -> tuple[Sequence[int], crops.CropDataset]:
            chosen = [soft_targets.crops[row] for row in rows]
            items = crops.CropDataset(
                store, list(soft_targets.ids) * config.draws, stride=config.stride, frames=config.frames, crops=chosen,
                augment=augment, spec=spec, seed=config.seed,
            )  # fmt: skip
            return rows, items

        self.cropped, self.whole = choose(cropped), choose([0])
        self.rated = np.isfinite(store.labels(soft_targets.ids)).all(1)  # [N]

    def __len__(self) -> int:
        """Count the items of an epoch: each clip `draws` times."""
        return len(self.soft_targets.ids) * self.config.draws

    def __getitem__(self, index: int) -> Item:
        """Draw item `index` of the current epoch, mixed with another item of it if the config says so.

        Rated clips are mixed with rated ones, others with others: a pair of both kinds would throw a rating away.
        """
        alpha = self.config.augment.mixup
        if not alpha:
            return self._crop(index)
        rng = np.random.default_rng([self.config.seed, self.epoch, index, 1])  # the crop's own numbers lack the 1
        share, clips = float(rng.beta(alpha, alpha)), len(self.soft_targets.ids)
        same_kind = np.flatnonzero(self.rated == self.rated[index % clips])
        partner = int(rng.choice(same_kind)) + clips * int(rng.integers(self.config.draws))
        return mix(self._crop(index), self._crop(partner), share)

    @property
    def first_whole_epoch(self) -> int:
        """The first epoch (from 0) that trains on whole clips, crop 0 of the table; without a share, none does.

        A share makes one such epoch at least; half an epoch is rounded to the even number.
        """
        epochs, share = math.ceil(self.config.schedule.epochs), self.config.whole_share
        return epochs - max(1, round(epochs * share)) if share else epochs

    def _crop(self, index: int) -> Item:
        """Cut one crop, and add what the teacher said of it."""
        rows, items = self.whole if self.epoch >= self.first_whole_epoch else self.cropped
        items.epoch = self.epoch
        item = items[index]
        clip, row = index % len(self.soft_targets.ids), rows[item["crop"]]
        told = {"emotion": self.soft_targets.emotion[clip, row], "features": self.soft_targets.features[clip, row]}
        return {name: item[name] for name in ("context", "mask", "labels", "deviations")} | told


def mix(one: Item, other: Item, share: float) -> Item:
    """Mix two crops (Zhang et al. 2018): `share` of the first and the rest of the second, hidden where the first is.

    The sounds are scaled by the roots of their shares, so that energies add up by their shares: each value of the power
    spectrogram, too, is in expectation the weighted mean of both, and loudness, the first cue of arousal, moves as the
    ratings do. Ratings, deviations and the teacher's answers are weighted means; what is NaN in either stays so: a pair
    with an unrated crop has no rating.
    """
    low, high = np.float32(share), np.float32(1 - share)
    sound = np.sqrt(low) * one["context"] + np.sqrt(high) * other["context"]
    return {**one, "context": sound, **{name: low * one[name] + high * other[name] for name in _MIXED}}


def collate(items: Sequence[Item]) -> dict[str, Tensor]:
    """Stack crops to a batch; an unknown label becomes 0 with `labelled` False, never a rating in the middle."""
    batch = crops.collate(items)
    batch |= {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in ("emotion", "features")}
    batch["labelled"] = torch.isfinite(batch["labels"]).all(1)
    batch["labels"] = torch.nan_to_num(batch["labels"])
    return batch


class Distiller(nn.Module):
    """The student in its training harness: front end, projector, losses. Only `student` is ever saved."""

    def __init__(self, student: Student, teacher_width: int, weights: LossConfig) -> None:
        """Put the harness around a student."""
        super().__init__()
        self.front = MelFrontEnd(student.spec, student.stride, student.frames)
        projected = weights.feature_measure == "cosine"  # the others compare spaces of any two widths
        self.student = student
        self.projector: nn.Module = Projector(student.width, teacher_width) if projected else nn.Identity()
        self.weights = weights
        # Convolutions on channels-last maps run about a fifth faster, on CPU and GPU.
        self.student.to(memory_format=torch.channels_last)

    def forward(
        self, context: Tensor, mask: Tensor, labels: Tensor, deviations: Tensor, labelled: Tensor, emotion: Tensor,
        features: Tensor,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Return the loss and its terms for a batch as `collate` makes it; over all processes' batches together."""
        mel = crops.apply_mask(crops.spectrogram(self.front, context), mask)
        answer = self.student(mel.contiguous(memory_format=torch.channels_last))
        compared = gather(self.projector(answer.features).float())
        answer = StudentOutput(*(gather(part.float()) for part in answer))
        known = gather(labelled.to(torch.uint8)).bool()
        targets = Targets(gather(labels), known, gather(deviations), gather(emotion), gather(features))
        with torch.autocast(context.device.type, enabled=False):  # sums of small differences
            return distillation_loss(answer, compared, targets, self.weights)


class Answered(NamedTuple):
    """What a student said of whole clips."""

    emotion: NDArray[np.float32]
    """[N, 2]"""
    interval68: NDArray[np.float32]
    """[N, 2]"""


def whole_clips(store: ClipStore, ids: Sequence[str], front: MelFrontEnd) -> Tensor:
    """Compute the spectrograms [N, 1, M, T] of whole clips once, on the CPU, for repeated validation."""
    return torch.cat([mels for _, mels in crops.whole_mels(store, ids, front.to("cpu"))])


def answer(student: nn.Module, mels: Tensor) -> Answered:
    """Let a student answer for whole clips [N, 1, M, T], in evaluation mode and without gradients."""
    device = next(student.parameters()).device
    student.eval()
    with torch.no_grad():
        parts = [student(batch.to(device)) for batch in mels.split(_WHOLE_CLIPS_PER_BATCH)]
    emotion = torch.cat([part.emotion for part in parts]).float().cpu().numpy()
    return Answered(emotion, torch.cat([part.interval68 for part in parts]).float().cpu().numpy())


def refuse_foreign(soft_targets: SoftTargets, split: Split, config: StudentConfig, spec: MelSpec) -> None:
    """Refuse a table that was made for other clips, other frames, or that holds a clip of validation or test."""
    again = "delete RUN/teacher and run the teacher again"
    held_out = sorted(set(soft_targets.ids) & {*split.validation, *split.test})
    if held_out:
        raise DataError(f"the teacher's answers hold {len(held_out)} held-out clips, first {held_out[0]!r}; {again}")
    lacking = sorted(set(split.train) - set(soft_targets.ids))
    if lacking:
        raise DataError(f"the teacher's answers lack {len(lacking)} training clips, first {lacking[0]!r}; {again}")
    made_for = (soft_targets.stride, soft_targets.frames, soft_targets.spec_hash)
    wanted = (config.stride, config.frames, spec.hash)
    if made_for != wanted:
        raise DataError(f"the teacher answered for (stride, frames, spectrogram) {made_for}, not {wanted}; {again}")


def train(
    student: Student, store: ClipStore, soft_targets: SoftTargets, split: Split, config: StudentConfig, folder: Path
) -> list[dict[str, Any]]:
    """Distil `answers` and ratings into `student`; return the record of each epoch. Continues after a kill."""
    refuse_foreign(soft_targets, split, config, student.spec)
    distiller = Distiller(student, soft_targets.features.shape[-1], config.loss)
    front = MelFrontEnd(student.spec, config.stride, config.frames)
    heard = whole_clips(store, split.train[:: -(-len(split.train) // _CLIPS_FOR_STATISTICS)], front)
    validate = validator(whole_clips(store, split.validation, front), store.labels(split.validation), heard)
    items = Crops(store, soft_targets, student.spec, config)
    return fit(Training(distiller, items, collate, validate, folder, config.schedule, config.seed))


def validator(mels: Tensor, labels: NDArray[np.float32], heard: Tensor) -> Callable[[nn.Module], Mapping[str, float]]:
    """Make the function that scores a `Distiller`'s student on whole clips, after fitting its statistics to such.

    heard: whole training clips [N, 1, M, T], for `recalibrate_batch_norm`.
    """

    def validate(distiller: nn.Module) -> Mapping[str, float]:
        student: Student = distiller.get_submodule("student")  # type: ignore[assignment]
        alone = unsynchronised(student)
        recalibrate_batch_norm(alone, heard)
        if alone is not student:
            student.load_state_dict(alone.state_dict())
        scores = score(answer(alone, mels).emotion, labels)
        return {name: scores[name] for name in ("ccc_mean", "ccc_valence", "ccc_arousal", "rmse_mean")}

    return validate


def unsynchronised(student: Student) -> Student:
    """Return the student itself, or a plain twin of one whose batch norms ask the other processes.

    Only one process validates; statistics gathered there by synchronised norms would wait for the others for ever.
    """
    if not any(isinstance(module, nn.SyncBatchNorm) for module in student.modules()):
        return student
    twin = Student(student.name, student.stride, student.frames, student.spec, student.layers)
    twin.load_state_dict(student.state_dict())
    return twin.to(next(student.parameters()).device, memory_format=torch.channels_last)


def recalibrate_batch_norm(student: nn.Module, mels: Tensor) -> None:
    """Measure the batch norms' means and variances anew on whole training clips, with the weights as they are.

    A crop has a larger share of zero-padded border than a whole clip, and changes hide part of it: statistics gathered
    in training shift every answer for a whole clip (measured: valence by -.14, a tenth of the CCC). Batches weigh by
    their clips, and no batch is a small rest: one odd clip alone would count like sixteen.
    """
    device = next(student.parameters()).device
    norms = [module for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    student.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    seen = 0
    with torch.no_grad():
        for batch in mels.tensor_split(math.ceil(len(mels) / _WHOLE_CLIPS_PER_BATCH)):
            seen += len(batch)
            for norm in norms:
                norm.momentum = len(batch) / seen  # the average over all clips so far
            student(batch.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    student.eval()
