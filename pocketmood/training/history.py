"""The record of a training: a line per epoch in metrics.jsonl, and best.json; without torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketmood.errors import RunError
from pocketmood.records import Record, from_json
from pocketmood.runs import write_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

HISTORY = "metrics.jsonl"
"""Name of the file, in the folder of every training."""


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


def write_history(folder: Path, history: Sequence[DataclassInstance]) -> None:
    """Write metrics.jsonl anew: after a kill it must not keep lines of an epoch that is trained again."""
    write_text(folder / HISTORY, "".join(json.dumps(asdict(record)) + "\n" for record in history))


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
