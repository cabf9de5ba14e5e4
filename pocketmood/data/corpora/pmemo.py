"""PMEmo: 794 choruses of pop songs, 767 of them rated for valence and arousal from 0 to 1 by at least ten people.

On disk, found by file name under any nesting:

    chorus/<musicId>.mp3                        audio, ids without zero padding
    annotations/static_annotations.csv          musicId, Arousal(mean), Valence(mean): ratings per chorus
    annotations/static_annotations_std.csv      musicId, Arousal(std), Valence(std)
    annotations/dynamic_annotations.csv         musicId, frameTime, Arousal(mean), Valence(mean): twice a second from
                                                the 15th second on, only to audit the former
    metadata.csv                                musicId, fileName, title, artist, album, duration, chorus times

Conventions: columns are found by their names, for arousal comes first. 2 x - 1 brings means to [-1, 1], deviations
become 2 x. A song without a usable deviation keeps its ratings, and counts as rated without deviations.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pocketmood.data.clips import Clip
from pocketmood.data.corpora.contract import DEFAULTS, Corpus, Options
from pocketmood.data.corpora.deam import numbered
from pocketmood.data.corpora.deam_tables import song_id
from pocketmood.data.corpora.files import (
    Files,
    Reason,
    Reject,
    artist_name,
    collect,
    first_rows,
    number,
    open_table,
    optional_table,
    read_table,
    unlabelled_audio,
)
from pocketmood.emotion import Emotion
from pocketmood.errors import DataError

NAME, TITLE = "pmemo", "PMEmo"
CITATION = (
    "K. Zhang, H. Zhang, S. Li, C. Yang, L. Sun (2018). The PMEmo dataset for music emotion recognition. "
    "Proc. ACM International Conference on Multimedia Retrieval (ICMR): 135-142."
)
LICENCE = "choruses of commercial releases, all rights with their owners; annotations: MIT, as their repository says"
SOURCE = "https://github.com/HuiZhangDB/PMEmo"
LABEL_SET = "PMEmo static means of whole choruses"

STATIC, DEVIATIONS = "static_annotations.csv", "static_annotations_std.csv"
DYNAMIC, METADATA = "dynamic_annotations.csv", "metadata.csv"
HIGHEST = 1.0
LARGEST_DEVIATION = 0.5
"""No opinions between 0 and 1 can deviate more: half of them at either end."""
_HINT = "Is this PMEmo's own file? Its layout: docs/corpora.md"


def from_unit(rating: float) -> float:
    """Bring a rating from 0 to 1 to [-1, 1]."""
    return 2 * rating - 1


def find(root: Path, exclude: Path | None = None) -> Files:
    """Find PMEmo's files by name under any nesting; `exclude` is a folder to stay out of."""
    return collect(root, exclude, {STATIC, DEVIATIONS, DYNAMIC, METADATA}, numbered, TITLE)


def read_pairs(file: TextIO, kind: str, highest: float) -> Iterator[tuple[str, Emotion | Reason]]:
    """Yield (id, pair as shipped), or (id as written, reason) for a row that cannot be used, from an open table.

    kind: "mean" or "std", the word in the columns' brackets. highest: the largest value that can be meant.
    """
    columns = (f"Valence({kind})", f"Arousal({kind})")
    for row in read_table(file, ("musicId", *columns), _HINT):
        id_ = song_id(row.get("musicId", ""))
        values = [number(row.get(column, "")) for column in columns]
        wrong = [place for place, value in enumerate(values) if not 0 <= value <= highest]
        if id_ is None:
            yield row.get("musicId", ""), Reason(f'"{row.get("musicId", "")}" is no song id')
        elif wrong:
            column = columns[wrong[0]]
            yield str(id_), Reason(f'{column} is "{row.get(column, "")}", expected a number from 0 to {highest:g}')
        else:
            yield str(id_), Emotion(*values)


def read_dynamic(file: TextIO) -> dict[str, Emotion]:
    """Return the mean over time per song, from 0 to 1, from an open table; rows that cannot be used are skipped."""
    sums: dict[str, list[float]] = {}
    for id_, pair in read_pairs(file, "mean", HIGHEST):
        if isinstance(pair, Emotion):
            so_far = sums.setdefault(id_, [0.0, 0.0, 0.0])
            for place, value in enumerate((*pair, 1.0)):
                so_far[place] += value
    return {id_: Emotion(valence / count, arousal / count) for id_, (valence, arousal, count) in sums.items()}


def read_artists(file: TextIO) -> dict[str, str]:
    """Return the artist per song id from open metadata; songs of nobody in particular are left out."""
    artists = {}
    for row in read_table(file, ("musicId", "artist"), _HINT):
        id_, artist = song_id(row.get("musicId", "")), artist_name(row.get("artist", ""))
        if id_ is not None and artist is not None:
            artists[str(id_)] = artist
    return artists


def means(files: Files, rejects: list[Reject]) -> dict[str, Emotion]:
    """Read the mean ratings, as shipped; what cannot be used is added to `rejects`."""
    if STATIC not in files.tables:
        raise DataError(
            f"{files.root}: no {STATIC} in or below it. Is this PMEmo's folder? Its layout: docs/corpora.md"
        )
    with open_table(files.tables[STATIC]) as file:
        return _pairs(files, STATIC, file, "mean", HIGHEST, rejects)


def deviations(files: Files, rejects: list[Reject]) -> dict[str, Emotion]:
    """Read the deviations, as shipped; a table that is not there, or is another one, is a reject."""

    def read(file: TextIO) -> dict[str, Emotion]:
        return _pairs(files, DEVIATIONS, file, "std", LARGEST_DEVIATION, rejects)

    return optional_table(files, DEVIATIONS, read, "all songs count as rated without deviations", rejects)


def artists(files: Files, rejects: list[Reject]) -> dict[str, str]:
    """Read the artists; a table that is not there, or is another one, is a reject."""
    return optional_table(files, METADATA, read_artists, "all songs count as by different artists", rejects)


def clips(files: Files, options: Options = DEFAULTS) -> tuple[list[Clip], list[Reject]]:
    """Return the songs that have both ratings and audio, by id, and everything that was left out, with the reason."""
    rejects = list(files.rejects)
    rated, scatter, by = means(files, rejects), deviations(files, rejects), artists(files, rejects)

    songs = []
    for id_, mean in sorted(rated.items(), key=lambda item: int(item[0])):
        if id_ not in files.audio:
            rejects.append(Reject(id_, f"{id_}.mp3", f"no audio file of this name below {files.root.name}"))
            continue
        label = Emotion(*map(from_unit, mean))
        deviation = Emotion(*(2 * value for value in scatter[id_])) if id_ in scatter else None
        songs.append(Clip(id_, files.audio[id_], label, deviation, by.get(id_)))

    # Audio whose row was refused is listed once already, with a better reason.
    known = rated.keys() | {reject.id for reject in rejects}
    return songs, rejects + unlabelled_audio(files, known, "rating")


def audit(files: Files, options: Options = DEFAULTS) -> tuple[str, str]:
    """Compare the ratings of whole choruses with those over time: which axis they follow, and on which scale."""
    from pocketmood.data.corpora import pmemo_audit

    return pmemo_audit.report(files)


def _pairs(
    files: Files, name: str, file: TextIO, kind: str, highest: float, rejects: list[Reject]
) -> dict[str, Emotion]:
    """Read one open table of pairs, the first row of each song."""
    found: dict[str, Emotion] = {}
    first_rows(files.name(files.tables[name]), read_pairs(file, kind, highest), rejects, found)
    return found


CORPUS = Corpus(
    name=NAME,
    title=TITLE,
    citation=CITATION,
    licence=LICENCE,
    source=SOURCE,
    label_set=LABEL_SET,
    scale=f"0..{HIGHEST:g}",
    find=find,
    clips=clips,
    audit=audit,
)
