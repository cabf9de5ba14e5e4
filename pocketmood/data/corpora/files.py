"""Files of a data set as they lie under a folder, and what every corpus does with them: walk, open, list, hash."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from pocketmood.data.decode import sample_hash
from pocketmood.errors import DataError
from pocketmood.runs import file_hash, fingerprint


@dataclass(frozen=True)
class Reject:
    """Something that was left out: a song's id ("" for a whole file), the file, and why."""

    id: str
    """The song's id; "" for a whole file."""
    file: str
    """What was left out; with `:line` behind it where it is a row of a table."""
    reason: str
    """Why, for people."""
    corpus: str = ""
    """Name of the corpus; the data stage fills it in, and "" stays for music without ratings."""


@dataclass(frozen=True)
class Files:
    """What lies under a folder, by role; `audio` by song id."""

    root: Path
    """The data set's folder."""
    tables: Mapping[str, Path] = field(default_factory=dict)
    """Path of each table, by role."""
    audio: Mapping[str, Path] = field(default_factory=dict)
    """Path of each recording, by song id."""
    rejects: Sequence[Reject] = ()
    """What was found and left out."""

    def name(self, path: Path) -> str:
        """Return a path as users know it: below the data set's folder, with forward slashes."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def fingerprint(self) -> str:
        """Hash the tables whole and the audio by size and middle; where it all lies, since when, does not matter."""
        tables = {role: file_hash(path) for role, path in sorted(self.tables.items())}
        sounds = [f"{id_} {named_hash(path)}" for id_, path in sorted(self.audio.items())]
        return fingerprint([tables, sounds, [[reject.id, reject.file, reject.reason] for reject in self.rejects]])


def named_hash(path: Path) -> str:
    """Return an audio file's own name with a quick fingerprint of its bytes."""
    return f"{path.name} {sample_hash(path)}"


def open_table(path: Path) -> TextIO:
    """Open a CSV file, whatever wrote it: with or without a byte order mark, stray bytes replaced."""
    return path.open(newline="", encoding="utf-8-sig", errors="replace")


def walk(root: Path, exclude: Path | None = None) -> Iterator[Path]:
    """Yield files from the top down, by name; hidden ones, resource forks and the excluded folder are passed over."""
    stay_out = exclude.resolve() if exclude else None
    for folder, folders, names in os.walk(root, followlinks=True):
        here = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name != "__MACOSX" and (here / name).resolve() != stay_out
        )
        yield from (here / name for name in sorted(names) if not name.startswith("."))


def read_table(file: TextIO, needed: Sequence[str], hint: str = "") -> Iterator[dict[str, str]]:
    """Yield the rows of an open CSV file as dicts under stripped names; short rows lack their last columns.

    DataError where a needed column is missing, with the names that were found and a hint at the file that is meant.
    """
    rows = csv.reader(file)
    names = [name.strip() for name in next(rows, [])]
    for name in needed:
        if name not in names:
            found = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "nothing"
            raise DataError(f'{Path(file.name).name}: no column "{name}" (found: {found}). {hint}'.rstrip())
    for row in rows:
        if any(cell.strip() for cell in row):
            yield dict(zip(names, (cell.strip() for cell in row), strict=False))


def number(text: str) -> float:
    """Read a number; NaN for what is none, so that one range check catches both."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
