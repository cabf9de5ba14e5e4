"""Predictions of one model: emotion, label and width of every rated song, kept as a CSV.

Conventions: two columns per quantity, valence before arousal, on [-1, 1]. A teacher's width is `rater_sd`, the standard
deviation of single listeners' ratings around the song's mean; a student's is `interval68`, half the width of the 68 %
interval of that mean. They answer different questions, so a file names the one it holds, or holds neither.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketmood.errors import DataError
from pocketmood.runs import write_text

Array = NDArray[np.floating[Any]]
COLUMNS = ("id", "split", "valence", "arousal", "label_valence", "label_arousal")
"""Columns of every file."""
WIDTHS = ("rater_sd", "interval68")
"""Widths that a file may hold, in the order of their columns (`rater_sd_valence`, `rater_sd_arousal`, ...)."""


@dataclass(frozen=True)
class Predictions:
    """What a model predicts for N songs, beside what people rated; DataError if lengths do not fit."""

    ids: tuple[str, ...]
    """Song ids, in the order of all arrays' rows."""
    splits: tuple[str, ...]
    """Part of each song: "train", "validation" or "test"."""
    emotion: Array
    """[N, 2] predicted mean rating, in [-1, 1]; float64 where read from a file."""
    labels: Array
    """[N, 2] mean rating by people, in [-1, 1]."""
    rater_sd: Array | None = field(default=None, kw_only=True)
    """[N, 2] predicted standard deviation of single listeners' ratings (teacher, floor)."""
    interval68: Array | None = field(default=None, kw_only=True)
    """[N, 2] half the width of the 68 % interval of the mean rating, after calibration (student, its programs)."""

    def __post_init__(self) -> None:
        """Refuse arrays of other lengths, which numpy would broadcast in silence."""
        shapes = {name: array.shape for name, array in self._arrays()}
        if len(self.splits) != len(self.ids) or set(shapes.values()) != {(len(self.ids), 2)}:
            raise DataError(f"{len(self.ids)} ids, {len(self.splits)} splits and arrays {shapes} do not fit together")

    def only(self, part: str) -> Predictions:
        """Return the songs of one part of the split; DataError if it has none."""
        rows = [row for row, split in enumerate(self.splits) if split == part]
        if not rows:
            raise DataError(f"no predictions for the {part} part; found only {sorted(set(self.splits))}")
        return self.take(rows)

    def take(self, rows: Sequence[int]) -> Predictions:
        """Return the songs of these rows, in this order."""
        arrays = {name: array[list(rows)] for name, array in self._arrays()}
        return Predictions(tuple(self.ids[row] for row in rows), tuple(self.splits[row] for row in rows), **arrays)

    def _arrays(self) -> Iterator[tuple[str, Array]]:
        """Yield the names and values of the arrays that are there, in the order of a file's columns."""
        for attribute in fields(self)[2:]:
            value = getattr(self, attribute.name)
            if value is not None:
                yield attribute.name, value


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write one row per song; numbers keep float32's precision."""
    arrays = dict(predictions._arrays())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS + _columns([name for name in WIDTHS if name in arrays]))
    table = np.concatenate(list(arrays.values()), 1)
    for id_, split, row in zip(predictions.ids, predictions.splits, table, strict=True):
        # Nine digits hold every float32 exactly, so that a value read back is the one that a network gave.
        writer.writerow([id_, split, *(format(float(value), ".9g") for value in row)])
    write_text(path, text.getvalue())


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote; DataError for unknown or missing columns, or a value that is no number."""
    try:
        with path.open(newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except FileNotFoundError as error:
        raise DataError(f"{path}: no predictions here; run the stage that makes them") from error
    widths = [name for name in WIDTHS if set(_columns([name])) & set(header)]
    expected = COLUMNS + _columns(widths)
    if tuple(header) != expected:
        raise DataError(
            f"{path}: the header is {','.join(header)!r}, expected {','.join(expected)}; run its stage again"
        )

    if any(len(row) != len(expected) for row in rows):
        raise DataError(f"{path}: a row does not have {len(expected)} values")
    try:
        numbers = np.array([[float(value) for value in row[2:]] for row in rows]).reshape(-1, len(expected) - 2)
    except ValueError as error:
        raise DataError(f"{path}: a row holds a value that is no number ({error})") from error
    emotion, labels, *more = np.split(numbers, numbers.shape[1] // 2, 1)
    ids, splits = tuple(row[0] for row in rows), tuple(row[1] for row in rows)
    return Predictions(ids, splits, emotion, labels, **dict(zip(widths, more, strict=True)))


def _columns(names: Sequence[str]) -> tuple[str, ...]:
    """Name the two columns of each quantity."""
    return tuple(f"{name}_{axis}" for name in names for axis in ("valence", "arousal"))
