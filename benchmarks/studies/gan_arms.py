"""Trainings of the generator that the study compares: the recipe at a width for one core, and one change at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

from teacher.gan.config import GanConfig

# The recipe's networks and rules at a quarter of its width, 8 clips a step instead of 48: .9 CPU seconds a turn, so
# that 90 minutes hold 20 times the recipe's 260 generator steps, on 4 times its clips.
BASE = GanConfig(width=16, batch_size=8, accumulation=1)


class Arm(NamedTuple):
    """One training: what it changes of the recipe."""

    name: str
    title: str
    change: dict[str, Any]


_ARMS = (
    Arm("recipe", "the recipe", {}),
    Arm("feature-matching", "feature matching", {"feature_matching": 1.0}),
    Arm("resize", "resize, then convolve", {"upsampling": "resize"}),
    Arm("rate-1", "adversary at the generator's rate", {"discriminator_rate": 1.0}),
    Arm("rate-quarter", "adversary at a quarter of the generator's rate", {"discriminator_rate": 0.25}),
    Arm("r1", "R1 penalty of 1", {"r1": 1.0}),
    Arm("projection", "projection of the condition", {"projection": True}),
    Arm("spectral", "spectral loss of 10", {"spectral": 10.0}),
    Arm("bands-4", "4 bands at first", {"first_bands": 4}),
    Arm("bands-16", "16 bands at first", {"first_bands": 16}),
    Arm("carried", "the adversary's steps carried from turn to turn", {"carry_steps": True}),
)
ARMS = {arm.name: arm for arm in _ARMS}
"""By the name of their folder in RUN/gan_training."""
