"""What a model answered, song by song, as a CSV that people and the next stage read."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketmood.errors import DataError
from pocketmood.runs import write_text

COLUMNS = (
    "id",
    "split",
    "valence",
    "arousal",
    "spread_valence",
    "spread_arousal",
    "label_valence",
    "label_arousal",
)


@dataclass(frozen=True)
class Predictions:
    """Rows of answers: emotion, spread and labels are float64 [N, 2] in [-1, 1] units; spread is NaN where none is."""

    ids: tuple[str, ...]
    splits: tuple[str, ...]
    emotion: NDArray[np.float64]
    spread: NDArray[np.float64]
    labels: NDArray[np.float64]

    def only(self, part: str) -> Predictions:
        """Return the rows of one part of the split; DataError if it has none."""
        rows = [row for row, split in enumerate(self.splits) if split == part]
        if not rows:
            raise DataError(f"no predictions for the {part} part; found only {sorted(set(self.splits))}")
        return Predictions(
            tuple(self.ids[row] for row in rows),
            tuple(self.splits[row] for row in rows),
            self.emotion[rows],
            self.spread[rows],
            self.labels[rows],
        )


def write_predictions(
    path: Path,
    ids: Sequence[str],
    splits: Sequence[str],
    emotion: NDArray[Any],
    spread: NDArray[Any] | None,
    labels: NDArray[Any],
) -> None:
    """Write one row per song; numbers keep float32's precision."""
    count = len(ids)
    spread = np.full((count, 2), np.nan) if spread is None else spread
    table = np.concatenate([emotion, spread, labels], 1)
    if table.shape != (count, 6) or len(splits) != count:
        raise DataError(f"{path.name}: {count} ids, {len(splits)} splits and a table {table.shape} do not fit")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for id_, split, row in zip(ids, splits, table, strict=True):
        writer.writerow([id_, split, *(format(float(value), ".9g") for value in row)])
    write_text(path, text.getvalue())


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote; DataError for another header or a value that is no number."""
    try:
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no predictions here; run the stage that makes them") from error
    if not rows or tuple(rows[0]) != COLUMNS:
        raise DataError(f"{path}: the header is {rows[:1]}, expected {','.join(COLUMNS)}")
    try:
        numbers = np.array([[float(value) for value in row[2:]] for row in rows[1:]]).reshape(-1, 6)
    except ValueError as error:
        raise DataError(f"{path}: a row holds a value that is no number ({error})") from error
    ids, splits = tuple(row[0] for row in rows[1:]), tuple(row[1] for row in rows[1:])
    return Predictions(ids, splits, numbers[:, :2], numbers[:, 2:4], numbers[:, 4:])
