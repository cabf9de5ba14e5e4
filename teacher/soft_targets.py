"""Soft targets: the teacher's predictions for fixed crops of every clip that the student may learn from, as a table.

They are made once, so that the student's epochs cost no pass of the teacher (EfficientAT does the same).

Conventions: the same K crops for every clip, as (start_hop, frames) at the student's frame stride; crop 0 is the whole
clip. Starts are multiples of the stride, so that a crop is a slice of the whole clip's spectrogram and teacher and
student see the very same frames. emotion and rater_sd are [N, K, 2], features [N, K, F], all float32.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pocketmood.data.run_folder import SOFT_TARGETS, SYNTHETIC_TARGETS
from pocketmood.errors import DataError, RunError
from pocketmood.records import from_json
from pocketmood.runs import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.run_folder import RunFolder
    from pocketmood.data.split import Split
    from pocketmood.mel import MelFrontEnd
    from teacher.config import SoftTargetsConfig, VitConfig
    from teacher.gan.synthesis import SyntheticStore
    from teacher.vit import Teacher

INDEX_FILE, TABLE_FILE = "soft_targets.json", "soft_targets.safetensors"
CHUNK = 64
"""Clips whose soft targets are saved together: what a kill can cost."""
ARRAYS = ("emotion", "rater_sd", "features")


@dataclass(frozen=True)
class Source:
    """The teacher whose predictions become soft targets."""

    teacher: Teacher
    """The network, ready to predict."""
    vit: VitConfig
    """Its frame stride and frames decide what it is shown."""
    fingerprint: str
    """Of the stage that trained it."""


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
        for name in ARRAYS:
            if name not in table or table[name].shape[:2] != wanted:
                raise DataError(f"{folder / TABLE_FILE}: {name} does not hold {wanted[0]} clips of {wanted[1]} crops")
            # A teacher whose training diverged gives NaN, which would make every student NaN hours later.
            if odd := int((~np.isfinite(table[name])).sum()):
                raise DataError(
                    f"{folder / TABLE_FILE}: {name} holds {odd} values that are no finite numbers; delete "
                    f"{folder.parent} and run: python -m teacher --run {folder.parent.parent}"
                )
        arrays: dict[str, Any] = {name: table[name] for name in ARRAYS}
        return cls(**vars(index), **arrays)

    def index(self, id_: str) -> int:
        """Return the row of a clip; DataError if there are no soft targets for it."""
        if id_ not in self._rows:
            raise DataError(f"no soft targets for clip {id_!r} (there are for {len(self.ids)}); run the teacher again")
        return self._rows[id_]

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


def crop_list(config: SoftTargetsConfig) -> list[tuple[int, int]]:
    """List the crops: the whole clip, then `config.crops` of them from its very start to its very end, evenly."""
    last = config.frames - config.crop_frames
    # Fixed and even, not random: the student meets every part of a clip, and a rerun gives the same table.
    steps = max(config.crops - 1, 1)
    starts = [round(number * last / steps) * config.stride for number in range(config.crops)]
    return [(0, config.frames), *((start, config.crop_frames) for start in starts)]


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


def make(teacher_folder: Path, fingerprint: str, asked: Asked, config: SoftTargetsConfig, folder: Path) -> None:
    """Write a table by the trained teacher of a folder, on the device that this machine has."""
    from pocketmood.training.device import default_device
    from teacher.vit import load_teacher

    print(f"soft targets: whole clip and {config.crops} crops of {len(asked.ids)} clips", flush=True)
    teacher, saved = load_teacher(teacher_folder)
    build(Source(teacher.to(default_device()), saved.vit, fingerprint), asked.clips, asked.ids, config, folder)


def build(
    source: Source, clips: ClipStore | SyntheticStore, ids: Sequence[str], config: SoftTargetsConfig, folder: Path
) -> SoftTargets:
    """Predict for all `ids` of `clips` into `folder`; parts that are already there after a kill are kept."""
    from tqdm import tqdm

    from pocketmood.mel import MelFrontEnd

    source.teacher.eval()
    place = next(source.teacher.parameters()).device
    front = MelFrontEnd(stride=source.vit.stride, frames=source.vit.frames).to(place)
    crops = crop_list(config)

    chunks = [list(ids[first : first + CHUNK]) for first in range(0, len(ids), CHUNK)]
    paths = [folder / f"part-{number:05d}.safetensors" for number in range(len(chunks))]
    no_bar = not sys.stderr.isatty()
    for names, path in tqdm(list(zip(chunks, paths, strict=True)), "soft targets", disable=no_bar, leave=False):
        if not path.exists():
            _save(path, _predict_chunk(source, clips, names, front, crops, config))

    parts = [_load(path) for path in paths]
    _save(folder / TABLE_FILE, {name: np.concatenate([part[name] for part in parts]) for name in ARRAYS})
    spec_hash = front.spec.hash
    index = Index(tuple(ids), tuple(crops), config.stride, config.frames, spec_hash, source.fingerprint)
    # The index is written before the parts go: a kill in between leaves both, and the next call ends the same way.
    write_json(folder / INDEX_FILE, asdict(index))
    for path in paths:
        path.unlink()
    return SoftTargets.open(folder)


def _predict_chunk(
    source: Source,
    clips: ClipStore | SyntheticStore,
    ids: Sequence[str],
    front: MelFrontEnd,
    crops: Sequence[tuple[int, int]],
    config: SoftTargetsConfig,
) -> dict[str, NDArray[np.float32]]:
    """Predict for all crops of some clips; crops are counted in frames of the student's stride."""
    from teacher.finetune import predict_mels

    scale = config.stride // front.stride  # so many frames of the teacher make one of the student's
    rows: list[tuple[NDArray[np.float32], ...]] = []
    for mel in _whole(clips, ids, front):
        slices = [mel]  # the whole clip is what the teacher calls whole, to its last frame
        for start_hop, frames in crops[1:] if config.ask == "crops" else ():
            start = start_hop // front.stride
            slices.append(mel[..., start : start + frames * scale])

        predictions = [predict_mels(source.teacher, part) for part in slices]
        # Asked once for the whole clip, the table keeps its shape: the student need not know what was asked.
        predictions += [predictions[0]] * (len(crops) - len(slices))
        rows.append(tuple(np.stack(arrays, 1) for arrays in zip(*predictions, strict=True)))  # [B, K, ...] each
    return {name: np.concatenate(parts) for name, parts in zip(ARRAYS, zip(*rows, strict=True), strict=True)}


def _whole(clips: ClipStore | SyntheticStore, ids: Sequence[str], front: MelFrontEnd) -> Iterator[Tensor]:
    """Yield spectrograms [B, 1, M, T] of whole clips: computed from their sound, or as the generator drew them."""
    from pocketmood.training.crops import whole_mels
    from teacher.gan.synthesis import SyntheticStore

    if isinstance(clips, SyntheticStore):
        return clips.whole_mels(ids, front)
    return (mel for _, mel in whole_mels(clips, ids, front))


def _save(path: Path, table: Mapping[str, NDArray[np.float32]]) -> None:
    """Write a table, whole or not at all."""
    # Imported here: the index is read by commands that never need torch.
    import torch

    from pocketmood.training.checkpoints import save_tensors

    save_tensors(path, {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in table.items()})


def _load(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read what `_save` wrote; RunError for what is damaged."""
    from pocketmood.training.checkpoints import load_tensors

    found = load_tensors(path, "delete the teacher stage and run it")
    return {name: tensor.numpy() for name, tensor in found.items()}
