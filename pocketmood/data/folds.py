"""Cross-validation by artist: K splits that test every rated song once, and a run folder for each of them.

One test part of a small corpus has intervals as wide as what is to be shown; all folds together test on every song.
Conventions: folds are counted from 0; quadrants are those of `pocketmood.emotion.quadrant`.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketmood.data.clips import Clip, write_index
from pocketmood.data.record import SplitSizes
from pocketmood.data.run_folder import SPLIT_FILE, STORE, TRUTH_FILE, RunFolder
from pocketmood.data.split import Split, artist_key, natural, refuse_leaks
from pocketmood.emotion import quadrant
from pocketmood.errors import ConfigError, DataError
from pocketmood.runs import Stage, link_or_copy

QUADRANTS = ("happy-energetic", "angry-tense", "sad-calm", "content-relaxed")
VALIDATION = 0.15
"""Share of a fold's other songs that choose epochs and penalties; the rest of them train."""

Group = tuple[Clip, ...]
"""All songs by one artist."""


def artist_folds(
    clips: Iterable[Clip], folds: int = 5, seed: int = 0, validation: float = VALIDATION
) -> tuple[Split, ...]:
    """Make a split per fold: each rated song is in exactly one test part, each artist in one part of every split.

    Parts have equal shares of the four quadrants of every corpus, as far as whole artists allow. The same clips in
    any order and the same seed give the same folds. DataError where there are fewer artists than folds, or a part
    would be empty.
    """
    if folds < 2:
        raise ConfigError(f"--folds {folds} must be at least 2: one fold leaves nothing to train on")
    if not 0 < validation < 1:
        raise ConfigError(f"validation share {validation:g} must lie between 0 and 1")
    usable = sorted((clip for clip in clips if clip.label is not None and not clip.synthetic), key=lambda clip: clip.id)

    by_artist: dict[str, list[Clip]] = {}
    for clip in usable:
        by_artist.setdefault(artist_key(clip), []).append(clip)
    groups = [tuple(songs) for songs in by_artist.values()]
    # Two more artists than one fold tests: one to train on, one to validate.
    if len(groups) < max(folds, 3):
        raise DataError(
            f"{len(usable)} rated songs by {len(groups)} artists cannot make {folds} folds: choose fewer (--folds) or "
            "add music"
        )

    by = "artist" if any(clip.artist for clip in usable) else "song"
    tested = deal(groups, [1 / folds] * folds, np.random.default_rng([seed, 0]))
    splits = []
    for number, test in enumerate(tested):
        others = [group for part in tested if part is not test for group in part]
        # A stream of its own for each fold: what one fold draws must not hang on how many there are before it.
        rng = np.random.default_rng([seed, 1 + number])
        held, train = deal(others, [validation, 1 - validation], rng)
        splits.append(Split(_ids(train), _ids(held), _ids(test), seed, by))
        refuse_leaks(splits[-1], usable)
    return tuple(splits)


def deal(groups: Sequence[Group], shares: Sequence[float], rng: np.random.Generator) -> list[list[Group]]:
    """Deal artists to parts of given shares (their sum is 1), so that each has its share of every corpus's quadrants.

    The largest artists first, equals in random order; each goes where the sum over corpora and quadrants of (songs -
    wanted)^2 / wanted rises least. Single songs come last and fill what the large ones left uneven.
    """
    corpora = sorted({clip.corpus for group in groups for clip in group})
    counts = np.array([_quadrants(group, corpora) for group in groups])  # [G, cells]
    # A quadrant that nobody fills has no share to keep to.
    counts = counts[:, counts.sum(0) > 0]
    wanted = np.outer(shares, counts.sum(0))  # [P, Q]
    filled = np.zeros_like(wanted)
    parts: list[list[Group]] = [[] for _ in shares]

    shuffled = rng.permutation(len(groups))
    order = shuffled[np.argsort(-counts.sum(1)[shuffled], kind="stable")]
    for left, number in zip(range(len(groups), 0, -1), order.tolist(), strict=True):
        more = counts[number]
        rise = ((2 * (filled - wanted) + more) * more / wanted).sum(1)  # [P]
        # As many artists left as parts without one: each of them gets one now.
        empty = np.array([not part for part in parts])
        if left <= empty.sum():
            rise[~empty] = np.inf
        part = int(rise.argmin())
        parts[part].append(groups[number])
        filled[part] += more
    return parts


def make_fold(run: RunFolder, split: Split, path: Path, unrated: Collection[str] = ()) -> RunFolder:
    """Make `path` a run whose data stage has this split and the clips of another run; return its folder.

    The clips are not copied where the file system can link them. Teacher, student and all later stages then work in
    the fold as in any run. Does nothing where that stage is there already.

    unrated: clips whose ratings are taken away, so that a teacher of the fold answers for them as for any music
    without ratings, and cannot have learnt from them.
    """
    fold = RunFolder(path)
    settings: dict[str, Any] = {"split": asdict(split)} | ({"unrated": sorted(unrated)} if unrated else {})
    stage = Stage(path, "data", settings, {"data": run.fingerprint("data")})
    if stage.up_to_date(quiet=True):
        return fold
    with stage.work() as work:
        source = run.made("data")
        store = work / STORE
        # A kill may have left half of it; links cost nothing to make again.
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(source / STORE, store, copy_function=link_or_copy)
        if (source / TRUTH_FILE).is_file():
            link_or_copy(source / TRUTH_FILE, work / TRUTH_FILE)
        record = run.data_record
        if unrated:
            hidden = [clip for clip in run.store.clips if clip.id in set(unrated) and clip.label is not None]
            clips = [_without_rating(clip) if clip in hidden else clip for clip in run.store.clips]
            refuse_leaks(split, clips)
            # A new file, so that the run's own index, which is linked here, keeps its ratings.
            write_index(store, clips)
            fewer = Counter(clip.corpus for clip in hidden)
            corpora = tuple(replace(corpus, songs=corpus.songs - fewer[corpus.name]) for corpus in record.corpora)
            record = replace(record, corpora=corpora, unlabelled=record.unlabelled + len(hidden))
        split.save(work / SPLIT_FILE)
        sizes = SplitSizes(len(split.train), len(split.validation), len(split.test), split.by)
        # Pictures and rejects stay with the run that they are of.
        stage.record |= asdict(replace(record, split=sizes, plots=()))
    return fold


def _without_rating(clip: Clip) -> Clip:
    return replace(clip, label=None, deviation=None)


def _quadrants(group: Group, corpora: Sequence[str]) -> NDArray[np.int64]:
    """Count the songs of an artist per corpus and quadrant, and of several corpora per corpus: [cells]."""
    places = Counter((clip.corpus, quadrant(clip.label)) for clip in group if clip.label is not None)
    cells = [places[corpus, name] for corpus in corpora for name in QUADRANTS]
    # A small corpus has few songs per quadrant and part: by quadrants alone one part would get the odd ones of all.
    wholes = [sum(places[corpus, name] for name in QUADRANTS) for corpus in corpora] if len(corpora) > 1 else []
    return np.array([*cells, *wholes])


def _ids(part: Sequence[Group]) -> tuple[str, ...]:
    return tuple(sorted((clip.id for group in part for clip in group), key=natural))
