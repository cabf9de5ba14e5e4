"""What the student's stage needs of a machine, for the doctor: weights, memory, disk, and a step to be timed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pocketmood.command import parse
from pocketmood.spec import MelSpec
from pocketmood.training.doctor import Needs, Songs
from student.config import PRESETS, StudentConfig

if TYPE_CHECKING:
    import torch

    from pocketmood.training.probe import Probe

_FIXED_BYTES, _BYTES_PER_FRAME = 1_000_000_000, 300_000
"""GPU memory: what libraries and weights take, and what a frame of a crop takes in training (estimated)."""
_DISK_BYTES = 300_000_000
"""Checkpoints of a network of 5 million numbers, and pictures."""


def of_words(words: Sequence[str]) -> Needs:
    """Return what a command line of the stage would need."""
    return needs(parse(PRESETS, "python -m student", None, words))


def needs(config: StudentConfig) -> Needs:
    """Return what a config needs."""
    from student.mobilevit import published

    asked = published(config.model, config.weights)
    return Needs(
        stage="student",
        precision=config.schedule.precision,
        published=(asked,) if asked else (),
        gpu_bytes=_FIXED_BYTES + _BYTES_PER_FRAME * config.crop_frames * config.schedule.batch_size,
        smaller="--schedule.batch-size 24 --schedule.accumulation 2",
        disk_bytes=lambda songs: _DISK_BYTES,
        probes=partial(_probes, config),
        gpu=config.doctor,
    )


def _probes(config: StudentConfig, songs: Songs) -> tuple[Probe, ...]:
    """Return the one network that is trained."""
    from pocketmood.training.probe import Probe

    schedule = config.schedule
    steps = schedule.epochs * math.ceil(songs.all * config.draws / schedule.batch_size)
    build = partial(_step, config)
    return (Probe("MobileViT", schedule.batch_size, steps, schedule.precision, build, least=2),)


def _step(config: StudentConfig, place: torch.device) -> Callable[[int], None]:
    """Build a student at random, and return its step on noise."""
    import torch

    from student.mobilevit import Student

    student = Student(config.model, config.stride, config.frames, layers=config.layers).to(place).train()

    def step(items: int) -> None:
        mel = torch.rand(items, 1, MelSpec().bands, config.crop_frames, device=place) * 2 - 1
        output = student(mel)
        (output.emotion.square().mean() + output.interval68.mean() + output.features.square().mean()).backward()

    return step
