"""Records of trained students: what their stage.json says of the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pocketmood.records import from_json
from pocketmood.runs import Stage


@dataclass(frozen=True)
class Throughput:
    """How fast a training went."""

    step_seconds: float
    """Seconds per step, median over epochs."""
    examples_per_second: float
    """Crops per second."""


@dataclass(frozen=True)
class StudentRecord:
    """What the student stage says of its result."""

    model: str
    """timm's name of the network."""
    weights: str
    """Where its first weights came from: "folder ...", "cache ...", "hub ..." or "random"."""
    metrics: dict[str, Any]
    """The scores, as in metrics.json."""
    warnings: tuple[str, ...]
    """Sentences that a reader of any figure must know."""
    throughput: Throughput
    """Speed of its training."""


@dataclass(frozen=True)
class TrainingRecord:
    """What the stage of a single training says of it: a row of an ablation or of a table of choices."""

    steps: int
    """Steps of the optimiser."""
    step_seconds: float
    """Seconds per step, median over epochs."""
    parameters: int
    """Trained numbers in the network."""
    warnings: tuple[str, ...]
    """Sentences that a reader of any figure must know."""

    @classmethod
    def of(cls, stage: Stage) -> TrainingRecord:
        """Return the record of a stage that `train_once` finished."""
        return from_json(cls, stage.record, f"{stage.folder}: the record of a training", "delete it and run it again")
