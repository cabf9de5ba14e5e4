"""Makes a miniature of 4Q on disk: few and short clips, but every oddity of the real folders, tables and files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from pocketmood.data.corpora.four_q import ANNOTATIONS, METADATA

QUADRANTS = ("Q1", "Q2", "Q3", "Q4")
PER_QUADRANT = 6
# Short, because an MP3 encoder takes a second for half a minute of sound; one is shorter still.
SECONDS, SHORT_S = 2.0, 1.1
# Four sample rates, as in the real folders, where most clips have 32 kHz.
RATES = (32_000, 22_050, 44_100, 16_000)
SAME_ARTIST = ("MT0000000100", "MT0000000200")
NOBODY, VARIOUS, ACCENTED = "MT0000000101", "MT0000000102", "MT0000000103"
SHORT, WRONG_FOLDER, MISSING, EMPTY = "MT0000000104", "MT0000000205", "MT0000000305", "MT0000000405"
NO_QUADRANT, TWICE, UNLISTED = "MT0000009001", "MT0000000201", "MT0000009002"
GOOD = PER_QUADRANT * len(QUADRANTS) - 1
"""Songs with quadrant and audio file, the one that cannot be decoded among them."""


def song(quadrant: int, number: int) -> str:
    """Name song `number` of a quadrant from 1 to 4."""
    return f"MT{quadrant:08d}{number:02d}"


def make(root: Path, seconds: float = SECONDS) -> Path:
    """Write the miniature below `root`: 24 songs, one without audio, one that is no sound, rows that cannot be used."""
    songs = [(song(place, number), name) for place, name in enumerate(QUADRANTS, 1) for number in range(PER_QUADRANT)]
    for name in QUADRANTS:
        (root / name).mkdir(parents=True)
    for row, (id_, quadrant) in enumerate(songs):
        folder = root / ("Q4" if id_ == WRONG_FOLDER else quadrant)
        if id_ == EMPTY:
            (folder / f"{id_}.mp3").write_bytes(b"")
        elif id_ != MISSING:
            _write_clip(folder / f"{id_}.mp3", row, quadrant, SHORT_S if id_ == SHORT else seconds)
    _write_clip(root / "Q1" / f"{UNLISTED}.mp3", 98, "Q1", 1.0)
    # Copies: a list of songs that a player leaves, another format of one song, and what a Mac writes beside files.
    (root / "Q1" / "playlist.m3u").write_text("MT0000000100.mp3\n")
    _write_clip(root / "copies" / f"{song(1, 0)}.mp3", 99, "Q1", 1.0)
    (root / "Q1" / "._MT0000000100.mp3").write_bytes(b"\x00\x05\x16\x07")

    annotations = [[id_, quadrant] for id_, quadrant in songs] + [[NO_QUADRANT, "Q5"], [TWICE, "Q4"], ["", "Q1"]]
    _write(root / ANNOTATIONS, ["Song", "Quadrant"], annotations)
    header = ["Song", "Artist", "Title", "Quadrant", "PQuad", "MoodsTotal", "Moods", "GenresStr", "Sample"]
    rest = (0.75, 4, 4, "Pop/Rock; Folk", 1)
    rows = [[id_, _artist(id_), "A title, with a comma", quadrant, *rest] for id_, quadrant in songs]
    # In Latin-1, as tables of that age often are: a stray byte costs a letter, never the table.
    _write(root / METADATA, header, rows, "latin-1")
    return root


def _artist(id_: str) -> str:
    odd = {NOBODY: "", VARIOUS: "Various Artists", ACCENTED: 'Udo "5" Jürgens'}
    return "The Same Band" if id_ in SAME_ARTIST else odd.get(id_, f"Artist {id_[-3:]}")


def _write_clip(path: Path, row: int, quadrant: str, seconds: float) -> None:
    """Write a tone whose level and pitch tell the quadrant, so that something can be learnt."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rate, rng = RATES[row % len(RATES)], np.random.default_rng([4, row])
    time_s = np.arange(round(rate * seconds)) / rate
    pitch_hz = (500 if quadrant in ("Q1", "Q4") else 200) + 7 * row
    level = 0.3 if quadrant in ("Q1", "Q2") else 0.05
    sound = level * np.sin(2 * np.pi * pitch_hz * time_s) + 0.003 * rng.standard_normal(len(time_s))
    soundfile.write(path, sound.astype(np.float32), rate, format="MP3")


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], encoding: str = "utf-8") -> None:
    # Lines end as Windows ends them, and text is quoted while numbers are not.
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n").writerows([header, *rows])
