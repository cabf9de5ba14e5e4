"""Clip store: all clips decoded once to int16 in one memory map, with an index table beside it.

A store is a folder: `clips.i16` (raw little-endian int16, [N, S]), `index.csv` (one row per clip, same order) and
`store.json` (N, S, sample rate). Workers open the map read-only and share its pages; nothing is copied or pickled.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketmood.audio import FULL_SCALE
from pocketmood.emotion import Emotion
from pocketmood.errors import DataError
from pocketmood.runs import read_json, write_json, write_text
from pocketmood.spec import MelSpec

MAP_FILE, INDEX_FILE, STORE_FILE = "clips.i16", "index.csv", "store.json"
COLUMNS = (
    "id", "valence", "arousal", "valence_deviation", "arousal_deviation", "artist", "synthetic", "path", "start_s",
    "corpus",
)  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """One excerpt of music, with the ratings that people gave it."""

    id: str
    """The song's id."""
    path: Path | None
    """Where the audio was read from; None for sound made in memory."""
    label: Emotion | None
    """Mean of the raters; None where nobody rated."""
    deviation: Emotion | None
    """Population standard deviation of the raters, in [-1, 1] units."""
    artist: str | None = None
    """As the corpus names it; None where it is not known."""
    synthetic: bool = False
    """True for what a generator drew: never allowed in validation or test."""
    start_s: float | None = None
    """Where the clip begins in its file; None for the file's middle."""
    corpus: str = ""
    """Name of the corpus that it is a song of; "" for music without ratings and for what was made."""


class ClipStore:
    """A finished store, opened read-only; cheap to pickle, because workers open the map themselves."""

    def __init__(self, folder: Path, clips: list[Clip], samples: int, sample_rate: int) -> None:
        """Use `ClipStore.open` or `ClipStore.write`."""
        self.folder, self.clips, self.samples, self.sample_rate = folder, clips, samples, sample_rate
        self._stored = samples
        self.ids = [clip.id for clip in clips]
        self._rows = {id_: row for row, id_ in enumerate(self.ids)}
        self._map: NDArray[np.int16] | None = None

    @classmethod
    def open(cls, folder: Path, samples: int | None = None) -> ClipStore:
        """Open a store; DataError where table and map do not fit each other.

        samples: how much of each clip is given out, from its middle, for models of a shorter window; all if left out.
        """
        if not (folder / STORE_FILE).is_file():
            raise DataError(f"{folder}: no clip store here. Make one with `pocketmood data`")

        facts = read_json(folder / STORE_FILE)
        lacking = {"clips", "samples", "sample_rate"} - set(facts if isinstance(facts, dict) else ())
        if lacking or not (folder / INDEX_FILE).is_file():
            what = f"no {', '.join(sorted(lacking))} in {STORE_FILE}" if lacking else f"no {INDEX_FILE}"
            raise DataError(f"{folder}: {what}; delete the folder and run `pocketmood data` again")
        clips = _read_index(folder / INDEX_FILE)
        # A map cut short, by a full disk or half a copy, would give silence for the songs at its end.
        wanted = len(clips) * facts["samples"] * 2
        size = (folder / MAP_FILE).stat().st_size if (folder / MAP_FILE).is_file() else 0
        if facts["clips"] != len(clips) or size != wanted:
            raise DataError(
                f"{folder}: {MAP_FILE} has {size} bytes, {len(clips)} clips need {wanted}; delete the folder and run "
                "`pocketmood data` again"
            )

        store = cls(folder, clips, facts["samples"], facts["sample_rate"])
        if samples is not None:
            if samples > store.samples:
                raise DataError(f"{folder}: clips of {store.samples} samples, a model of {samples} needs longer ones")
            store.samples = samples
        return store

    @classmethod
    def write(cls, folder: Path, clips: Sequence[Clip], waves: Iterable[NDArray[Any]], spec: MelSpec) -> ClipStore:
        """Write a small store from waveforms [S] in [-1, 1] that are already decoded."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / MAP_FILE).open("wb") as file:
            for clip, wave in zip(clips, waves, strict=True):
                if wave.shape != (spec.samples,):
                    raise DataError(f"clip {clip.id}: {wave.shape} samples, a store of this spec holds {spec.samples}")
                file.write(to_int16(wave).tobytes())
        finish(folder, clips, spec)
        return cls.open(folder)

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clips)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the map behind: the other process opens its own."""
        return self.__dict__ | {"_map": None}

    @property
    def raw(self) -> NDArray[np.int16]:
        """The map itself, int16 [N, S], read-only; the middle of each clip in a store of shorter windows."""
        # Opened at first use, so that a store costs nothing to pass to a worker.
        if self._map is None:
            whole = np.memmap(self.folder / MAP_FILE, "<i2", "r", shape=(len(self.clips), self._stored))
            first = (self._stored - self.samples) // 2
            self._map = whole[:, first : first + self.samples]
        return self._map

    def index(self, id_: str) -> int:
        """Return the row of a clip; DataError for an unknown id."""
        try:
            return self._rows[id_]
        except KeyError:
            raise DataError(f"{self.folder}: no clip {id_!r} among {len(self)} clips") from None

    def waveform(self, id_: str) -> NDArray[np.float32]:
        """Return one clip as float32 [S] in [-1, 1)."""
        wave: NDArray[np.float32] = self.raw[self.index(id_)].astype(np.float32) / np.float32(FULL_SCALE)
        return wave

    def waveforms(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Return clips as float32 [B, S] in [-1, 1)."""
        return np.stack([self.waveform(id_) for id_ in ids])

    def labels(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Return (valence, arousal) [N, 2]; NaN where nobody rated."""
        return _pairs([self.clips[self.index(id_)].label for id_ in ids])

    def deviations(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Return the raters' standard deviations [N, 2] in [-1, 1] units; NaN where unknown."""
        return _pairs([self.clips[self.index(id_)].deviation for id_ in ids])

    @property
    def knows_deviations(self) -> bool:
        """Whether the raters' deviations of any clip are known; of experts' tags none are."""
        return any(clip.deviation is not None for clip in self.clips)

    def taught_deviations(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Return the deviations [N, 2] that a network's width is taught by: as `deviations`, 0 where no clip has any.

        With 0 the width becomes the size of the network's own misses, as that of the ridge floor is. Left out, it would
        stay as random as its first weights, and a reader would take the differences between songs for something.
        """
        known = self.deviations(ids)
        return known if self.knows_deviations else np.zeros_like(known)

    def corpus_of(self, ids: Sequence[str]) -> list[str]:
        """Return the name of the corpus of each clip; "" for music without ratings and for what was made."""
        return [self.clips[self.index(id_)].corpus for id_ in ids]


def to_int16(wave: NDArray[Any]) -> NDArray[np.int16]:
    """Quantise a waveform in [-1, 1] to int16; what lies outside is clipped, never rescaled."""
    scaled = np.rint(np.asarray(wave, np.float64) * FULL_SCALE)
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype("<i2")


def finish(folder: Path, clips: Sequence[Clip], spec: MelSpec) -> None:
    """Write the index table and the facts that make a folder with a finished map a store."""
    write_index(folder, clips)
    facts = {"clips": len(clips), "samples": spec.samples, "sample_rate": spec.sample_rate, "dtype": "int16"}
    write_json(folder / STORE_FILE, facts)


def write_index(folder: Path, clips: Sequence[Clip]) -> None:
    """Write the index table: one row per clip, in the order of the map."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for clip in clips:
        label, deviation = clip.label or ("", ""), clip.deviation or ("", "")
        start_s = "" if clip.start_s is None else clip.start_s
        whence = (clip.artist or "", int(clip.synthetic), clip.path or "", start_s, clip.corpus)
        writer.writerow([clip.id, *label, *deviation, *whence])
    write_text(folder / INDEX_FILE, text.getvalue())


def _read_index(path: Path) -> list[Clip]:
    with path.open(newline="") as file:
        table = csv.DictReader(file)
        rows = list(table)
    if table.fieldnames and "corpus" not in table.fieldnames:
        raise DataError(
            f'{path}: has no column "corpus": an earlier version wrote this store. Make it anew: '
            "`make data CORPUS=... MUSIC=folder RUN=...` for a run's data, the stage's own command for any other"
        )
    try:
        return [
            Clip(
                row["id"],
                Path(row["path"]) if row["path"] else None,
                _emotion(row["valence"], row["arousal"]),
                _emotion(row["valence_deviation"], row["arousal_deviation"]),
                row["artist"] or None,
                row["synthetic"] == "1",
                # Stores of before have no such column, and took hours to decode.
                float(row["start_s"]) if row.get("start_s") else None,
                row["corpus"],
            )
            for row in rows
        ]
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: damaged index ({error}); delete the store and run `pocketmood data` again") from error


def _emotion(valence: str, arousal: str) -> Emotion | None:
    return Emotion(float(valence), float(arousal)) if valence and arousal else None


def _pairs(emotions: Sequence[Emotion | None]) -> NDArray[np.float32]:
    nothing = (math.nan, math.nan)
    return np.array([emotion or nothing for emotion in emotions], np.float32).reshape(-1, 2)
