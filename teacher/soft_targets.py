"""Soft targets: the teacher's predictions for fixed crops of every clip that the student may learn from, as a table.

They are made once, so that the student's epochs cost no pass of the teacher (EfficientAT does the same).

Conventions: the same K crops for every clip, as (start_hop, frames) at the student's frame stride; crop 0 is the whole
clip. Starts are multiples of the stride, so that a crop is a slice of the whole clip's spectrogram and teacher and
student see the very same frames. emotion and rater_sd are [N, K, 2], features [N, K, F], all float32.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pocketmood.data.run_folder import SOFT_TARGETS, SYNTHETIC_TARGETS
from pocketmood.errors import DataError, RunError
from pocketmood.records import from_json
from pocketmood.runs import read_json, write_json
from pocketmood.spec import MelSpec
from teacher.company.members import kind_of
from teacher.crop_predictions import ARRAYS, crop_list, predict_crops

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.run_folder import RunFolder
    from pocketmood.data.split import Split
    from teacher.company.members import Member
    from teacher.config import SoftTargetsConfig, VitConfig
    from teacher.gan.synthesis import SyntheticStore
    from teacher.vit import Teacher

INDEX_FILE, TABLE_FILE = "soft_targets.json", "soft_targets.safetensors"
CHUNK = 64
"""Clips whose soft targets are saved together: what a kill can cost."""
DISAGREEMENT = "disagreement"
_TINY = 1e-8


@dataclass(frozen=True)
class Source:
    """The teacher whose predictions become soft targets."""

    teacher: Teacher
    """The network, ready to predict."""
    vit: VitConfig
    """Its frame stride and frames decide what it is shown."""
    fingerprint: str
    """Of the stage that trained it."""

    def crops(
        self, clips: ClipStore | SyntheticStore, ids: Sequence[str], config: SoftTargetsConfig
    ) -> dict[str, NDArray[np.float32]]:
        """Predict for all crops of some clips, by the names in ARRAYS."""
        return predict_crops(self.teacher, self.vit, clips, ids, config)


@dataclass(frozen=True)
class Index:
    """What the rows and columns of the table are: `soft_targets.json`."""

    ids: tuple[str, ...]
    """Clips of the table, one per row."""
    crops: tuple[tuple[int, int], ...]
    """(start_hop, frames) of each crop; the first is the whole clip."""
    stride: int
    """Frame stride in which crops are counted."""
    frames: int
    """Frames of the whole clip."""
    spec_hash: str
    """Of the spectrogram that the teacher saw."""
    teacher: str
    """Fingerprint of the teacher that predicted."""

    @staticmethod
    def load(folder: Path) -> Index:
        """Read the index of a table's folder."""
        path = folder / INDEX_FILE
        return from_json(Index, read_json(path), str(path), "run the teacher stage again")


@dataclass(frozen=True)
class SoftTargets(Index):
    """The table, read back; the student needs nothing else of the teacher."""

    emotion: NDArray[np.float32]
    """[N, K, 2]."""
    rater_sd: NDArray[np.float32]
    """[N, K, 2]."""
    features: NDArray[np.float32]
    """[N, K, F]."""
    disagreement: NDArray[np.float32] | None = None
    """[N, K, 2] standard deviation over the members of a company; None for a teacher by itself."""

    @classmethod
    def open(cls, folder: Path) -> SoftTargets:
        """Read a folder; RunError where it is missing, DataError for parts that do not fit, or NaN."""
        if not (folder / INDEX_FILE).is_file() or not (folder / TABLE_FILE).is_file():
            raise RunError(f"{folder}: no soft targets here; run: python -m teacher --run {folder.parent.parent}")
        index = Index.load(folder)
        try:
            table = _load(folder / TABLE_FILE)
        except RunError as error:
            raise DataError(str(error)) from error

        wanted = (len(index.ids), len(index.crops))
        names = [*ARRAYS, *(name for name in (DISAGREEMENT,) if name in table)]
        for name in names:
            if name not in table or table[name].shape[:2] != wanted:
                raise DataError(f"{folder / TABLE_FILE}: {name} does not hold {wanted[0]} clips of {wanted[1]} crops")
            # A teacher whose training diverged gives NaN, which would make every student NaN hours later.
            if odd := int((~np.isfinite(table[name])).sum()):
                raise DataError(
                    f"{folder / TABLE_FILE}: {name} holds {odd} values that are no finite numbers; delete "
                    f"{folder.parent} and run: python -m teacher --run {folder.parent.parent}"
                )
        arrays: dict[str, Any] = {name: table[name] for name in names}
        return cls(**vars(index), **arrays)

    def plain(self) -> Index:
        """Return the index alone."""
        return Index(**{entry.name: getattr(self, entry.name) for entry in fields(Index)})

    def index(self, id_: str) -> int:
        """Return the row of a clip; DataError if there are no soft targets for it."""
        if id_ not in self._rows:
            raise DataError(f"no soft targets for clip {id_!r} (there are for {len(self.ids)}); run the teacher again")
        return self._rows[id_]

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays that the table has."""
        return ARRAYS if self.disagreement is None else (*ARRAYS, DISAGREEMENT)

    @cached_property
    def agreement(self) -> NDArray[np.float32]:
        """[N, K, 2] weights by how well members agree: 1 / (m^2 + d^2) of the disagreement d, mean 1 per axis.

        m^2 is the mean of d^2 over the table, so that a prediction of typical disagreement counts half of one that all
        share. Ones for a teacher by itself.
        """
        if self.disagreement is None or not self.disagreement.any():
            return np.ones_like(self.emotion)
        squares = self.disagreement.astype(np.float64) ** 2
        weight = 1 / (np.maximum(squares.mean((0, 1)), _TINY) + squares)
        return np.asarray(weight / weight.mean((0, 1)), np.float32)

    @cached_property
    def _rows(self) -> dict[str, int]:
        """The row of each clip, so that a training does not search the ids for every item."""
        return {name: row for row, name in enumerate(self.ids)}


@dataclass(frozen=True)
class SyntheticTargets:
    """Synthetic clips that the teacher learnt from, with its predictions for them."""

    table: SoftTargets
    """A row per clip."""
    mels: NDArray[np.float16]
    """[N, 1, M, T] at stride 1, in the order of the table, a read-only memory map."""

    @classmethod
    def open(cls, run: RunFolder) -> SyntheticTargets:
        """Open those of a run; RunError where the teacher drew none, or its gate refused them."""
        from teacher.gan.synthesis import SyntheticStore

        folder = run.made("teacher") / SYNTHETIC_TARGETS
        if not folder.is_dir():
            raise RunError(
                f"{folder}: missing, so there are no synthetic clips to learn from: the teacher drew none, or its gate "
                "refused them. Leave out --synthetic-clips, or force them, with the PRESET of this run: "
                f'{run.command("teacher")} TEACHER="--gan.force-synthetic"'
            )
        table, drawn = SoftTargets.open(folder), SyntheticStore.open(run.synthetic)
        if list(table.ids) != drawn.ids or table.spec_hash != drawn.record.spec_hash:
            raise DataError(f"{folder}: not made for the {len(drawn)} clips in {drawn.folder}; run the teacher again")
        return cls(table, drawn.mels)


def target_ids(store: ClipStore, split: Split) -> list[str]:
    """List training clips, then clips that nobody rated; never one of validation or test."""
    held_out = {*split.validation, *split.test}
    # Unrated clips are free music: the teacher's predictions are all the label that they need.
    unrated = [clip.id for clip in store.clips if clip.label is None and not clip.synthetic]
    return [*split.train, *(id_ for id_ in unrated if id_ not in held_out)]


class Asked(NamedTuple):
    """Clips of which a table is made."""

    clips: ClipStore | SyntheticStore
    """Where they lie."""
    ids: list[str]
    """Which of them, a row each."""


def tables(store: ClipStore, split: Split, synthetic: SyntheticStore | None) -> dict[str, Asked]:
    """Return the tables to make, by the name of their folder: of synthetic clips apart, as a student may ignore it."""
    found = {SOFT_TARGETS: Asked(store, target_ids(store, split))}
    if synthetic is not None:
        found[SYNTHETIC_TARGETS] = Asked(synthetic, synthetic.ids)
    return found


def make(
    name: str, teacher_folder: Path, fingerprint: str, asked: Asked, config: SoftTargetsConfig, folder: Path
) -> None:
    """Write a table by the trained member called `name`, of its folder, on the device that this machine has."""
    print(f"soft targets of {name}: whole clip and {config.crops} crops of {len(asked.ids)} clips", flush=True)
    member = kind_of(name).open(teacher_folder)
    fill(member, fingerprint, asked, config, folder)


def build(
    source: Source, clips: ClipStore | SyntheticStore, ids: Sequence[str], config: SoftTargetsConfig, folder: Path
) -> SoftTargets:
    """Predict for all `ids` of `clips` into `folder`; parts that are already there after a kill are kept."""
    source.teacher.eval()
    return fill(source, source.fingerprint, Asked(clips, list(ids)), config, folder)


def fill(
    source: Source | Member, fingerprint: str, asked: Asked, config: SoftTargetsConfig, folder: Path
) -> SoftTargets:
    """Predict for all clips of a table into `folder`; parts that are already there after a kill are kept."""
    from tqdm import tqdm

    ids = asked.ids

    chunks = [list(ids[first : first + CHUNK]) for first in range(0, len(ids), CHUNK)]
    paths = [folder / f"part-{number:05d}.safetensors" for number in range(len(chunks))]
    no_bar = not sys.stderr.isatty()
    for names, path in tqdm(list(zip(chunks, paths, strict=True)), "soft targets", disable=no_bar, leave=False):
        if not path.exists():
            save_table(path, source.crops(asked.clips, names, config))

    parts = [_load(path) for path in paths]
    save_table(folder / TABLE_FILE, {name: np.concatenate([part[name] for part in parts]) for name in ARRAYS})
    # The student's spectrogram, whatever its teacher hears: crops are counted in its hops and frames.
    crops = tuple(crop_list(config))
    index = Index(tuple(ids), crops, config.stride, config.frames, MelSpec().hash, fingerprint)
    # The index is written before the parts go: a kill in between leaves both, and the next call ends the same way.
    write_json(folder / INDEX_FILE, asdict(index))
    for path in paths:
        path.unlink()
    return SoftTargets.open(folder)


def save_table(path: Path, table: Mapping[str, NDArray[np.float32]]) -> None:
    """Write a table, whole or not at all."""
    # Imported here: the index is read by commands that never need torch.
    import torch

    from pocketmood.training.checkpoints import save_tensors

    save_tensors(path, {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in table.items()})


def _load(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read what `save_table` wrote; RunError for what is damaged."""
    from pocketmood.training.checkpoints import load_tensors

    found = load_tensors(path, "delete the teacher stage and run it")
    return {name: tensor.numpy() for name, tensor in found.items()}
