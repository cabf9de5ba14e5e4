"""Makes a miniature of PMEmo on disk: few and short choruses, but every oddity of the real files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from pocketmood.data.corpora.pmemo import DEVIATIONS, DYNAMIC, METADATA, STATIC

IDS = (1, 4, 5, 6, 7, *range(10, 26), 993, 1000)
"""Ids have gaps, as the real ones do; some choruses were never rated."""
UNRATED, MISSING, OUT_OF_RANGE, NO_DEVIATION, TWICE = 6, 7, 10, 11, 12
SAME_ARTIST, VARIOUS = (1, 4), 5
GOOD = tuple(id_ for id_ in IDS if id_ not in (UNRATED, MISSING, OUT_OF_RANGE))


def mean_of(id_: int) -> tuple[float, float]:
    """Return what raters said of a song, valence and arousal from 0 to 1."""
    valence, arousal = np.random.default_rng([5, id_]).uniform(0.1, 0.9, 2)
    return round(float(valence), 3), round(float(arousal), 3)


def make(root: Path, audio: bool = True) -> Path:
    """Write the miniature below `root`, in the folders of its authors."""
    tables = root / "annotations"
    tables.mkdir(parents=True)
    rated = [id_ for id_ in IDS if id_ != UNRATED]
    # Arousal stands before valence.
    means: list[list[object]] = [[id_, *mean_of(id_)[::-1]] for id_ in rated]
    means[rated.index(OUT_OF_RANGE)][1] = 62.5
    means.append([TWICE, 0.01, 0.01])
    _write(tables / STATIC, ["musicId", "Arousal(mean)", "Valence(mean)"], means)
    deviations: list[list[object]] = [[id_, 0.2, 0.1] for id_ in rated]
    deviations[rated.index(NO_DEVIATION)][2] = ""
    _write(tables / DEVIATIONS, ["musicId", "Arousal(std)", "Valence(std)"], deviations)
    _write(tables / DYNAMIC, ["musicId", "frameTime", "Arousal(mean)", "Valence(mean)"], _over_time(rated))

    header = ["musicId", "fileName", "title", "artist", "album", "duration", "chorus_start_time", "chorus_end_time"]
    rows = [[id_, f"{id_}.mp3", "A title, quoted", _artist(id_), "", 30.1, "00:40", "01:10"] for id_ in IDS]
    _write(root / METADATA, header, rows)
    if audio:
        (root / "chorus").mkdir()
        for id_ in (id_ for id_ in IDS if id_ != MISSING):
            _write_chorus(root / "chorus" / f"{id_}.mp3", id_)
    return root


def _over_time(rated: Sequence[int]) -> Iterable[list[object]]:
    """Yield ratings twice a second from the 15th second on, which wander about the song's mean."""
    for id_ in rated:
        rng, (valence, arousal) = np.random.default_rng([6, id_]), mean_of(id_)
        for step in range(6):
            a, v = np.clip(np.array([arousal, valence]) + rng.normal(0, 0.02, 2), 0, 1)
            yield [id_, f"{15 + step / 2:.1f}", "" if (id_, step) == (13, 0) else float(a), float(v)]


def _artist(id_: int) -> str:
    return "Same Band " if id_ in SAME_ARTIST else "Various Artists" if id_ == VARIOUS else f"Artist {id_}"


def _write_chorus(path: Path, id_: int) -> None:
    rate, seconds = 44_100, 1.0 if id_ % 2 else 2.0
    time_s = np.arange(round(rate * seconds)) / rate
    valence, arousal = mean_of(id_)
    sound = 0.3 * arousal * np.sin(2 * np.pi * (200 + 600 * valence) * time_s)
    soundfile.write(path, sound.astype(np.float32), rate, format="MP3")


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
