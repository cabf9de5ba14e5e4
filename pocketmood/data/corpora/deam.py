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

from pathlib import Path

from pocketmood.data.clips import Clip
from pocketmood.data.corpora.contract import DEFAULTS, Corpus, Options
from pocketmood.data.corpora.deam_tables import HIGHEST, LOWEST, Rating, read_artists, read_ratings, song_id
from pocketmood.data.corpora.files import (
    Files,
    Reject,
    collect,
    first_rows,
    open_table,
    optional_table,
    unlabelled_audio,
)
from pocketmood.data.run_folder import TRUTH_FILE
from pocketmood.errors import ConfigError, DataError

NAME, TITLE = "deam", "DEAM"
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


def find(root: Path, exclude: Path | None = None) -> Files:
    """Find DEAM's files by name under any nesting; `exclude` is a folder to stay out of."""
    return collect(root, exclude, {*STATIC_FILES, *DYNAMIC_FILES, *METADATA_FILES}, numbered, TITLE)


def numbered(path: Path) -> str | None:
    """Return the id of audio that is named by a number, without the zeros that some mirrors pad it with."""
    return str(int(path.stem)) if path.stem.isascii() and path.stem.isdigit() else None


def ratings(files: Files, rejects: list[Reject]) -> dict[int, Rating]:
    """Read both song-level files as they are; what cannot be used is added to `rejects`."""
    found: dict[str, Rating] = {}
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
            first_rows(files.name(files.tables[name]), read_ratings(file), rejects, found)
    return {int(id_): rating for id_, rating in found.items()}


def artists(files: Files, rejects: list[Reject]) -> dict[str, str]:
    """Read the artists of all metadata files; a file that is not there, or has no such column, is a reject."""
    found: dict[str, str] = {}
    for name in METADATA_FILES:
        found |= optional_table(files, name, read_artists, "its songs count as by different artists", rejects)
    return found


def check(options: Options) -> None:
    """Refuse a label fix that is misspelled."""
    if options.label_fix not in LABEL_FIXES:
        raise ConfigError(f'label fix "{options.label_fix}" is unknown; choose from {", ".join(LABEL_FIXES)}')


def clips(files: Files, options: Options = DEFAULTS) -> tuple[list[Clip], list[Reject]]:
    """Return the songs that have both ratings and audio, by id, and everything that was left out, with the reason."""
    check(options)
    rejects = list(files.rejects)
    rated, by = ratings(files, rejects), artists(files, rejects)

    songs = []
    for number, rating in sorted(rated.items()):
        id_ = str(number)
        if id_ not in files.audio:
            rejects.append(Reject(id_, f"{id_}.mp3", f"no audio file of this name below {files.root.name}"))
            continue
        used = rating.swapped() if options.label_fix == "swap-2013" and number <= LAST_SWAPPED_ID else rating
        songs.append(Clip(id_, files.audio[id_], used.label, used.deviation, by.get(id_)))

    # Audio whose row was refused is listed once already, with a better reason.
    known = {str(id_) for id_ in (*rated, *(song_id(reject.id) for reject in rejects))}
    return songs, rejects + unlabelled_audio(files, known, "rating")


def audit(files: Files, options: Options = DEFAULTS) -> tuple[str, str]:
    """Say which way round valence and arousal are: `deam_audit`, which needs the ratings per second."""
    from pocketmood.data.corpora import deam_audit

    return deam_audit.report(files, ratings(files, []), options.label_fix)


def really(root: Path) -> str:
    """Tell the corpus of a folder in DEAM's layout: a rendered one knows its true scores, which nobody knows of DEAM.

    So labels that a formula made are never taken for people's, whatever word a command line has for them.
    """
    return "rendered" if (root / TRUTH_FILE).is_file() else NAME


CORPUS = Corpus(
    name=NAME,
    title=TITLE,
    citation=CITATION,
    licence=LICENCE,
    source=SOURCE,
    label_set=LABEL_SET,
    scale=f"{LOWEST:g}..{HIGHEST:g}",
    options=("label_fix",),
    check=check,
    find=find,
    clips=clips,
    audit=audit,
    really=really,
)
