"""Files of a data set as they lie under a folder, and what every corpus does with them: walk, open, list, hash."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, TypeVar

from pocketmood.audio import SUFFIXES
from pocketmood.data.decode import sample_hash
from pocketmood.data.split import natural
from pocketmood.errors import DataError
from pocketmood.runs import file_hash, fingerprint

Value = TypeVar("Value")
_NOBODY = {"", "n/a", "na", "none", "nan", "-", "unknown", "unknown artist", "various", "various artists"}


class Reason(str):
    """Why a row of a table cannot be used, for people, in the place of what the row would have given."""


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


def collect(
    root: Path, exclude: Path | None, wanted: Collection[str], id_of: Callable[[Path], str | None], what: str
) -> Files:
    """Find the tables that are wanted, and audio by its id, under any nesting; `exclude` is a folder to stay out of.

    id_of: the song's id for an audio file's path, None for what is no song. what: the corpus, for the error of a folder
    that is not there. Of copies of a table with the same content one is used; copies that differ are a DataError. Of
    several audio files for one id the first (fewest folders, then by name) is used, and the others are rejects.
    """
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder. Give the folder that holds {what}'s audio and annotations (MUSIC=...)"
        )
    tables: dict[str, Path] = {}
    audio: dict[str, Path] = {}
    rejects: list[Reject] = []

    for path in walk(root, exclude):
        # Mirrors differ in case, and in blanks where others have underscores.
        name = re.sub(r"\s+", "_", path.name.strip().lower())
        if name in wanted:
            first = tables.setdefault(name, path)
            if first != path and first.read_bytes() != path.read_bytes():
                raise DataError(f"{first} and {path} differ. Keep the one that is to be used, and remove the other")
            continue
        id_ = id_of(path) if path.suffix.lower() in SUFFIXES else None
        if id_ is not None:
            first = audio.setdefault(id_, path)
            if first != path:
                reason = f"second audio file for this id; {first.relative_to(root).as_posix()} is used"
                rejects.append(Reject(id_, path.relative_to(root).as_posix(), reason))
    return Files(root, tables, audio, rejects)


def artist_name(text: str) -> str | None:
    """Return an artist with single blanks and no quotes; None for nobody in particular ("Various Artists")."""
    name = " ".join(text.replace('"', " ").split())
    return None if name.lower() in _NOBODY else name


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


def csv_rows(file: TextIO) -> Iterator[list[str]]:
    """Yield the rows of an open CSV file; DataError for what is none, such as one quote that is never closed."""
    rows = csv.reader(file)
    try:
        yield from rows
    except csv.Error as error:
        raise DataError(f"{Path(file.name).name}, line {rows.line_num}: no CSV file ({error})") from error


def read_table(file: TextIO, needed: Sequence[str], hint: str = "") -> Iterator[dict[str, str]]:
    """Yield the rows of an open CSV file as dicts under stripped names; short rows lack their last columns.

    DataError where a needed column is missing, with the names that were found and a hint at the file that is meant,
    and where the file is no CSV.
    """
    rows = csv_rows(file)
    names = [name.strip() for name in next(rows, [])]
    for name in needed:
        if name not in names:
            found = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "nothing"
            raise DataError(f'{Path(file.name).name}: no column "{name}" (found: {found}). {hint}'.rstrip())
    for row in rows:
        if any(cell.strip() for cell in row):
            yield dict(zip(names, (cell.strip() for cell in row), strict=False))


def first_rows(
    place: str,
    rows: Iterable[tuple[str, Value | Reason]],
    rejects: list[Reject],
    found: dict[str, Value],
    of: str = "id",
) -> None:
    """Add a table's usable rows to `found`, of several for one song the first; add all others to `rejects`.

    place: name of the table, for the rejects. of: what its songs are known by.
    """
    for id_, value in rows:
        if isinstance(value, Reason):
            rejects.append(Reject(id_, place, value))
        elif id_ in found:
            rejects.append(Reject(id_, place, f"second row for this {of}; the first is used"))
        else:
            found[id_] = value


def optional_table(
    files: Files, name: str, read: Callable[[TextIO], dict[str, Value]], without: str, rejects: list[Reject]
) -> dict[str, Value]:
    """Read a table that a corpus can do without; one that is not there, or is another one, is a reject.

    without: what its lack means for the songs, for the reject.
    """
    if name not in files.tables:
        rejects.append(Reject("", name, f"not found: {without}"))
        return {}
    try:
        with open_table(files.tables[name]) as file:
            return read(file)
    except DataError as error:
        rejects.append(Reject("", files.name(files.tables[name]), str(error)))
        return {}


def unlabelled_audio(files: Files, known: Collection[str], label: str) -> list[Reject]:
    """List the audio that no table knows; known: songs with a label, or with a row that was refused."""
    return [
        Reject(id_, files.name(path), f"audio without a {label}")
        for id_, path in sorted(files.audio.items(), key=lambda item: natural(item[0]))
        if id_ not in known
    ]


def number(text: str) -> float:
    """Read a number; NaN for what is none, so that one range check catches both."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
