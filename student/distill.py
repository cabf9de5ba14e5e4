"""Distillation: crops that both sides heard, the loss around the student, training, and answers for whole clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketmood.clips import ClipStore
from pocketmood.errors import DataError
from pocketmood.mel import MelFrontEnd, context
from pocketmood.metrics import score
from pocketmood.spec import MelSpec
from pocketmood.split import Split
from pocketmood.training import Schedule, fit
from student.config import AugmentConfig, LossConfig, StudentConfig
from student.losses import Projector, Targets, distillation_loss
from student.mobilevit import Student, StudentOutput

if TYPE_CHECKING:
    from teacher.answers import Answers

_WHOLE_CLIPS_PER_BATCH = 16
_CLIPS_FOR_STATISTICS = 64


class Draw(NamedTuple):
    """One crop of one clip, with what is known of it."""

    context: NDArray[np.float32]
    """[C] waveform whose spectrogram is just the crop's frames."""
    changes: NDArray[np.float32]
    """[5] gain in dB, first hidden band and how many, first hidden frame and how many."""
    label: NDArray[np.float32]
    """[2] mean rating, NaN where nobody rated."""
    deviation: NDArray[np.float32]
    """[2] standard deviation of the raters, NaN where unknown."""
    emotion: NDArray[np.float32]
    """[2] the teacher's answer for this crop."""
    features: NDArray[np.float32]
    """[F] the teacher's features for this crop."""


class Crops:
    """A training set whose items follow from (seed, epoch, index): a clip, one of the table's crops, the changes."""

    def __init__(self, store: ClipStore, answers: Answers, spec: MelSpec, config: StudentConfig) -> None:
        """Join store and table by clip id; DataError where the table has no crop of the wanted length."""
        self.epoch = 0
        self.store, self.answers, self.spec, self.config = store, answers, spec, config
        self.labels, self.deviations = store.labels(answers.ids), store.deviations(answers.ids)
        self.rows = [store.index(id_) for id_ in answers.ids]
        self.cropped = [k for k, (_, frames) in enumerate(answers.crops) if frames == config.crop_frames]
        if not self.cropped:
            raise DataError(
                f"the teacher answered crops of {sorted({frames for _, frames in answers.crops})} frames, none of "
                f"{config.crop_frames}; pass --crop-frames, or run the teacher with --answers.crop-frames"
            )

    def __len__(self) -> int:
        """Count the items of an epoch: each clip `draws` times."""
        return len(self.rows) * self.config.draws

    def __getitem__(self, index: int) -> Draw:
        """Draw item `index` of the current epoch."""
        rng = np.random.default_rng([self.config.seed, self.epoch, index])
        clip = index % len(self.rows)
        crop = 0 if self.epoch >= self.first_whole_epoch else int(rng.choice(self.cropped))
        start_hop, frames = self.answers.crops[crop]
        wave = self.store.raw[self.rows[clip]]
        return Draw(
            context(wave, start_hop, frames, self.spec, self.config.stride),
            draw_changes(rng, self.spec.bands, frames, self.config.augment),
            self.labels[clip],
            self.deviations[clip],
            self.answers.emotion[clip, crop],
            self.answers.features[clip, crop],
        )

    @property
    def first_whole_epoch(self) -> int:
        """The first epoch (from 0) that trains on whole clips, crop 0 of the table."""
        return round(self.config.epochs * (1 - self.config.whole_share)) if self.config.whole_share else 2**31


def draw_changes(rng: np.random.Generator, bands: int, frames: int, augment: AugmentConfig) -> NDArray[np.float32]:
    """Draw a gain in dB, a run of bands and a run of frames to hide."""
    hidden_bands = int(rng.integers(0, min(augment.hidden_bands, bands) + 1))
    hidden_frames = int(rng.integers(0, min(augment.hidden_frames, frames) + 1))
    first_band = int(rng.integers(0, bands - hidden_bands + 1))
    first_frame = int(rng.integers(0, frames - hidden_frames + 1))
    gain_db = rng.uniform(-1, 1) * augment.gain_db
    return np.array([gain_db, first_band, hidden_bands, first_frame, hidden_frames], np.float32)


def collate(draws: Sequence[Draw]) -> dict[str, Tensor]:
    """Stack crops to a batch; an unknown label becomes 0 with `labelled` False, never a rating in the middle."""
    columns = [torch.from_numpy(np.stack(column)) for column in zip(*draws, strict=True)]
    batch = dict(zip(Draw._fields, columns, strict=True))
    batch["labelled"] = torch.isfinite(batch["label"]).all(1)
    return {name: torch.nan_to_num(value) if value.is_floating_point() else value for name, value in batch.items()}


def apply_changes(mel: Tensor, changes: Tensor, spec: MelSpec) -> Tensor:
    """Change the level of spectrograms [B, 1, M, T] and hide runs of bands and frames behind the batch's mean level.

    A gain of g dB is a shift by 2 g / (high_db - low_db) of the normalised spectrogram: cheaper than scaling the sound.
    """
    gain, first_band, bands, first_frame, frames = (changes[:, i].reshape(-1, 1, 1, 1) for i in range(5))
    band = torch.arange(mel.shape[2], device=mel.device).reshape(1, 1, -1, 1)
    frame = torch.arange(mel.shape[3], device=mel.device)
    hidden = ((band >= first_band) & (band < first_band + bands)) | (
        (frame >= first_frame) & (frame < first_frame + frames)
    )
    louder = (mel + gain * (2 / (spec.high_db - spec.low_db))).clamp(-1, 1)
    return torch.where(hidden, mel.mean(), louder)


class Distiller(nn.Module):
    """The student in its training harness: front end, changes, projector, losses. Only `student` is ever saved."""

    def __init__(self, student: Student, teacher_width: int, weights: LossConfig) -> None:
        """Put the harness around a student."""
        super().__init__()
        self.front = MelFrontEnd(student.spec, student.stride, student.frames)
        self.student, self.projector = student, Projector(student.width, teacher_width)
        self.weights = weights
        # Convolutions on channels-last maps run about a fifth faster, on CPU and GPU.
        self.student.to(memory_format=torch.channels_last)

    def forward(
        self, context: Tensor, changes: Tensor, label: Tensor, deviation: Tensor, labelled: Tensor, emotion: Tensor,
        features: Tensor,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Return the loss and its terms for a batch as `collate` makes it."""
        with torch.no_grad(), torch.autocast(context.device.type, enabled=False):
            mel = apply_changes(self.front.from_context(context), changes, self.student.spec)
        answer = self.student(mel.contiguous(memory_format=torch.channels_last))
        projected = self.projector(answer.features).float()
        answer = StudentOutput(*(part.float() for part in answer))
        return distillation_loss(
            answer, projected, Targets(label, labelled, deviation, emotion, features), self.weights
        )


class Answered(NamedTuple):
    """What a student said of whole clips."""

    emotion: NDArray[np.float32]
    """[N, 2]"""
    spread: NDArray[np.float32]
    """[N, 2]"""


def whole_clips(store: ClipStore, ids: Sequence[str], front: MelFrontEnd) -> Tensor:
    """Compute the spectrograms [N, 1, M, T] of whole clips once, on the CPU, for repeated validation."""
    front = front.to("cpu")
    with torch.no_grad():
        mels = [front(torch.from_numpy(store.waveform(id_))[None]) for id_ in ids]
    return torch.cat(mels)


def answer(student: nn.Module, mels: Tensor) -> Answered:
    """Let a student answer for whole clips [N, 1, M, T], in evaluation mode and without gradients."""
    device = next(student.parameters()).device
    student.eval()
    with torch.no_grad():
        parts = [student(batch.to(device)) for batch in mels.split(_WHOLE_CLIPS_PER_BATCH)]
    emotion = torch.cat([part.emotion for part in parts]).float().cpu().numpy()
    return Answered(emotion, torch.cat([part.spread for part in parts]).float().cpu().numpy())


def refuse_foreign(answers: Answers, split: Split, config: StudentConfig, spec: MelSpec) -> None:
    """Refuse a table that was made for other clips, other frames, or that holds a clip of validation or test."""
    again = "delete RUN/teacher and run the teacher again"
    held_out = sorted(set(answers.ids) & {*split.validation, *split.test})
    if held_out:
        raise DataError(f"the teacher's answers hold {len(held_out)} held-out clips, first {held_out[0]!r}; {again}")
    lacking = sorted(set(split.train) - set(answers.ids))
    if lacking:
        raise DataError(f"the teacher's answers lack {len(lacking)} training clips, first {lacking[0]!r}; {again}")
    made_for = (answers.stride, answers.frames, answers.spec_hash)
    wanted = (config.stride, config.frames, spec.hash)
    if made_for != wanted:
        raise DataError(f"the teacher answered for (stride, frames, spectrogram) {made_for}, not {wanted}; {again}")


def train(
    student: Student, store: ClipStore, answers: Answers, split: Split, config: StudentConfig, folder: Path
) -> list[dict[str, Any]]:
    """Distil `answers` and ratings into `student`; return the record of each epoch. Continues after a kill."""
    refuse_foreign(answers, split, config, student.spec)
    distiller = Distiller(student, answers.features.shape[-1], config.loss)
    front = MelFrontEnd(student.spec, config.stride, config.frames)
    heard = whole_clips(store, split.train[:: -(-len(split.train) // _CLIPS_FOR_STATISTICS)], front)
    validate = validator(whole_clips(store, split.validation, front), store.labels(split.validation), heard)
    schedule = Schedule(
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        warmup=config.warmup,
        ema_decay=config.ema_decay,
        seed=config.seed,
        patience=config.patience,
        workers=config.workers,
    )
    crops = Crops(store, answers, student.spec, config)
    return fit(distiller, crops, collate, validate, folder, schedule)


def validator(mels: Tensor, labels: NDArray[np.float32], heard: Tensor) -> Callable[[nn.Module], Mapping[str, float]]:
    """Make the function that scores a `Distiller`'s student on whole clips, after fitting its statistics to such.

    heard: whole training clips [N, 1, M, T], for `refresh_statistics`.
    """

    def validate(distiller: nn.Module) -> Mapping[str, float]:
        student = distiller.get_submodule("student")
        refresh_statistics(student, heard)
        scores = score(answer(student, mels).emotion, labels)
        return {name: scores[name] for name in ("ccc_mean", "ccc_valence", "ccc_arousal", "rmse_mean")}

    return validate


def refresh_statistics(student: nn.Module, mels: Tensor) -> None:
    """Measure the batch norms' means and variances anew on whole training clips, with the weights as they are.

    A crop has a larger share of zero-padded border than a whole clip, and changes hide part of it: statistics gathered
    in training shift every answer for a whole clip (measured: valence by -.14, a tenth of the CCC).
    """
    device = next(student.parameters()).device
    norms = [module for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    student.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average over all batches
        norm.train()
    with torch.no_grad():
        for batch in mels.split(_WHOLE_CLIPS_PER_BATCH):
            student(batch.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    student.eval()
