"""Training, validation and test: by artist where known, real labelled clips only, saved once and checked for leaks.

An artist's songs sound alike (recording, voice, mix), so a model trained on one half knows the others: they all
go to the same part. Songs of unknown artists count as each by an artist of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pocketmood.data.clips import Clip
from pocketmood.errors import ConfigError, DataError
from pocketmood.runs import read_json, write_json

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Shares:
    """What share of the songs each part gets; the test part has the rest."""

    train: float = 0.7
    """Share of the songs that train."""
    validation: float = 0.15
    """Share of the songs that choose the kept epoch and scale `interval68`; the test part has the rest."""

    def __post_init__(self) -> None:
        """Refuse shares that leave a part without songs."""
        if not all(share > 0 for share in (self.train, self.validation, self.test)):
            raise ConfigError(
                f"split: train {self.train:g} and validation {self.validation:g} leave {self.test:g} for the test "
                "part; each of the three must be above 0: --split.train .8 --split.validation .1, say"
            )

    @property
    def test(self) -> float:
        """Return what is left for the test part."""
        # Rounded, so that .7 and .15 leave .15 and nothing more: a part's last song hangs on it.
        return round(1 - self.train - self.validation, 9) + 0.0  # no -0 in a message


DEFAULT = Shares()
"""Of DEAM's 1802 songs 270 are tested on, and as many choose the epoch: see docs/data.md."""


@dataclass(frozen=True)
class Split:
    """Three lists of clip ids, and how they came about."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    """Ids of each part; no song is in two."""
    seed: int
    """That the songs were dealt with."""
    by: str
    """"artist" where at least one artist was known, else "song"."""

    def save(self, path: Path) -> None:
        """Write the split as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read a split; DataError for a file that holds none."""
        values = read_json(path)
        try:
            train, validation, test = (tuple(str(id_) for id_ in values[part]) for part in PARTS)
            return cls(train, validation, test, int(values["seed"]), str(values["by"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: no split ({error!r}); run `pocketmood data` again") from error

    def part_of(self) -> dict[str, str]:
        """Map each id to the name of its part."""
        return {id_: part for part in PARTS for id_ in getattr(self, part)}


def split_clips(clips: Iterable[Clip], seed: int = 0, shares: Shares = DEFAULT) -> Split:
    """Split the real labelled clips; the same clips in any order and the same seed give the same split.

    Artists come in random order, and each goes to a part drawn by the room left in it: an artist with several songs is
    held out about as often as one with a single song, and the shares come out to within an artist. Of several corpora
    each is dealt by its own shares, so that every part has songs of all of them; an artist of two counts to the one
    with more of their songs.
    """
    usable = sorted((clip for clip in clips if clip.label is not None and not clip.synthetic), key=lambda clip: clip.id)

    # Sorted above, because the order of files on a disk must not decide who is tested on.
    groups: dict[str, list[Clip]] = {}
    for clip in usable:
        groups.setdefault(artist_key(clip), []).append(clip)
    if len(groups) < len(PARTS):
        raise DataError(f"{len(usable)} labelled songs by {len(groups)} artists cannot be split three ways; add music")

    parts: list[list[str]] = [[], [], []]
    names, homes = list(groups), [_home(songs) for songs in groups.values()]
    wanted = np.array([shares.train, shares.validation, shares.test])
    rooms = {home: wanted * sum(clip.corpus == home for clip in usable) for home in sorted(set(homes))}
    filled = {home: np.zeros(len(PARTS), int) for home in rooms}
    left = Counter(homes)
    rng = np.random.default_rng(seed)
    for behind, number in enumerate(rng.permutation(len(names))):
        songs, home = groups[names[number]], homes[number]
        # More than half the artist's songs must fit, which is rounding to the nearest share; no part may stay empty.
        sizes, room = filled[home], rooms[home] - filled[home]
        chance = np.where(room >= sum(clip.corpus == home for clip in songs) / 2, room, 0.0)
        # As many artists left as parts without one, of the corpus or of all: each of these parts gets one now.
        empty = np.array([not part for part in parts])
        if left[home] <= (sizes == 0).sum():
            chance = (sizes == 0).astype(float)
        if len(names) - behind <= empty.sum():
            chance = empty.astype(float)
        if not chance.any():
            chance[room.argmax()] = 1.0
        part = int(rng.choice(len(PARTS), p=chance / chance.sum()))
        parts[part] += [clip.id for clip in songs]
        left[home] -= 1
        for clip in songs:
            # A corpus of which no artist has most songs is dealt with the others.
            if clip.corpus in filled:
                filled[clip.corpus][part] += 1

    by = "artist" if any(clip.artist for clip in usable) else "song"
    train, validation, test = (tuple(sorted(part, key=natural)) for part in parts)
    split = Split(train, validation, test, seed, by)
    refuse_leaks(split, usable)
    return split


def refuse_leaks(split: Split, clips: Sequence[Clip]) -> None:
    """Raise DataError unless every id is known and used once, and nothing leaks into validation or test.

    These hold real music with ratings, by artists that appear in no other part. Run it on whatever is about to be
    trained on and scored, together with the clips at hand, synthetic ones included.
    """
    known = {clip.id: clip for clip in clips}
    _refuse(
        [id_ for id_, count in Counter(clip.id for clip in clips).items() if count > 1], "in two clips", "rename one"
    )
    in_parts = {part: getattr(split, part) for part in PARTS}
    for part, ids in in_parts.items():
        _refuse([id_ for id_, count in Counter(ids).items() if count > 1], f"twice in {part}", "draw the split again")
        _refuse(
            [id_ for id_ in ids if id_ not in known], f"in {part}, but there is no such clip", "draw the split again"
        )
        if not ids:
            raise DataError(f"split: {part} is empty; add music or draw the split again")

    twice = Counter(id_ for ids in in_parts.values() for id_ in set(ids))
    _refuse([id_ for id_, count in twice.items() if count > 1], "in two parts", "draw the split again")
    for part in ("validation", "test"):
        held = [known[id_] for id_ in in_parts[part]]
        _refuse(
            [clip.id for clip in held if clip.synthetic], f"synthetic, yet in {part}", "only real music may be there"
        )
        _refuse([clip.id for clip in held if clip.label is None], f"without a rating, yet in {part}", "take it out")

    # Asked of the clips at hand, not of the split's own word: artists may have been corrected since it was drawn.
    parts_of: dict[str, set[str]] = {}
    for part, ids in in_parts.items():
        for id_ in ids:
            parts_of.setdefault(artist_key(known[id_]), set()).add(part)
    shared = {key for key, parts in parts_of.items() if len(parts) > 1}
    leaks = [known[id_] for ids in in_parts.values() for id_ in ids if artist_key(known[id_]) in shared]
    if leaks:
        by = leaks[0].artist
        raise DataError(f'split: artist "{by}" is in two parts ({_some([c.id for c in leaks])}); draw the split again')


def artist_key(clip: Clip) -> str:
    """Return what groups a clip with others: its artist, however spelled, or else its own id."""
    return f"artist {' '.join(clip.artist.casefold().split())}" if clip.artist else f"song {clip.id}"


def _home(songs: Sequence[Clip]) -> str:
    """Return the corpus that has most songs of an artist, the first by name of two that have as many."""
    counts = Counter(clip.corpus for clip in songs)
    return min(counts, key=lambda name: (-counts[name], name))


def natural(id_: str) -> tuple[bool, int, str]:
    """Sort numbers as numbers, before words."""
    return (False, int(id_), id_) if id_.isascii() and id_.isdigit() else (True, 0, id_)


def _refuse(ids: Sequence[str], what: str, then: str) -> None:
    if ids:
        raise DataError(f"split: {_some(ids)} {what}; {then}")


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
