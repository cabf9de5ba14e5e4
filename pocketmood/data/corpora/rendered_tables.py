"""The stand-in corpus's tables, with the odd headers, folders and rows of DEAM's.

Conventions: rows are in order of id; DEAM's scale from 1 to 9 in the song-level files, [-1, 1] in the dynamic files and
in truth.csv.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketmood.data.corpora.composer import PIECE_S, compose
from pocketmood.data.corpora.instruments import song_title
from pocketmood.data.corpora.raters import Ratings, over_time, rate, summary
from pocketmood.data.corpora.song_parameters import Artist, artist_of
from pocketmood.emotion import from_nine
from pocketmood.runs import write_text

Array = NDArray[np.float64]

SONG_LEVEL = Path("DEAM_Annotations/annotations/annotations averaged per song/song_level")
DYNAMIC = Path("DEAM_Annotations/annotations/annotations averaged per song/dynamic (per second annotations)")
METADATA = Path("metadata/metadata")
# As shipped: a space before every name but the first, and one inside the fourth of the second file, whose extra columns
# stand between valence and arousal.
FIRST_HEADER = "song_id, valence_mean, valence_std, arousal_mean, arousal_std"
SECOND_HEADER = (
    "song_id, valence_mean, valence_std, valence_ max_mean, valence_max_std, valence_min_mean, valence_min_std, "
    "arousal_mean, arousal_std, arousal_max_mean, arousal_max_std, arousal_min_mean, arousal_min_std"
)
METADATA_HEADERS = (
    "song_id,file_name,Artist,Song title,start of the segment (min.sec),end of the segment (min.sec),Genre",
    "Id,Artist,Album,Track,Genre,segment start,segment end",
    "id,Filename,title,artist,album,genre",
)
LAST_IDS = (1000, 2000)
RATED_FROM_MS, SAMPLE_MS = 15_000, 500

README = """A stand-in for DEAM: composed music with simulated ratings

{songs} songs, seed {seed}. THE LABELS ARE SYNTHETIC: a formula made them from musical cues (mode, note density,
register, loudness, articulation, instruments), and ten simulated raters scattered them as people do. A model trained on
this corpus proves that the toolchain works, not that the model has taste in music. Never mix it with real ratings, and
never report its figures as results on music that people have rated. Columns are as named for all songs: use label fix
"none".

The audio was rendered with the soundfont TimGM6mb, whose samples are under the GNU General Public License, version 2.
It is for local use: do not publish or redistribute these files.

truth.csv holds each song's true score and the part of it that the cues explain, in [-1, 1].

{statistics}
"""


def write_tables(root: Path, seed: int, songs: Mapping[int, int]) -> str:
    """Write all tables of the songs (id -> song number), truth.csv last; return the statistics of the ratings."""
    ratings = {id_: rate(compose(seed, songs[id_]).cues, seed, songs[id_]) for id_ in sorted(songs)}
    write_song_level(root / SONG_LEVEL, ratings)
    write_dynamic(root / DYNAMIC, seed, songs, ratings)
    write_metadata(root / METADATA, {id_: (song, artist_of(seed, song)) for id_, song in sorted(songs.items())})
    statistics = summary(list(ratings.values()))
    write_text(root / "README.txt", README.format(songs=len(songs), seed=seed, statistics=statistics))
    truth = ["song_id,true_valence,true_arousal,cue_valence,cue_arousal"]
    for id_, rating in ratings.items():
        values = (from_nine(float(value)) for value in (*rating.true, *rating.cue))
        truth.append(",".join([str(id_), *(f"{value:.6f}" for value in values)]))
    write_text(root / "truth.csv", "\n".join(truth) + "\n")
    return statistics


def write_song_level(folder: Path, ratings: Mapping[int, Ratings]) -> None:
    """Write the two static files."""
    first = [FIRST_HEADER]
    second = [SECOND_HEADER]
    for id_, rating in ratings.items():
        (v, a), (v_sd, a_sd) = rating.mean, rating.deviation
        if id_ <= LAST_IDS[1]:
            first.append(_row(id_, (v, v_sd, a, a_sd)))
            continue
        extremes = np.array([f(x, axis=0) for x in (rating.highest, rating.lowest) for f in (np.mean, np.std)])
        second.append(_row(id_, (v, v_sd, *extremes[:, 0], a, a_sd, *extremes[:, 1])))
    write_text(folder / "static_annotations_averaged_songs_1_2000.csv", "\n".join(first) + "\n")
    write_text(folder / "static_annotations_averaged_songs_2000_2058.csv", "\n".join(second) + "\n")


def write_dynamic(folder: Path, seed: int, songs: Mapping[int, int], ratings: Mapping[int, Ratings]) -> None:
    """Write the ratings over time; as in DEAM, the two files differ in their columns and in a song or two."""
    samples = int((PIECE_S * 1000 - RATED_FROM_MS) / SAMPLE_MS)
    paths = {id_: over_time(from_nine_array(r.true), seed, songs[id_], samples) for id_, r in ratings.items()}
    for axis, (name, columns) in enumerate((("valence", samples), ("arousal", samples - 1))):
        times = (f"sample_{RATED_FROM_MS + i * SAMPLE_MS}ms" for i in range(columns))
        lines = [", ".join(["song_id", *times])]
        for id_, path in paths.items():
            # No two of DEAM's tables have the same songs: one in a hundred has nothing over time for arousal.
            if axis == 1 and songs[id_] % 100 == 50:
                continue
            lines.append(",".join([str(id_), *(f"{value:.6f}" for value in path[:columns, axis])]))
        write_text(folder / f"{name}.csv", "\n".join(lines) + "\n")


def write_metadata(folder: Path, songs: Mapping[int, tuple[int, Artist]]) -> None:
    """Write the three metadata files, each with its own header, TABs inside quotes, and ragged rows."""
    rows: tuple[list[Sequence[object]], ...] = ([], [], [])
    for id_, (song, artist) in songs.items():
        title, album = song_title(song), f"{artist.name} at Home"
        # Some rows carry more cells than the header has names: listeners' tags, further genres.
        extra = ["instrumental", "rendered"][: song % 3]
        if id_ <= LAST_IDS[0]:
            rows[0].append((id_, f"{id_}.mp3", f"\t{artist.name}", f"{title}\t", "0.00", "0.31", artist.genre))
        elif id_ <= LAST_IDS[1]:
            rows[1].append((id_, artist.name, album, f"{title}\t", artist.genre, "0:00", "0:31", *extra))
        else:
            rows[2].append((id_, f"{id_}.mp3", title, f"{artist.name}\t", album, artist.genre, *extra))
    for year, header, lines in zip((2013, 2014, 2015), METADATA_HEADERS, rows, strict=True):
        write_text(folder / f"metadata_{year}.csv", header + "\n" + _quoted(lines))


def from_nine_array(ratings: Array) -> Array:
    """Bring an array of 1-9 ratings to [-1, 1]."""
    return np.array([from_nine(float(value)) for value in ratings])


def _row(id_: int, values: Iterable[float]) -> str:
    return ",".join([str(id_), *(f"{round(float(value), 4):g}" for value in values)])


def _quoted(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerows(rows)
    return text.getvalue()
