"""A table of one's own: any CSV or Parquet file with a row per song, beside the audio that it names.

    file,valence,arousal[,valence_sd,arousal_sd,artist]

`file` is a path below the table's folder, and the song's id. Ratings are on the scale that `--scale` names, such as
1..9, and come to [-1, 1] by (x - middle) / half width; deviations are divided by the half width. Columns are found by
name, in any order and case; others are not read. A row that cannot be used is a reject, named by its line.
"""

from __future__ import annotations

import math
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from pocketmood.audio import SUFFIXES
from pocketmood.data.clips import Clip
from pocketmood.data.corpora.contract import Corpus, Options
from pocketmood.data.corpora.files import Files, Reject, artist_name, number, walk
from pocketmood.data.corpora.table_rows import CSV_SUFFIXES, PARQUET_SUFFIXES, TOO_MANY, Row, read_rows
from pocketmood.emotion import Emotion
from pocketmood.errors import ConfigError, DataError

TABLE = "table"
PREFERRED = "ratings"
"""Stem of the file that is taken where a folder holds several tables."""
NEEDED = ("file", "valence", "arousal")
KNOWN = (*NEEDED, "valence_sd", "arousal_sd", "artist")


@dataclass(frozen=True)
class Scale:
    """Lowest and highest rating that a rater could give."""

    low: float
    high: float
    """Ends of the scale."""

    @classmethod
    def parse(cls, text: str) -> Scale:
        """Read "1..9"; ConfigError, with what to type, for what is none."""
        example = (
            "lowest and highest rating that a rater could give, such as --scale=1..9, 0..1 or -1..1 (make: SCALE=)"
        )
        if not text:
            raise ConfigError(f"a table does not say its scale: add the {example}")
        found = re.fullmatch(r"\s*(-?[\d.]+?)\s*\.\.\s*(-?[\d.]+)\s*", text)
        low, high = (number(end) for end in found.groups()) if found else (math.nan, math.nan)
        if not low < high:
            raise ConfigError(f'scale "{text}" is none; give the {example}')
        return cls(low, high)

    @property
    def half(self) -> float:
        """Half its width: also the largest deviation, of raters who are at either end."""
        return (self.high - self.low) / 2

    def to_unit(self, rating: float) -> float:
        """Bring a rating to [-1, 1]."""
        return (rating - (self.low + self.high) / 2) / self.half


def check(options: Options) -> None:
    """Refuse a scale that is missing or none."""
    Scale.parse(options.scale)


def find(root: Path, exclude: Path | None = None) -> Files:
    """Find the table and all audio below its folder, by path; root may be the table itself.

    DataError, with what to type, where there is no table, or several of which none is called ratings.
    """
    if root.is_file():
        return Files(root.parent, {TABLE: root}, _audio(root.parent, exclude))
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder. Give the folder of your table and its audio, or the table (MUSIC=...)"
        )
    suffixes = (*CSV_SUFFIXES[:2], *PARQUET_SUFFIXES)
    tables = sorted(path for path in root.iterdir() if path.is_file() and path.suffix.lower() in suffixes)
    tables = [path for path in tables if not path.name.startswith(".")]
    chosen = [path for path in tables if path.stem.lower() == PREFERRED] or tables
    if len(chosen) != 1:
        names = ", ".join(path.name for path in chosen[:5]) or "none"
        raise DataError(
            f"{root}: one table is needed here ({', '.join(suffixes)}), found {names}. It has the columns "
            f"{', '.join(NEEDED)}; name it with its path, MUSIC={root / 'ratings.csv'}"
        )
    return Files(root, {TABLE: chosen[0]}, _audio(root, exclude))


def clips(files: Files, options: Options) -> tuple[list[Clip], list[Reject]]:
    """Return a clip per usable row, and every row, column and audio file that was left out, with the reason."""
    scale, table = Scale.parse(options.scale), files.tables[TABLE]
    odd, rows = read_rows(table, NEEDED, KNOWN)
    rejects = [*files.rejects, *(Reject("", f"{table.name}:1", sentence) for sentence in odd)]
    songs: list[Clip] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        id_ = _find_audio(row.get("file", ""), files)
        label, deviation, reason = _read_labels(row, scale)
        if id_ in lines:
            reason = f"second row for this file; that of line {lines[id_]} counts"
        elif id_ not in files.audio:
            reason = _why_no_audio(row.get("file", ""), files)
        lines.setdefault(id_, line)
        if reason or label is None:
            rejects.append(Reject(id_, f"{table.name}:{line}", reason))
            continue
        songs.append(Clip(id_, files.audio[id_], label, deviation, artist_name(row.get("artist", ""))))
    unrated = [Reject(id_, id_, "audio without a row in the table") for id_ in files.audio if id_ not in lines]
    return songs, rejects + unrated


def audit(files: Files, options: Options) -> tuple[str, str]:
    """Say how much of the scale the songs use: with a wrong scale every label is shifted, and nobody would see."""
    songs, _ = clips(files, options)
    scale = Scale.parse(options.scale)
    if not songs:
        return "Audit: no song, so nothing is known of the scale.", ""
    labels = [song.label for song in songs if song.label]
    text, narrow = [], False
    for axis, name in enumerate(("valence", "arousal")):
        values = sorted(label[axis] * scale.half + (scale.low + scale.high) / 2 for label in labels)
        text.append(f"{name} {values[0]:g} to {values[-1]:g}")
        # Means of raters keep away from the ends, but hardly ever to half of a scale.
        narrow |= values[-1] - values[0] < scale.half
    verdict = f"Audit: the songs use {' and '.join(text)} of the scale {options.scale}"
    verdict += f"; is {options.scale} the scale that raters had?" if narrow and len(songs) > 9 else "."
    artists = len({song.artist for song in songs if song.artist})
    deviations = sum(song.deviation is not None for song in songs)
    lines = f"{len(songs)} songs, {artists} artists known, {deviations} songs with deviations of both axes"
    return verdict, lines


def _audio(root: Path, exclude: Path | None) -> dict[str, Path]:
    found = (path for path in walk(root, exclude) if path.suffix.lower() in SUFFIXES)
    return {path.relative_to(root).as_posix(): path for path in found}


def _find_audio(cell: str, files: Files) -> str:
    """Return the id of the audio file that a cell means; the cell as it is where there is none."""
    # As Windows writes paths; as a Mac takes accents apart; and with or without a leading "./".
    plain = cell if cell in files.audio else cell.replace("\\", "/")
    if Path(plain).is_absolute() and Path(plain).is_relative_to(files.root.absolute()):
        plain = Path(plain).relative_to(files.root.absolute()).as_posix()
    plain = os.path.normpath(plain) if plain else ""
    forms = (plain, *(unicodedata.normalize(form, plain) for form in ("NFC", "NFD")))
    return next((form for form in forms if form in files.audio), plain)


def _why_no_audio(cell: str, files: Files) -> str:
    """Say why a cell names no audio file that can be used."""
    path = Path(os.path.normpath(cell.replace("\\", "/"))) if cell else Path()
    if not cell:
        return "names no file"
    if path.is_absolute() or ".." in path.parts:
        return f'"{cell}" lies outside of the table\'s folder; put the audio below it'
    if (files.root / path).is_file():
        return f"is no audio file ({', '.join(SUFFIXES)})"
    alike = next((id_ for id_ in files.audio if id_.lower() == path.as_posix().lower()), None)
    return f'no file "{cell}" below {files.root.name}' + (f'; "{alike}" differs in case' if alike else "")


def _read_labels(row: Row, scale: Scale) -> tuple[Emotion | None, Emotion | None, str]:
    """Return label, deviation and "", or why a row has none."""
    if TOO_MANY in row:
        reason = "has more cells than line 1: a decimal comma between commas? Use points, quotes or semicolons"
        return None, None, reason
    bounds = {"valence": (scale.low, scale.high), "arousal": (scale.low, scale.high)}
    # Deviations may be missing, of some songs or of all.
    bounds |= {name: (0.0, scale.half) for name in ("valence_sd", "arousal_sd") if row.get(name)}
    values = {}
    for name, (low, high) in bounds.items():
        text = row.get(name, "")
        value = _number(text)
        if not low <= value <= high:
            return None, None, f'{name} is "{text}", expected a number from {low:g} to {high:g}'
        values[name] = value
    label = Emotion(scale.to_unit(values["valence"]), scale.to_unit(values["arousal"]))
    if len(values) < 4:
        return label, None, ""
    return label, Emotion(values["valence_sd"] / scale.half, values["arousal_sd"] / scale.half), ""


def _number(text: str) -> float:
    """Read a number with a decimal point, or with the decimal comma of half the world."""
    return number(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)


CORPUS = Corpus(
    name=TABLE,
    title="table",
    label_set="mean ratings of a table of one's own",
    scale="",
    options=("scale",),
    check=check,
    find=find,
    clips=clips,
    audit=audit,
)
