"""Synthetic clips: labelled spectrograms of a trained generator, in a store of their own.

A store is a folder: `mels.f16` (raw little-endian float16, [N, 1, M, T]), `labels.f32` (raw little-endian float32,
[N, D]) and `synthetic.json`, written last: a folder without it is no store.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from pocketmood.data.clips import Clip
from pocketmood.emotion import Emotion
from pocketmood.errors import DataError, RunError
from pocketmood.records import from_json
from pocketmood.runs import file_hash, read_json, write_json
from teacher.gan.record import SyntheticRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from pocketmood.mel import MelFrontEnd

MEL_FILE, LABEL_FILE, STORE_FILE = "mels.f16", "labels.f32", "synthetic.json"
BATCH = 16


@dataclass(frozen=True)
class SyntheticStore:
    """Spectrograms of a generator, with the emotions that it was given."""

    folder: Path
    """Where the files lie."""
    ids: list[str]
    """"synthetic-00001" and so on: no song has such an id."""
    mels: NDArray[np.float16]
    """[N, 1, M, T] in [-1, 1], a read-only memory map."""
    labels: NDArray[np.float32]
    """[N, 2] valence and arousal asked for, in [-1, 1]."""
    record: SyntheticRecord
    """What `synthetic.json` says."""

    @classmethod
    def open(cls, folder: Path) -> SyntheticStore:
        """Open a store read-only; RunError where it is missing, DataError where its files do not fit each other."""
        if not (folder / STORE_FILE).exists():
            raise RunError(f"{folder}: no synthetic clips here ({STORE_FILE} is missing); run the teacher stage")
        path = folder / STORE_FILE
        record = from_json(SyntheticRecord, read_json(path), str(path), "run the teacher stage again")
        count, bands, frames = record.clips, record.bands, record.frames
        # A full disk leaves short files, which a memory map would take without a word.
        for name, wanted in ((MEL_FILE, count * bands * frames * 2), (LABEL_FILE, count * 8)):
            size = (folder / name).stat().st_size if (folder / name).exists() else 0
            if size != wanted:
                raise DataError(
                    f"{folder / name}: {size} bytes, {count} clips need {wanted}; run the teacher stage again"
                )

        # Mapped, not read: 3200 clips are 1 GB.
        mels = np.memmap(folder / MEL_FILE, "<f2", "r", shape=(count, 1, bands, frames))
        labels = np.fromfile(folder / LABEL_FILE, "<f4").reshape(count, 2)
        return cls(folder, [f"synthetic-{row + 1:05d}" for row in range(count)], mels, labels, record)

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.ids)

    def whole_mels(self, ids: Sequence[str], front: MelFrontEnd, batch: int = BATCH) -> Iterator[Tensor]:
        """Yield spectrograms [B, 1, M, T] of whole clips, as `front` looks at real ones: its frames, on its device."""
        import torch

        rows = {id_: row for row, id_ in enumerate(self.ids)}
        for first in range(0, len(ids), batch):
            chosen = [rows[id_] for id_ in ids[first : first + batch]]
            mels = self.mels[chosen][..., :: front.stride][..., : front.frames].astype(np.float32)
            yield torch.from_numpy(mels).to(front.window.device)

    @property
    def clips(self) -> list[Clip]:
        """The clips as a split sees them: synthetic, and so refused by validation and test."""
        return [
            Clip(id_, None, Emotion(float(valence), float(arousal)), None, synthetic=True)
            for id_, (valence, arousal) in zip(self.ids, self.labels, strict=True)
        ]


def draw_clips(folder_gan: Path, labels: NDArray[np.float32], count: int, folder: Path, seed: int) -> SyntheticStore:
    """Draw `count` spectrograms for emotions like `labels` [N, D] of the training songs, and store them in `folder`.

    Clip i depends on (seed, i) only.
    """
    import torch

    from pocketmood.training.device import default_device
    from teacher.gan.model import WEIGHTS_FILE, load_generator
    from teacher.gan.training_songs import draw_conditions

    generator, gan = load_generator(folder_gan)
    place = default_device()
    generator.to(place)
    labels = np.asarray(labels, np.float32)
    if count < 1 or len(labels) == 0 or not np.isfinite(labels).all():
        raise DataError(f"{count} synthetic clips from {len(labels)} labels: need at least one of each, and no NaN")
    rng = np.random.default_rng([seed, count])
    conditions = draw_conditions(labels, count, gan.config.conditions, gan.config.jitter, rng)

    folder.mkdir(parents=True, exist_ok=True)
    # Taken away first and written last: while the clips are drawn anew, the folder is no store.
    (folder / STORE_FILE).unlink(missing_ok=True)
    with (folder / MEL_FILE).open("wb") as file:
        for first in tqdm(range(0, count, BATCH), "synthetic clips", disable=not sys.stderr.isatty(), leave=False):
            asked = conditions[first : first + BATCH]
            # One stream per clip: another batch size draws the same clips.
            noise = np.stack([_noise(seed, first + row, generator.latent) for row in range(len(asked))])
            with torch.no_grad():
                mels = generator(torch.from_numpy(noise).to(place), torch.from_numpy(asked).to(place))
            file.write(mels.cpu().numpy().astype("<f2").tobytes())
    (folder / LABEL_FILE).write_bytes(conditions.astype("<f4").tobytes())

    weights = file_hash(folder_gan / WEIGHTS_FILE)
    record = SyntheticRecord(count, generator.bands, generator.frames, seed, gan.spec_hash, weights)
    write_json(folder / STORE_FILE, asdict(record))
    return SyntheticStore.open(folder)


def _noise(seed: int, row: int, length: int) -> NDArray[np.float32]:
    """Draw the random vector of one clip."""
    return np.random.default_rng([seed, row, 1]).standard_normal(length, np.float32)
