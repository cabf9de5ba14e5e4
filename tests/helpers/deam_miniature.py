"""Makes a miniature of DEAM on disk: few and short songs, but every oddity of the real folders, tables and files.

Songs up to id 1000 have valence and arousal exchanged in the song-level table, as the real ones seem to.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

SEED = 20
EARLY = tuple(range(2, 18))
MIDDLE = tuple(range(1001, 1017))
LONG = tuple(range(2001, 2013))
TRUNCATED, MISSING, EMPTY = 7, 11, 12
NOT_A_NUMBER, OUT_OF_RANGE, TWICE, UNRATED, NO_STD = 1010, 1011, 1012, 1999, 1013
RATES = {5: 48_000, 6: 16_000, 1005: 22_050}
MONO = (6, 9, 2004)
GOOD = tuple(
    id_
    for id_ in (*EARLY, *MIDDLE, *LONG)
    if id_ not in (TRUNCATED, MISSING, EMPTY, NOT_A_NUMBER, OUT_OF_RANGE, NO_STD)
)
SHORT_S, LONG_S = 1.3, 33.0

STATIC_1 = "static_annotations_averaged_songs_1_2000.csv"
STATIC_2 = "static_annotations_averaged_songs_2000_2058.csv"
HEADER_1 = ["song_id", " valence_mean", " valence_std", " arousal_mean", " arousal_std"]
HEADER_2 = [
    "song_id", " valence_mean", " valence_std", " valence_ max_mean", " valence_max_std", " valence_min_mean",
    " valence_min_std", " arousal_mean", " arousal_std", " arousal_max_mean", " arousal_max_std", " arousal_min_mean",
    " arousal_min_std",
]  # fmt: skip


@dataclass
class Miniature:
    """Where it is, and what a listener would truly say: id -> (valence, arousal) on 1-9, and the deviations."""

    root: Path
    mean: dict[int, tuple[float, float]] = field(default_factory=dict)
    deviation: dict[int, tuple[float, float]] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)

    def static(self, name: str = STATIC_1) -> Path:
        """Return the path of a song-level table."""
        return self.folders["song_level"] / name


def make(root: Path, mirror: bool = False, audio: bool = True) -> Miniature:
    """Write the miniature below `root`; mirror: with the underscored folder names that some copies have."""
    rng = np.random.default_rng(SEED)
    mini = Miniature(root)
    annotations = "DEAM_Annotations/annotations"
    names = {
        "audio": "DEAM_audio/MEMD_audio",
        "song_level": f"{annotations}/annotations averaged per song/song_level",
        "dynamic": f"{annotations}/annotations averaged per song/dynamic (per second annotations)",
        "rater_songs": f"{annotations}/annotations per each rater/song_level",
        "rater_valence": f"{annotations}/annotations per each rater/dynamic (per second annotations)/valence",
        "metadata": "metadata/metadata",
    }
    for role, name in names.items():
        mini.folders[role] = root / (name.replace(" ", "_").replace("(", "").replace(")", "") if mirror else name)
        mini.folders[role].mkdir(parents=True)
    for id_ in (*EARLY, *MIDDLE, *LONG):
        valence = rng.normal(5, 1.1)
        arousal = 4.7 + 0.6 * (valence - 5) + rng.normal(0, 1.0)
        mini.mean[id_] = (float(np.clip(valence, 1.5, 8.5)), float(np.clip(arousal, 1.5, 8.5)))
        mini.deviation[id_] = (float(rng.uniform(1.0, 2.0)), float(rng.uniform(1.0, 2.0)))
    _write_static(mini)
    _write_dynamic(mini, rng)
    _write_metadata(mini)
    _write_raters(mini)
    if audio:
        _write_audio(mini)
    return mini


def tone(id_: int, rate: int, seconds: float, channels: int) -> NDArray[np.float32]:
    """Sound of a song's own: a tone whose pitch tells the id, a little noise, another level left and right."""
    time_s = np.arange(round(rate * seconds)) / rate
    mono = 0.3 * np.sin(2 * np.pi * (200 + id_) * time_s)
    mono += 0.01 * np.random.default_rng([SEED, id_]).standard_normal(len(mono))
    return np.stack([mono * (1 - 0.2 * channel) for channel in range(channels)], axis=1).astype(np.float32)


def _write_static(mini: Miniature) -> None:
    rows = []
    for id_ in (*EARLY, *MIDDLE):
        mean, deviation = mini.mean[id_], mini.deviation[id_]
        if id_ <= 1000:
            mean, deviation = mean[::-1], deviation[::-1]
        rows.append([id_, mean[0], deviation[0], mean[1], deviation[1]])
        match id_:
            case 1010:
                rows[-1][1] = "nan"
            case 1011:
                rows[-1][3] = 9.5
            case 1012:
                rows.append([id_, 1.0, 1.0, 1.0, 1.0])
            case 1013:
                rows[-1][4] = ""
    _write(mini.static(STATIC_1), HEADER_1, rows)
    long_rows = []
    for id_ in LONG:
        (v, a), (dv, da) = mini.mean[id_], mini.deviation[id_]
        # Valence's maximum stands where the other file has arousal.
        long_rows.append([id_, v, dv, 8.9, 0.1, 1.1, 0.1, a, da, 8.8, 0.2, 1.2, 0.2])
    _write(mini.static(STATIC_2), HEADER_2, long_rows)


def _write_dynamic(mini: Miniature, rng: np.random.Generator) -> None:
    """Write the per-second files: other rows and columns in each, ragged, with empty cells."""
    for axis, (name, steps) in enumerate((("valence", 8), ("arousal", 9))):
        header = ["song_id", *(f" sample_{15000 + 500 * step}ms" for step in range(steps))]
        rows: list[list[object]] = []
        for id_, mean in mini.mean.items():
            if (name, id_) == ("arousal", 1002):
                continue
            level = (mean[axis] - 5) / 4
            values: list[object] = [float(level + rng.normal(0, 0.05)) for _ in range(steps)]
            if id_ == 1003:
                values = [*values[:3], "", "NaN"]
            rows.append([id_, *values])
        _write(mini.folders["dynamic"] / f"{name}.csv", header, rows)


def _write_metadata(mini: Miniature) -> None:
    """Write the three metadata files: each with its own header, TABs and hard spaces around names, ragged rows."""
    folder = mini.folders["metadata"]
    lines = ["song_id,file_name,Artist,Song title,start of the segment (min.sec),end of the segment (min.sec),Genre"]
    for id_ in EARLY:
        artist = {2: "The Same Band", 3: "the same  band\u00a0", 4: ""}.get(id_, f"Early {id_ // 2}")
        lines.append(f'{id_},"\t{id_}.mp3","\t{artist}","\tSong, number {id_}",0.05,0.50,"\tRock"')
    (folder / "metadata_2013.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = ["Id,Artist,Album,Track,Genre,segment start,segment end,,"]
    for id_ in MIDDLE:
        artist = {1001: "The Same Band", 1004: '"Quoted"', 1005: "n/a"}.get(id_, f"Middle {id_ // 3}")
        quoted = artist.replace('"', '""')
        tags = ",".join(["indie"] * (id_ % 5))
        lines.append(f'{id_},"{quoted}","Album","Track, {id_}",Pop,10,55,{tags}')
    lines.append("1014")
    (folder / "metadata_2014.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    lines = ["id,Filename,title,artist,album,genre", ""]
    lines += [f"{id_},{id_}.mp3,A title,Late {id_},Album,Jazz,Blues" for id_ in LONG]
    (folder / "metadata_2015.csv").write_bytes("\r\n".join(lines).encode("latin-1"))


def _write_raters(mini: Miniature) -> None:
    """Write what must not be taken for audio, means or ratings: single raters' files, rests of a Mac's archive."""
    _write(mini.folders["rater_songs"] / "static_annotations_songs_1_2000.csv", ["workerID", " SongId"], [["a", 2]])
    _write(mini.folders["rater_valence"] / "2.csv", ["WorkerId", "sample_15000ms"], [["a", 0.1]])
    fork = mini.root / "__MACOSX" / "MEMD_audio"
    fork.mkdir(parents=True)
    (fork / "3.mp3").write_bytes(b"resource fork")
    (mini.folders["audio"] / "._2.mp3").write_bytes(b"resource fork")
    (mini.folders["audio"] / "Thumbs.db").write_bytes(b"nothing")


def _write_audio(mini: Miniature) -> None:
    folder = mini.folders["audio"]
    for id_ in (*EARLY, *MIDDLE, *LONG, UNRATED):
        if id_ == MISSING:
            continue
        rate, channels = RATES.get(id_, 44_100), 1 if id_ in MONO else 2
        seconds = LONG_S if id_ == LONG[0] else SHORT_S
        write_mp3(folder / f"{id_}.mp3", tone(id_, rate, seconds, channels), rate)
    (folder / f"{EMPTY}.mp3").write_bytes(b"")
    whole = (folder / f"{TRUNCATED}.mp3").read_bytes()
    (folder / f"{TRUNCATED}.mp3").write_bytes(whole[: len(whole) // 2])


def write_mp3(path: Path, wave: NDArray[np.float32], rate: int) -> None:
    """Write an MP3, quickly: loud compression needs no care here."""
    soundfile.write(path, wave, rate, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.9)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
