"""DEAM: 1802 pieces of royalty-free music, each rated for valence and arousal from 1 to 9 by about ten people.

1744 excerpts of 45 s (ids 2 to 2000) and 58 whole songs (ids 2001 to 2058). On disk, under folders whose names differ
between mirrors, so that everything is found by file name:

    <song_id>.mp3                                       audio, ids without zero padding
    static_annotations_averaged_songs_1_2000.csv        ratings per song
    static_annotations_averaged_songs_2000_2058.csv     the same, with other columns in another order
    valence.csv, arousal.csv                            ratings twice a second, in [-1, 1]: only to audit the former
    metadata_{2013,2014,2015}.csv                       artists

Conventions: columns are found by their stripped names (`" valence_mean"` has a space, and the second file holds the
maximum of valence where the first holds arousal). (x - 5) / 4 brings means to [-1, 1]; deviations (population) become
x / 4. For ids up to 1000 valence and arousal look exchanged in the files as shipped: `deam_audit` measures it and
`label_fix="swap-2013"` puts it right. Nothing is fixed silently: the default keeps the files as they are.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from pocketmood.audio import SUFFIXES
from pocketmood.data.clips import Clip
from pocketmood.emotion import Emotion, deviation_from_nine, from_nine
from pocketmood.errors import DataError

NAME = "DEAM"
CITATION = (
    "A. Aljanaki, Y.-H. Yang, M. Soleymani (2017). Developing a benchmark for emotional analysis of music. "
    "PLoS ONE 12(3): e0173392."
)
LICENCE = "songs under Creative Commons licences, each its own; terms of the annotations: see the source"
SOURCE = "https://cvml.unige.ch/databases/DEAM/"
LABEL_SET = "DEAM static song-level means"

STATIC_FILES = {
    "static_annotations_averaged_songs_1_2000.csv": "songs 1 to 2000",
    "static_annotations_averaged_songs_2000_2058.csv": "songs 2001 to 2058",
}
DYNAMIC_FILES = ("valence.csv", "arousal.csv")
METADATA_FILES = ("metadata_2013.csv", "metadata_2014.csv", "metadata_2015.csv")

LABEL_FIXES = ("none", "swap-2013")
LAST_SWAPPED_ID = 1000

LOWEST, HIGHEST = 1.0, 9.0
# No opinions on a scale from 1 to 9 can deviate more: half of them at either end.
LARGEST_DEVIATION = 4.0
_NOBODY = {"", "n/a", "na", "none", "nan", "-", "unknown", "unknown artist", "various", "various artists"}


@dataclass(frozen=True)
class Reject:
    """Something that was left out: a song's id ("" for a whole file), the file, and why."""

    id: str
    """The song's id; "" for a whole file."""
    file: str
    """What was left out."""
    reason: str
    """Why, for people."""


@dataclass(frozen=True)
class Rating:
    """Mean and deviation of the ratings of one song, in [-1, 1] units."""

    label: Emotion
    """Mean of the raters."""
    deviation: Emotion
    """Standard deviation of the raters."""

    def swapped(self) -> Rating:
        """Return the rating with the two axes exchanged."""
        return Rating(Emotion(*self.label[::-1]), Emotion(*self.deviation[::-1]))


@dataclass(frozen=True)
class Files:
    """What lies under a folder, by role; `audio` by song id."""

    root: Path
    """The data set's folder."""
    tables: Mapping[str, Path] = field(default_factory=dict)
    """Path of each table, by role."""
    audio: Mapping[int, Path] = field(default_factory=dict)
    """Path of each recording, by song id."""
    rejects: Sequence[Reject] = ()
    """What was found and left out."""

    def name(self, path: Path) -> str:
        """Return a path as users know it: below the data set's folder, with forward slashes."""
        return path.relative_to(self.root).as_posix()


def find(root: Path, exclude: Path | None = None) -> Files:
    """Find DEAM's files by name under any nesting; `exclude` is a folder to stay out of.

    Of copies of a table with the same content one is used; copies that differ are a DataError. Of several audio files
    for one id the first (fewest folders, then by name) is used, and the others are rejects.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder. Give the folder that holds DEAM's audio and annotations (DEAM=...)")
    tables: dict[str, Path] = {}
    audio: dict[int, Path] = {}
    rejects: list[Reject] = []
    wanted = {*STATIC_FILES, *DYNAMIC_FILES, *METADATA_FILES}

    for path in walk(root, exclude):
        # Mirrors differ in case, and in blanks where others have underscores.
        name = re.sub(r"\s+", "_", path.name.strip().lower())
        if name in wanted:
            first = tables.setdefault(name, path)
            if first != path and first.read_bytes() != path.read_bytes():
                raise DataError(f"{first} and {path} differ. Keep the one that is to be used, and remove the other")
        elif path.suffix.lower() in SUFFIXES and path.stem.isascii() and path.stem.isdigit():
            first = audio.setdefault(int(path.stem), path)
            if first != path:
                reason = f"second audio file for this id; {first.relative_to(root).as_posix()} is used"
                rejects.append(Reject(str(int(path.stem)), path.relative_to(root).as_posix(), reason))
    return Files(root, tables, audio, rejects)


def read_table(file: TextIO, needed: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of an open CSV file as dicts under stripped names; short rows lack their last columns.

    DataError where a needed column is missing, with the names that were found.
    """
    rows = csv.reader(file)
    names = [name.strip() for name in next(rows, [])]
    for name in needed:
        if name not in names:
            found = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "nothing"
            raise DataError(
                f'{Path(file.name).name}: no column "{name}" (found: {found}). Is this DEAM\'s song-level file? '
                'See docs/data.md, "What it reads"'
            )
    for row in rows:
        if any(cell.strip() for cell in row):
            yield dict(zip(names, (cell.strip() for cell in row), strict=False))


def read_ratings(file: TextIO) -> Iterator[tuple[str, Rating | str]]:
    """Yield (id, rating), or (id as written, reason) for a row that cannot be used, from an open song-level file."""
    columns = ("valence_mean", "arousal_mean", "valence_std", "arousal_std")
    for row in read_table(file, ("song_id", *columns)):
        id_ = song_id(row.get("song_id", ""))
        if id_ is None:
            yield row.get("song_id", ""), f'"{row.get("song_id", "")}" is no song id'
            continue

        values = [_number(row.get(column, "")) for column in columns]
        highest = (HIGHEST, HIGHEST, LARGEST_DEVIATION, LARGEST_DEVIATION)
        lowest = (LOWEST, LOWEST, 0.0, 0.0)
        for column, value, low, high in zip(columns, values, lowest, highest, strict=True):
            if not low <= value <= high:
                yield str(id_), f'{column} is "{row.get(column, "")}", expected a number from {low:g} to {high:g}'
                break
        else:
            label = Emotion(from_nine(values[0]), from_nine(values[1]))
            yield str(id_), Rating(label, Emotion(deviation_from_nine(values[2]), deviation_from_nine(values[3])))


def read_artists(file: TextIO) -> dict[int, str]:
    """Return the artist per song id from an open metadata file; songs of nobody in particular are left out.

    The three files call the id song_id, Id and id, put TABs, quotes and hard spaces around names, and append cells
    beyond their header to some rows.
    """
    rows = csv.reader(file)
    names = [name.strip().lower() for name in next(rows, [])]
    id_column = next((names.index(name) for name in ("song_id", "id") if name in names), None)
    if id_column is None or "artist" not in names:
        found = ", ".join(names[:12]) or "nothing"
        raise DataError(f"{Path(file.name).name}: no columns for id and artist (found: {found})")
    artists = {}
    for row in rows:
        if len(row) <= max(id_column, names.index("artist")):
            continue
        id_, artist = song_id(row[id_column]), " ".join(row[names.index("artist")].replace('"', " ").split())
        if id_ is not None and artist.lower() not in _NOBODY:
            artists[id_] = artist
    return artists


def ratings(files: Files, rejects: list[Reject]) -> dict[int, Rating]:
    """Read both song-level files as they are; what cannot be used is added to `rejects`."""
    found: dict[int, Rating] = {}
    tables = [name for name in STATIC_FILES if name in files.tables]
    if not tables:
        names = " or ".join(STATIC_FILES)
        raise DataError(
            f'{files.root}: no {names} in or below it. Is this DEAM\'s folder? See docs/data.md, "What it reads"'
        )

    for name, songs in STATIC_FILES.items():
        if name not in files.tables:
            rejects.append(Reject("", name, f"not found: {songs} have no ratings"))
            continue
        with open_table(files.tables[name]) as file:
            for id_, rating in read_ratings(file):
                if isinstance(rating, str):
                    rejects.append(Reject(id_, files.name(files.tables[name]), rating))
                elif int(id_) in found:
                    reason = "second row for this id; the first is used"
                    rejects.append(Reject(id_, files.name(files.tables[name]), reason))
                else:
                    found[int(id_)] = rating
    return found


def artists(files: Files, rejects: list[Reject]) -> dict[int, str]:
    """Read the artists of all metadata files; a file that is not there, or has no such column, is a reject."""
    found: dict[int, str] = {}
    for name in METADATA_FILES:
        if name not in files.tables:
            rejects.append(Reject("", name, "not found: its songs count as by different artists"))
            continue
        try:
            with open_table(files.tables[name]) as file:
                found |= read_artists(file)
        except DataError as error:
            rejects.append(Reject("", files.name(files.tables[name]), str(error)))
    return found


def clips(files: Files, label_fix: str = "none") -> tuple[list[Clip], list[Reject]]:
    """Return the songs that have both ratings and audio, by id, and everything that was left out, with the reason."""
    if label_fix not in LABEL_FIXES:
        raise DataError(f'label fix "{label_fix}" is unknown; choose from {", ".join(LABEL_FIXES)}')
    rejects = list(files.rejects)
    rated, by = ratings(files, rejects), artists(files, rejects)

    songs = []
    for id_, rating in sorted(rated.items()):
        if id_ not in files.audio:
            rejects.append(Reject(str(id_), f"{id_}.mp3", f"no audio file of this name below {files.root.name}"))
            continue
        used = rating.swapped() if label_fix == "swap-2013" and id_ <= LAST_SWAPPED_ID else rating
        songs.append(Clip(str(id_), files.audio[id_], used.label, used.deviation, by.get(id_)))

    # Audio whose row was refused is listed once already, with a better reason.
    known = rated.keys() | {song_id(reject.id) for reject in rejects}
    unrated = [
        Reject(str(id_), files.name(path), "audio without a rating")
        for id_, path in sorted(files.audio.items())
        if id_ not in known
    ]
    return songs, rejects + unrated


def song_id(text: str) -> int | None:
    """Read a song id; None for what is none. Spreadsheets like to write 12 as 12.0."""
    number = _number(text)
    return int(number) if number > 0 and number.is_integer() else None


def open_table(path: Path) -> TextIO:
    """Open a CSV file, whatever wrote it: with or without a byte order mark, stray bytes replaced."""
    return path.open(newline="", encoding="utf-8-sig", errors="replace")


def _number(text: str) -> float:
    """Read a number; NaN for what is none, so that one range check catches both."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


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
