"""The record of a training: a line per epoch in metrics.jsonl, and best.json; without torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketmood.errors import RunError
from pocketmood.records import Record, from_json
from pocketmood.runs import read_json, write_json, write_text
from pocketmood.training.schedule import BEST_RECORD

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

HISTORY = "metrics.jsonl"
"""Name of the file, in the folder of every training."""
FACTS = "training.json"
"""Name of the file beside it with the `TrainingFacts`."""


@dataclass(frozen=True)
class EpochRecord:
    """What is known of one epoch of a training."""

    epoch: int
    """Number of the epoch, from 1."""
    step: int
    """Optimiser steps taken until its end."""
    learning_rate: float
    """Rate of the first parameter group for the next step."""
    terms: dict[str, float]
    """The loss and its unweighted terms, mean over the epoch's steps."""
    validation: dict[str, float]
    """Scores by name, on the averaged weights where there are any."""
    seconds: float
    """Wall time of the epoch with its validation."""
    step_seconds: float
    """Wall time per step, without the validation."""


@dataclass(frozen=True)
class BestRecord:
    """Which epoch's weights are kept."""

    epoch: int
    """Number of the epoch, from 1."""
    metric: str
    """Name of the score that decides."""
    value: float
    """The best value of that score: the lowest of a loss or an error, the highest of any other."""


@dataclass(frozen=True)
class Learning:
    """How much of a network learns, from an epoch on."""

    epoch: int
    """Number of that epoch, from 1."""
    parameters: int
    """Numbers of the network, all of them."""
    learning: int
    """Those that learn; the others are frozen."""

    def __str__(self) -> str:
        """Say it as the line of a training does."""
        if self.learning == self.parameters:
            return f"all {_millions(self.parameters)} parameters learn"
        frozen = _millions(self.parameters - self.learning)
        return f"{_millions(self.learning)} of {_millions(self.parameters)} parameters, {frozen} frozen"


@dataclass(frozen=True)
class TrainingFacts:
    """What a training did beside its epochs: training.json."""

    pass_size: int
    """Items per pass and process: fewer than a batch where memory ran out, whose steps then take several passes."""
    learning: tuple[Learning, ...]
    """How much of the network learns: an entry for the first epoch, and for each one in which that changes."""


def write_history(folder: Path, history: Sequence[DataclassInstance]) -> None:
    """Write metrics.jsonl anew: after a kill it must not keep lines of an epoch that is trained again."""
    write_text(folder / HISTORY, "".join(json.dumps(asdict(record)) + "\n" for record in history))


def read_best(folder: Path) -> BestRecord | None:
    """Read best.json of a training; None where there is none."""
    path = folder / BEST_RECORD
    return (
        from_json(BestRecord, read_json(path), str(path), "run the stage that writes it again")
        if path.is_file()
        else None
    )


def write_facts(folder: Path, facts: TrainingFacts) -> None:
    """Write training.json."""
    write_json(folder / FACTS, asdict(facts))


def read_facts(folder: Path) -> TrainingFacts | None:
    """Read training.json; None where there is none."""
    path = folder / FACTS
    return from_json(TrainingFacts, read_json(path), str(path), "delete it") if path.is_file() else None


def read_history(folder: Path) -> list[EpochRecord]:
    """Read metrics.jsonl of a training that `fit` has made; RunError where it is missing or of another version."""
    return read_records(folder, EpochRecord)


def read_records(folder: Path, kind: type[Record]) -> list[Record]:
    """Read metrics.jsonl, a record of `kind` per line; RunError where it is missing or of another kind."""
    path = folder / HISTORY
    if not path.is_file():
        raise RunError(f"{path}: no such record of a training. Has the stage that writes it finished?")
    return [
        from_json(kind, json.loads(line), f"{path}, line {number}", "run the stage that writes it again")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    ]


def _millions(count: int) -> str:
    """Write a number of parameters, in millions where it has some."""
    return f"{count / 1e6:.1f} M" if count >= 10**6 else f"{count:,}"
