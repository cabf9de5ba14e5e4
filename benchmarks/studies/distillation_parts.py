"""Parts of the distillation study: who is tested, who trains, and which teacher may answer for whom.

Conventions: rated songs are dealt to F parts by artist. The students of fold f are tested on all of part f; of every
other part a fifth of the songs chooses epochs, in every arm alike, and the rest trains: all of it, or the first eighths
of it, which are nested and the same for all arms and folds.

A teacher {f, g} learns from all parts but f and g. So it may answer for songs of part g where part f is tested, and for
those of part f where part g is tested: no teacher has heard the ratings of a song that it answers for, nor of one that
its student is tested on. F (F - 1) / 2 teachers serve all F folds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketmood.data.folds import Group, artist_folds, deal, make_fold
from pocketmood.data.run_folder import SOFT_TARGETS, RunFolder
from pocketmood.data.split import Split, artist_key, natural
from pocketmood.errors import DataError
from pocketmood.runs import fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pocketmood.data.clips import Clip
    from teacher.config import TeacherConfig
    from teacher.soft_targets import SoftTargets

EIGHTHS = 8
"""Shares of the ratings are counted in eighths."""
VALIDATION = 0.2
"""Share of a part that chooses epochs wherever the part is not tested."""
_SPARE = 1 / 3
Pair = tuple[int, int]
"""The two parts that a teacher has not heard, the smaller number first."""


@dataclass(frozen=True)
class Part:
    """The songs of one part, by what they are for where the part is not tested."""

    validation: tuple[str, ...]
    """Choose the kept epoch, of students and teachers."""
    spare: tuple[str, ...]
    """Choose that of students as well; a teacher's stage tests on them, whom no student asks about them."""
    eighths: tuple[tuple[str, ...], ...]
    """The rest: each eighth with its share of every quadrant, as far as whole artists allow."""

    @property
    def songs(self) -> tuple[str, ...]:
        """All songs of the part."""
        return _sorted([*self.validation, *self.spare, *self.train(1.0)])

    def train(self, share: float) -> tuple[str, ...]:
        """Return the songs that train: a smaller share is a part of a larger one."""
        return _sorted(id_ for eighth in self.eighths[: round(share * EIGHTHS)] for id_ in eighth)


def parts_of(clips: Sequence[Clip], folds: int, seed: int = 0) -> tuple[Part, ...]:
    """Deal the rated songs to parts; DataError where a part has too few artists to be divided so finely."""
    rated = {clip.id: clip for clip in clips if clip.label is not None and not clip.synthetic}
    found = []
    # Of these splits the test parts alone: what trains and validates must be the same wherever a part is not tested.
    for number, split in enumerate(artist_folds(rated.values(), folds, seed)):
        groups: dict[str, list[Clip]] = {}
        for id_ in split.test:
            groups.setdefault(artist_key(rated[id_]), []).append(rated[id_])
        if len(groups) < EIGHTHS + 2:
            raise DataError(
                f"part {number} of {folds} has {len(groups)} artists, and {EIGHTHS + 2} are needed: choose fewer "
                "(--folds) or add music"
            )
        rng = np.random.default_rng([seed, number])
        held, rest = deal([tuple(songs) for songs in groups.values()], [VALIDATION, 1 - VALIDATION], rng)
        # Very small parts may not hold two artists back: one more is taken from those that train.
        if len(held) < 2:
            held.append(rest.pop())
        spare, chosen = deal(held, [_SPARE, 1 - _SPARE], rng)
        eighths = deal(rest, [1 / EIGHTHS] * EIGHTHS, rng)
        # In random order: what is left over after even shares goes to the first of them.
        order = rng.permutation(EIGHTHS)
        found.append(Part(_ids(chosen), _ids(spare), tuple(_ids(eighths[number]) for number in order)))
    return tuple(found)


def student_split(parts: Sequence[Part], fold: int, share: float) -> Split:
    """Return the split of a student: part `fold` tests, so much of the others' ratings trains."""
    others = [part for number, part in enumerate(parts) if number != fold]
    train = _sorted(id_ for part in others for id_ in part.train(share))
    held = _sorted(id_ for part in others for id_ in (*part.validation, *part.spare))
    return Split(train, held, parts[fold].songs, fold, "artist")


def teacher_split(parts: Sequence[Part], pair: Pair, share: float) -> Split:
    """Return the split of a teacher: nothing of two parts, and so much of the others' ratings."""
    others = [part for number, part in enumerate(parts) if number not in pair]
    train = _sorted(id_ for part in others for id_ in part.train(share))
    held = _sorted(id_ for part in others for id_ in part.validation)
    return Split(train, held, _sorted(id_ for part in others for id_ in part.spare), 0, "artist")


@dataclass(frozen=True)
class Teachers:
    """What the teachers of one share say: a table per pair of parts, and a fingerprint of them all."""

    tables: Mapping[Pair, SoftTargets]
    """Each for the training songs of its two parts, and for all music without ratings."""
    fingerprint: str
    """Of the teachers."""


def ask_teachers(run: RunFolder, config: TeacherConfig, parts: Sequence[Part], share: float, folder: Path) -> Teachers:
    """Train a teacher for every pair of parts in a run of its own below `folder`, and read what it says.

    The songs of the two parts lose their ratings there, so that the teacher's stage answers for them as it does for
    any music without ratings. Each is a stage: what is finished is not done again.
    """
    from teacher import stage
    from teacher.soft_targets import SoftTargets

    tables, made = {}, []
    for pair in combinations(range(len(parts)), 2):
        path = folder / f"teacher-{share:g}-{pair[0]}-{pair[1]}"
        asked = [id_ for number in pair for id_ in parts[number].train(share)]
        print(f"teacher without parts {pair[0]} and {pair[1]}, {share:.1%} of the ratings", flush=True)
        fold = make_fold(run, teacher_split(parts, pair, share), path, unrated=asked)
        stage.run(replace(config, run=path))
        tables[pair] = SoftTargets.open(fold.made("teacher") / SOFT_TARGETS)
        made.append(fold.fingerprint("teacher"))
    return Teachers(tables, fingerprint(made))


def fold_table(
    teachers: Teachers, parts: Sequence[Part], fold: int, share: float, unrated: Sequence[str]
) -> SoftTargets:
    """Join the soft targets for the students of a fold: rated training songs first, then music without ratings.

    A song of part g has the predictions of the one teacher that knows neither g nor the fold; music without ratings
    has the mean over all teachers that do not know the fold. Features are those of one of them: spaces of several
    networks have no mean.
    """
    first = teachers.tables[_pair(fold, next(number for number in range(len(parts)) if number != fold))]
    columns: dict[str, list[NDArray[np.float32]]] = {name: [] for name in first.arrays}
    ids: list[str] = []
    others = [number for number in range(len(parts)) if number != fold]
    # Part by part, because a song's answer must come from the one teacher that has not heard it.
    for number in others:
        table, songs = teachers.tables[_pair(fold, number)], parts[number].train(share)
        rows = [table.index(id_) for id_ in songs]
        ids += songs
        for name, column in columns.items():
            column.append(getattr(table, name)[rows])

    if unrated:
        tables = [teachers.tables[_pair(fold, number)] for number in others]
        rows_of = [[table.index(id_) for id_ in unrated] for table in tables]
        for name in set(columns) - {"features"}:
            predicted = [getattr(table, name)[rows] for table, rows in zip(tables, rows_of, strict=True)]
            columns[name].append(np.asarray(np.mean(predicted, 0), np.float32))
        columns["features"].append(tables[0].features[rows_of[0]])
        ids += unrated
    joined: dict[str, Any] = {name: np.concatenate(column) for name, column in columns.items()}
    return replace(first, ids=tuple(ids), teacher=teachers.fingerprint, **joined)


def shuffled(table: SoftTargets, rated: int, seed: int) -> SoftTargets:
    """Permute the answers over clips, the first `rated` of them among each other and the others among each other.

    So the control has the same answers in the same numbers, and only their clips are wrong.
    """
    rng = np.random.default_rng([seed, len(table.ids)])
    order = np.concatenate([rng.permutation(rated), rated + rng.permutation(len(table.ids) - rated)])
    columns: dict[str, Any] = {name: getattr(table, name)[order] for name in table.arrays}
    return replace(table, **columns)


def _pair(a: int, b: int) -> Pair:
    return (min(a, b), max(a, b))


def _ids(groups: Iterable[Group]) -> tuple[str, ...]:
    return _sorted(clip.id for group in groups for clip in group)


def _sorted(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(ids, key=natural))
