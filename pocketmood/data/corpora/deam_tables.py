"""Parsers of DEAM's open tables: ratings of songs, artists, and ids however a program wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pocketmood.data.corpora.files import Reason, artist_name, csv_rows, number, read_table
from pocketmood.emotion import Emotion, deviation_from_nine, from_nine
from pocketmood.errors import DataError

HINT = 'Is this DEAM\'s song-level file? See docs/data.md, "What it reads"'
LOWEST, HIGHEST = 1.0, 9.0
# No opinions on a scale from 1 to 9 can deviate more: half of them at either end.
LARGEST_DEVIATION = 4.0


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


def read_ratings(file: TextIO) -> Iterator[tuple[str, Rating | Reason]]:
    """Yield (id, rating), or (id as written, reason) for a row that cannot be used, from an open song-level file."""
    columns = ("valence_mean", "arousal_mean", "valence_std", "arousal_std")
    for row in read_table(file, ("song_id", *columns), HINT):
        id_ = song_id(row.get("song_id", ""))
        if id_ is None:
            yield row.get("song_id", ""), Reason(f'"{row.get("song_id", "")}" is no song id')
            continue

        values = [number(row.get(column, "")) for column in columns]
        highest = (HIGHEST, HIGHEST, LARGEST_DEVIATION, LARGEST_DEVIATION)
        lowest = (LOWEST, LOWEST, 0.0, 0.0)
        for column, value, low, high in zip(columns, values, lowest, highest, strict=True):
            if not low <= value <= high:
                text = row.get(column, "")
                yield str(id_), Reason(f'{column} is "{text}", expected a number from {low:g} to {high:g}')
                break
        else:
            label = Emotion(from_nine(values[0]), from_nine(values[1]))
            yield str(id_), Rating(label, Emotion(deviation_from_nine(values[2]), deviation_from_nine(values[3])))


def read_artists(file: TextIO) -> dict[str, str]:
    """Return the artist per song id from an open metadata file; songs of nobody in particular are left out.

    The three files call the id song_id, Id and id, put TABs, quotes and hard spaces around names, and append cells
    beyond their header to some rows.
    """
    rows = csv_rows(file)
    names = [name.strip().lower() for name in next(rows, [])]
    id_column = next((names.index(name) for name in ("song_id", "id") if name in names), None)
    if id_column is None or "artist" not in names:
        found = ", ".join(names[:12]) or "nothing"
        raise DataError(f"{Path(file.name).name}: no columns for id and artist (found: {found})")
    artists = {}
    for row in rows:
        if len(row) <= max(id_column, names.index("artist")):
            continue
        id_, artist = song_id(row[id_column]), artist_name(row[names.index("artist")])
        if id_ is not None and artist is not None:
            artists[str(id_)] = artist
    return artists


def song_id(text: str) -> int | None:
    """Read a song id; None for what is none. Spreadsheets like to write 12 as 12.0."""
    value = number(text)
    return int(value) if value > 0 and value.is_integer() else None
