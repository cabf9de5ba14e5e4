"""Audit of DEAM's columns: whether valence and arousal are exchanged, judged by its ratings per second.

The per-second ratings were collected apart from the per-song ones, so each song-level column must agree better with the
time average of its own axis than with the other. Three blocks of ids, because they were collected in different years.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from pocketmood.data.corpora.deam import DYNAMIC_FILES, LAST_SWAPPED_ID
from pocketmood.data.corpora.deam_tables import Rating, song_id
from pocketmood.data.corpora.files import Files, csv_rows, open_table
from pocketmood.errors import DataError

BLOCKS = ((1, LAST_SWAPPED_ID), (LAST_SWAPPED_ID + 1, 2000), (2001, 10**9))
# With fewer songs a correlation says little: its standard error at ten is about a third.
FEWEST_SONGS = 10


@dataclass(frozen=True)
class Block:
    """How the columns of one block of ids agree with the ratings per second: four Pearson correlations.

    `valence_arousal` is the per-song valence column against the mean per-second arousal, and so on; NaN for too few.
    """

    first: int
    last: int
    """First and last id."""
    songs: int
    """Songs of the block that were rated both ways."""
    valence_valence: float
    valence_arousal: float
    arousal_valence: float
    arousal_arousal: float
    """Pearson correlations: the first word is the per-song column, the second the mean per-second rating."""

    @property
    def name(self) -> str:
        """Name the block as the ids that it spans."""
        return f"ids {self.first}-{self.last}" if self.last < BLOCKS[-1][1] else f"ids {self.first} and above"

    @property
    def verdict(self) -> str:
        """Say "as named", "swapped", "unclear" or "too few songs"."""
        if self.songs < FEWEST_SONGS:
            return "too few songs"
        named = (self.valence_valence > self.valence_arousal, self.arousal_arousal > self.arousal_valence)
        return {(True, True): "as named", (False, False): "swapped"}.get(named, "unclear")

    def line(self) -> str:
        """Write the block as a line of a report."""
        if self.songs < FEWEST_SONGS:
            return f"{self.name}: {self.songs} songs rated both ways, too few to tell"
        return (
            f"{self.name} ({self.songs} songs): {self.verdict}; column valence: r {self.valence_valence:.2f} with "
            f"valence per second, {self.valence_arousal:.2f} with arousal; column arousal: r "
            f"{self.arousal_arousal:.2f} with arousal per second, {self.arousal_valence:.2f} with valence"
        )


def read_dynamic(file: TextIO) -> dict[int, float]:
    """Return the mean over time per song id from an open per-second file; empty and non-numeric cells are skipped."""
    rows = csv_rows(file)
    if "song_id" not in [name.strip() for name in next(rows, [])[:1]]:
        raise DataError(f'{file.name}: the first column is not "song_id"')
    means = {}
    for row in rows:
        id_ = song_id(row[0]) if row else None
        values = [value for value in map(_value, row[1:]) if np.isfinite(value)]
        if id_ is not None and values:
            means[id_] = float(np.mean(values))
    return means


def audit(ratings: Mapping[int, Rating], valence: Mapping[int, float], arousal: Mapping[int, float]) -> list[Block]:
    """Compare ratings as shipped with the mean ratings per second, by block; blocks without songs are left out."""
    both = sorted(ratings.keys() & valence.keys() & arousal.keys())
    blocks = []
    for first, last in BLOCKS:
        ids = [id_ for id_ in both if first <= id_ <= last]
        if not any(first <= id_ <= last for id_ in ratings):
            continue
        static = np.array([ratings[id_].label for id_ in ids], float).reshape(-1, 2)
        dynamic = np.array([(valence[id_], arousal[id_]) for id_ in ids], float).reshape(-1, 2)
        r = [pearson(static[:, column], dynamic[:, axis]) for column in (0, 1) for axis in (0, 1)]
        blocks.append(Block(first, last, len(ids), *r))
    return blocks


def report(files: Files, ratings: Mapping[int, Rating], label_fix: str) -> tuple[str, str]:
    """Audit a data set; return one sentence for people and the lines behind it."""
    missing = [name for name in DYNAMIC_FILES if name not in files.tables]
    if missing:
        return f"Audit of the columns could not run: {' and '.join(missing)} not found below {files.root.name}.", ""
    tables = []
    try:
        for name in DYNAMIC_FILES:
            with open_table(files.tables[name]) as file:
                tables.append(read_dynamic(file))
    except DataError as error:
        return f"Audit of the columns could not run: {error}.", ""
    blocks = audit(ratings, *tables)
    return sentence(blocks, label_fix), "\n".join(block.line() for block in blocks)


def sentence(blocks: Sequence[Block], label_fix: str) -> str:
    """Say which columns look swapped, and whether the chosen label fix agrees."""
    swapped = [block for block in blocks if block.verdict == "swapped"]
    unsure = [f"{block.name}: {block.verdict}" for block in blocks if block.verdict in ("unclear", "too few songs")]
    fixed = label_fix == "swap-2013"

    if not blocks or len(unsure) == len(blocks):
        text = "Audit: no telling which way round valence and arousal are"
    elif not swapped:
        text = "Audit: valence and arousal look as named"
        text += (
            "; --label-fix swap-2013 exchanges them for ids up to 1000 all the same, is that meant?" if fixed else ""
        )
    else:
        proof = ", ".join(f"r {block.valence_valence:.2f} < {block.valence_arousal:.2f}" for block in swapped)
        text = f"Audit: valence and arousal look swapped for {', '.join(block.name for block in swapped)} ({proof})"
        mendable = [block for block in swapped if block.last <= LAST_SWAPPED_ID]
        if mendable:
            text += "; swap-2013 put them right" if fixed else "; kept as shipped, --label-fix swap-2013 exchanges them"
        if len(mendable) < len(swapped):
            text += "; no label fix covers ids above 1000"
    return f"{text} ({'; '.join(unsure)})." if unsure else f"{text}."


def _value(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def pearson(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return Pearson's r of [N] values; NaN for too few songs or a constant."""
    if len(a) < FEWEST_SONGS or not a.std() or not b.std():
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
