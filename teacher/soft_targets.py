"""The teacher's answers, given once for fixed crops of every clip the student may learn from, and kept as a table.

Conventions: the same K crops for every clip, as (start_hop, frames) at the student's frame stride; crop 0 is the whole
clip. Starts are multiples of the stride, so that a crop is a slice of the whole clip's spectrogram and teacher and
student see the very same frames. emotion and rater_sd are [N, K, 2], features [N, K, F], all float32.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from pocketmood.errors import DataError, RunError
from pocketmood.runs import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from teacher.config import SoftTargetsConfig, VitConfig
    from teacher.vit import Teacher

INDEX_FILE, TABLE_FILE = "soft_targets.json", "soft_targets.safetensors"
CHUNK = 64
"""Clips whose answers are saved together: what a kill can cost."""


@dataclass(frozen=True)
class SoftTargets:
    """The table, read back; the student needs nothing else of the teacher."""

    ids: tuple[str, ...]
    crops: tuple[tuple[int, int], ...]
    """(start_hop, frames) of each crop; the first is the whole clip."""
    stride: int
    """Frame stride in which crops are counted."""
    frames: int
    """Frames of the whole clip."""
    spec_hash: str
    """Of the spectrogram that the teacher saw."""
    teacher: str
    """Fingerprint of the teacher that answered."""
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
            raise RunError(f"{folder}: no teacher's answers here; run: python -m teacher --run {folder.parent.parent}")
        index = read_json(folder / INDEX_FILE)
        try:
            table = load_file(folder / TABLE_FILE)
        except SafetensorError as error:
            raise DataError(f"{folder / TABLE_FILE}: damaged ({error}); delete the teacher stage and run it") from error
        crops = tuple((int(start), int(frames)) for start, frames in index["crops"])
        wanted = (len(index["ids"]), len(crops))
        for name in ("emotion", "rater_sd", "features"):
            if name not in table or table[name].shape[:2] != wanted:
                raise DataError(f"{folder / TABLE_FILE}: {name} does not hold {wanted[0]} clips of {wanted[1]} crops")
            if odd := int((~np.isfinite(table[name])).sum()):
                raise DataError(
                    f"{folder / TABLE_FILE}: {name} holds {odd} values that are no finite numbers; delete "
                    f"{folder.parent} and run: python -m teacher --run {folder.parent.parent}"
                )
        facts = {name: index[name] for name in ("stride", "frames", "spec_hash", "teacher")}
        return cls(ids=tuple(index["ids"]), crops=crops, **facts, **table)

    def index(self, id_: str) -> int:
        """Return the row of a clip; DataError if the teacher did not answer for it."""
        rows: Mapping[str, int] | None = self.__dict__.get("_rows")
        if rows is None:
            rows = {name: row for row, name in enumerate(self.ids)}
            self.__dict__["_rows"] = rows
        if id_ not in rows:
            raise DataError(f"the teacher did not answer for clip {id_!r} (it did for {len(self.ids)})")
        return rows[id_]


def crop_list(config: SoftTargetsConfig) -> list[tuple[int, int]]:
    """List the crops: the whole clip, then `config.crops` of them from its very start to its very end, evenly."""
    last = config.frames - config.crop_frames
    steps = max(config.crops - 1, 1)
    starts = [round(number * last / steps) * config.stride for number in range(config.crops)]
    return [(0, config.frames), *((start, config.crop_frames) for start in starts)]


def answered_ids(store: ClipStore, split: Split) -> list[str]:
    """List training clips, then clips that nobody rated; never one of validation or test."""
    held_out = {*split.validation, *split.test}
    unrated = [clip.id for clip in store.clips if clip.label is None and not clip.synthetic]
    return [*split.train, *(id_ for id_ in unrated if id_ not in held_out)]


def main(
    teacher: Teacher,
    store: ClipStore,
    ids: Sequence[str],
    vit: VitConfig,
    config: SoftTargetsConfig,
    folder: Path,
    fingerprint: str,
) -> SoftTargets:
    """Answer for all `ids` into `folder`; parts that are already there after a kill are kept."""
    from tqdm import tqdm

    from pocketmood.mel import MelFrontEnd

    teacher.eval()
    front = MelFrontEnd(stride=vit.stride, frames=vit.frames).to(next(teacher.parameters()).device)
    crops = crop_list(config)
    chunks = [list(ids[first : first + CHUNK]) for first in range(0, len(ids), CHUNK)]
    paths = [folder / f"part-{number:05d}.safetensors" for number in range(len(chunks))]
    hidden = not sys.stderr.isatty()
    for names, path in tqdm(list(zip(chunks, paths, strict=True)), "soft targets", disable=hidden, leave=False):
        if not path.exists():
            _save(path, _answer_chunk(teacher, store, names, front, crops, config.stride // vit.stride))
    parts = [load_file(path) for path in paths]
    table = {name: np.concatenate([part[name] for part in parts]) for name in ("emotion", "rater_sd", "features")}
    _save(folder / TABLE_FILE, table)
    index: dict[str, Any] = {
        "ids": list(ids),
        "crops": crops,
        "stride": config.stride,
        "frames": config.frames,
        "spec_hash": front.spec.hash,
        "teacher": fingerprint,
    }
    write_json(folder / INDEX_FILE, index)
    for path in paths:
        path.unlink()
    return SoftTargets.open(folder)


def _answer_chunk(
    teacher: Teacher, store: ClipStore, ids: Sequence[str], front: Any, crops: Sequence[tuple[int, int]], scale: int
) -> dict[str, NDArray[np.float32]]:
    """Answer for all crops of some clips; `scale` frames of the teacher make one of the student's."""
    from pocketmood.training.crops import whole_mels
    from teacher.finetune import answer_mels

    rows: list[tuple[NDArray[np.float32], ...]] = []
    for _, mel in whole_mels(store, ids, front):
        slices = [mel]  # the whole clip is what the teacher calls whole, to its last frame
        for start_hop, frames in crops[1:]:
            start = start_hop // front.stride
            slices.append(mel[..., start : start + frames * scale])
        outputs = [answer_mels(teacher, part) for part in slices]
        rows.append(tuple(np.stack(part, 1) for part in zip(*outputs, strict=True)))
    return {
        name: np.concatenate(part)
        for name, part in zip(("emotion", "rater_sd", "features"), zip(*rows, strict=True), strict=True)
    }


def _save(path: Path, table: Mapping[str, NDArray[np.float32]]) -> None:
    """Write a table under a temporary name and rename it."""
    part = path.with_name(path.name + ".tmp")
    save_file({name: np.ascontiguousarray(value) for name, value in table.items()}, part)
    part.replace(path)
