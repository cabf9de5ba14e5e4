"""4Q: 900 recorded clips of 30 s, each in one quadrant of the plane by experts' mood tags ("TAFFC", Panda et al. 2018).

On disk, found by file name under any nesting:

    Q1..Q4/<song>.mp3                           audio, named by AllMusic's id ("MT0000011357"); some last only 10 s
    panda_dataset_taffc_annotations.csv         Song, Quadrant
    panda_dataset_taffc_metadata.csv            Song, Artist, Title, Quadrant, mood tags, genres, ...

Conventions: a song's quadrant follows from its mood tags and word norms, and no listener rated how far out it lies. So
targets are +-.5 on both axes, without deviations, and only signs can be right or wrong (`pocketmood.signs`). Q1 is
pleasant and excited, Q2 unpleasant and excited, Q3 unpleasant and calm, Q4 pleasant and calm. The annotation decides;
the audit says where a song's folder, or its row of metadata, names another quadrant.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from pocketmood.data.clips import Clip
from pocketmood.data.corpora.contract import DEFAULTS, Corpus, Options
from pocketmood.data.corpora.files import (
    Files,
    Reason,
    Reject,
    artist_name,
    collect,
    first_rows,
    open_table,
    optional_table,
    read_table,
    unlabelled_audio,
)
from pocketmood.emotion import Emotion
from pocketmood.errors import DataError
from pocketmood.label_kind import QUADRANTS, TAGS

NAME, TITLE = "4q", "4Q"
CITATION = (
    "R. Panda, R. Malheiro, R. P. Paiva (2018). Novel audio features for music emotion recognition. "
    "IEEE Transactions on Affective Computing 11(4): 614-626."
)
LICENCE = "excerpts of commercial releases, all rights with their owners; annotations for research, none stated"
SOURCE = "http://mir.dei.uc.pt"
LABEL_SET = f"4Q quadrants: {TAGS}"

ANNOTATIONS, METADATA = "panda_dataset_taffc_annotations.csv", "panda_dataset_taffc_metadata.csv"
TARGETS = {
    "Q1": Emotion(0.5, 0.5),
    "Q2": Emotion(-0.5, 0.5),
    "Q3": Emotion(-0.5, -0.5),
    "Q4": Emotion(0.5, -0.5),
}
"""The middle of each quadrant: of how far out a song lies nothing is known."""
UNEVEN = 0.75
"""Below this ratio of the smallest to the largest quadrant the audit calls them uneven."""
_SHOWN = 5
_HINT = "Is this 4Q's own file?"


def find(root: Path, exclude: Path | None = None) -> Files:
    """Find 4Q's files by name under any nesting; `exclude` is a folder to stay out of."""
    return collect(root, exclude, {ANNOTATIONS, METADATA}, song_of, TITLE)


def song_of(path: Path) -> str | None:
    """Return the song of an audio file, as the tables write it; None for what is not named like one."""
    name = path.stem.strip().upper()
    return name if re.fullmatch(r"MT\d+", name) else None


def read_quadrants(file: TextIO) -> Iterator[tuple[str, str | Reason]]:
    """Yield (song, quadrant), or (song, reason) for a row that cannot be used, from an open table."""
    for row in read_table(file, ("Song", "Quadrant"), _HINT):
        song, quadrant = row.get("Song", "").upper(), row.get("Quadrant", "").upper()
        if not song:
            yield "", Reason(f'a row without a song, of quadrant "{quadrant}"')
        elif quadrant not in TARGETS:
            yield song, Reason(f'the quadrant is "{row.get("Quadrant", "")}", expected {", ".join(TARGETS)}')
        else:
            yield song, quadrant


def read_artists(file: TextIO) -> dict[str, str]:
    """Return the artist by song from an open metadata file; songs without one are left out."""
    artists = {}
    for row in read_table(file, ("Song", "Artist"), _HINT):
        artist = artist_name(row.get("Artist", ""))
        if artist is not None:
            artists[row.get("Song", "").upper()] = artist
    return artists


def quadrants(files: Files, rejects: list[Reject]) -> dict[str, str]:
    """Read the annotations; what cannot be used is added to `rejects`."""
    if ANNOTATIONS not in files.tables:
        raise DataError(
            f"{files.root}: no {ANNOTATIONS} in or below it. Is this 4Q's folder? Its layout: docs/corpora.md"
        )
    found: dict[str, str] = {}
    table = files.name(files.tables[ANNOTATIONS])
    with open_table(files.tables[ANNOTATIONS]) as file:
        first_rows(table, read_quadrants(file), rejects, found, of="song")
    return found


def artists(files: Files, rejects: list[Reject]) -> dict[str, str]:
    """Read the artists; a table that is not there, or is another one, is a reject."""
    return optional_table(files, METADATA, read_artists, "all songs count as by different artists", rejects)


def clips(files: Files, options: Options = DEFAULTS) -> tuple[list[Clip], list[Reject]]:
    """Return the songs that have both a quadrant and audio, by name, and all that was left out, with the reason."""
    rejects = list(files.rejects)
    annotated, by = quadrants(files, rejects), artists(files, rejects)

    songs = []
    for song, quadrant in sorted(annotated.items()):
        if song in files.audio:
            songs.append(Clip(song, files.audio[song], TARGETS[quadrant], None, by.get(song)))
        else:
            rejects.append(Reject(song, f"{song}.mp3", f"no audio file of this name below {files.root.name}"))

    # Audio whose row was refused is listed once already, with a better reason.
    known = annotated.keys() | {reject.id for reject in rejects}
    return songs, rejects + unlabelled_audio(files, known, "quadrant")


def audit(files: Files, options: Options = DEFAULTS) -> tuple[str, str]:
    """Say whether folders and metadata agree with the annotations, how even the quadrants are, and who is known."""
    try:
        annotated, by = quadrants(files, []), artists(files, [])
    except DataError as error:
        return f"Audit of the quadrants could not run: {error}.", ""
    here = {song: quadrant for song, quadrant in annotated.items() if song in files.audio}
    if not here:
        return "Audit of the quadrants could not run: no annotated song has audio.", ""
    folders = {song: files.audio[song].parent.name.upper() for song in here}
    counts = Counter(here.values())
    shares = [counts[quadrant] for quadrant in TARGETS]
    even = "even" if min(shares) >= UNEVEN * max(shares) else "UNEVEN"

    named = {song: name for song, name in folders.items() if name in TARGETS}
    words = _both_agree(here, named, _of_metadata(files))
    names = {by[song].casefold() for song in here if song in by}
    known = sum(song in by for song in here)
    sentence = (
        f"Audit: {words}; quadrants are {even} ({', '.join(map(str, shares))} songs); artists known of "
        f"{known} of {len(here)} songs ({len(names)} names)."
    )
    lines = [
        f"{quadrant}: {counts[quadrant]} songs, valence {target.valence:+g}, arousal {target.arousal:+g}"
        for quadrant, target in TARGETS.items()
    ]
    lines += [f"{song}: annotated {here[song]}, folder {folders[song]}" for song in here if folders[song] != here[song]]
    return sentence, "\n".join(lines)


def _of_metadata(files: Files) -> dict[str, str]:
    """Read the quadrants that the metadata repeat; nothing where the table or its column is not there."""

    def read(file: TextIO) -> dict[str, str]:
        return {song: found for song, found in read_quadrants(file) if not isinstance(found, Reason)}

    # What is wrong with the table is said where the artists are read from it.
    return optional_table(files, METADATA, read, "", [])


def _both_agree(annotated: Mapping[str, str], folders: Mapping[str, str], metadata: Mapping[str, str]) -> str:
    """Say whether folders and metadata agree with the annotations; in one phrase where both do for all songs."""
    if annotated == folders == {song: metadata.get(song) for song in annotated}:
        return f"folders and metadata agree with the annotations for all {len(annotated)} songs"
    return f"{_agreement('folders', annotated, folders)}; {_agreement('metadata', annotated, metadata)}"


def _agreement(who: str, annotated: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Say in a phrase for how many songs another source names the annotated quadrant."""
    both = [song for song in annotated if song in other]
    if not both:
        return f"{who} name no quadrants"
    wrong = [song for song in both if other[song] != annotated[song]]
    if not wrong:
        return f"{who} agree with the annotations for all {len(both)} songs"
    shown = ", ".join(wrong[:_SHOWN]) + (", ..." if len(wrong) > _SHOWN else "")
    return f"{who} DISAGREE with the annotations for {len(wrong)} of {len(both)} songs ({shown})"


CORPUS = Corpus(
    name=NAME,
    title=TITLE,
    citation=CITATION,
    licence=LICENCE,
    source=SOURCE,
    label_set=LABEL_SET,
    label_kind=QUADRANTS,
    scale="Q1..Q4",
    find=find,
    clips=clips,
    audit=audit,
)
