"""The rows of the table of student architectures: a network and the frames it is shown, and the crops that all share.

A row is shown every n-th frame of the one spectrogram, or the mean of each n neighbouring frames, for which all frames
are computed. All students hear the same crops, those of the teacher's table that every row can express: a multiple of
64 shown frames that covers at least nine tenths of the crop. Where the table's short crops are too short for that, all
train on whole clips; `python -m teacher --soft-targets.crop-frames 128` makes a table of which strides 3, 5 and 10
share crops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from pocketmood.errors import ConfigError, DataError
from student.config import SIDE, StudentConfig

if TYPE_CHECKING:
    from student.mobilevit import Student
    from teacher.soft_targets import SoftTargets

COVERED = 0.9
"""Least share of the teacher's crop that a student's must cover to count as the same."""
_MEAN = "mean"


class Choice(NamedTuple):
    """One row: a network, and one shown frame for so many of the spectrogram: the first of them, or their mean."""

    model: str
    stride: int
    mean: bool = False

    @property
    def name(self) -> str:
        """The name of its stages."""
        return f"{self.model}-{_MEAN if self.mean else 'every'}{self.stride}"

    @property
    def typed(self) -> str:
        """The row as `row_from` reads it."""
        return f"{self.model}:{_MEAN if self.mean else ''}{self.stride}"

    @property
    def shown(self) -> str:
        """What a table says of its frames."""
        return f"{_MEAN} of {self.stride}" if self.mean else f"1 in {self.stride}"

    @property
    def pooled(self) -> int:
        """Computed frames per shown one."""
        return self.stride if self.mean else 1

    def adapt(self, student: Student) -> Student:
        """Return the student as this row trains and exports it: shown means if that is what the row is shown."""
        if not self.mean:
            return student
        # Imported here: a row is also a flag, and torch takes seconds to import.
        from benchmarks.studies.pooled_student import PooledStudent

        return PooledStudent(student, self.pooled)


ROWS = (
    *(Choice("mobilevit_xxs", stride) for stride in (5, 10, 3)),
    Choice("mobilevit_xxs", 5, mean=True),
    *(Choice(model, stride) for model in ("mobilevit_xs", "mobilevit_s", "mobilevitv2_050") for stride in (5, 10)),
)


def row_from(text: str) -> Choice:
    """Read a row as it is typed, mobilevit_xxs:5 or mobilevit_xxs:mean5."""
    model, _, frames = text.partition(":")
    stride = frames.removeprefix(_MEAN)
    if not stride.isdecimal() or int(stride) < 1:
        raise ConfigError(
            f"{text!r} is no row; write MODEL:STRIDE or MODEL:meanFRAMES, for instance mobilevit_xxs:5 or "
            "mobilevit_xxs:mean5"
        )
    return Choice(model, int(stride), mean=stride != frames)


def frames_of(hops: int, stride: int) -> int:
    """Return how many frames, one for so many, stand for a crop of so many hops; 0 where none do well enough."""
    # Down to a multiple of what the network halves and cuts; it would resize anything else.
    frames = hops // stride // SIDE * SIDE
    return frames if frames and frames * stride >= COVERED * hops else 0


def common_crops(soft_targets: SoftTargets, strides: Sequence[int]) -> list[int]:
    """List the table's crops that every stride can express; DataError unless the whole clip is among them."""
    hops = [frames * soft_targets.stride for _, frames in soft_targets.crops]
    common = [row for row, length in enumerate(hops) if all(frames_of(length, stride) for stride in strides)]
    # Crop 0 is the whole clip, on which students are validated and compared.
    if 0 not in common:
        raise DataError(
            f"strides {list(strides)}: a whole clip of {hops[0]} hops is no multiple of {SIDE} frames at each of "
            f"them, within {1 - COVERED:.0%}; choose others"
        )
    return common


def counted_for(choice: Choice, soft_targets: SoftTargets, crops: Sequence[int]) -> SoftTargets:
    """Return the table with some of its crops only, counted in the frames that a row's front end computes."""

    def computed(frames: int) -> int:
        return frames_of(frames * soft_targets.stride, choice.stride) * choice.pooled

    starts = [soft_targets.crops[row] for row in crops]
    counted = tuple((start, computed(frames)) for start, frames in starts)
    parts = {name: getattr(soft_targets, name)[:, list(crops)] for name in ("emotion", "rater_sd", "features")}
    # For means the front end computes every frame: the pooling behind it makes up the rest of the stride.
    stride = choice.stride // choice.pooled
    return replace(soft_targets, crops=counted, stride=stride, frames=counted[0][1], **parts)


def recipe(base: StudentConfig, choice: Choice, soft_targets: SoftTargets, seed: int) -> StudentConfig:
    """Return the training of a row on a table made by `counted_for`: its short crops where it has any."""
    frames = min(frames for _, frames in soft_targets.crops)
    # Masks are counted in computed frames: `pooled` of them for each shown one, so that every row's are as long.
    augment = replace(base.augment, mask_frames=base.augment.mask_frames * choice.pooled)
    return replace(
        base,
        model=choice.model,  # type: ignore[arg-type]  # checked against timm's names where the network is built
        seed=seed,
        augment=augment,
        stride=soft_targets.stride,
        frames=soft_targets.frames,
        crop_frames=frames,
    )
