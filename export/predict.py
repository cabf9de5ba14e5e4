"""Predictions clip by clip with a program of any runtime; a PyTorch module as such a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from export.parity import Outputs
from pocketmood.data.clips import ClipStore
from pocketmood.programs import Array, Program


def predict_clips(program: Program, store: ClipStore, ids: Sequence[str]) -> Outputs:
    """Predict clips of a store one by one: [N, 4], valence, arousal, and the interval68 of each."""
    return predict_waves(program, (store.waveform(id_) for id_ in ids))


def predict_waves(program: Program, waves: Sequence[Array] | Iterator[Array] | Array) -> Outputs:
    """Predict waveforms [S] one by one: [N, 4], valence, arousal, and the interval68 of each."""
    # One by one, because every program is written for a single clip.
    rows = [np.concatenate([output.reshape(-1) for output in program(wave[None])]) for wave in waves]
    return np.stack(rows).astype(np.float32)


class Waves:
    """Clips of a store as waveforms [1, S], each read when it is used: all of them would take gigabytes."""

    def __init__(self, store: ClipStore, ids: Sequence[str]) -> None:
        """Choose clips by id."""
        self.store, self.ids = store, ids

    def __len__(self) -> int:
        """Count them."""
        return len(self.ids)

    def __getitem__(self, row: int) -> torch.Tensor:
        """Return the waveform of one clip."""
        return torch.from_numpy(self.store.waveform(self.ids[row])[None])

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Go through all."""
        return (self[row] for row in range(len(self)))


def in_torch(module: torch.nn.Module) -> Program:
    """Wrap a module as a program."""

    def run(waveform: Array) -> tuple[Array, Array]:
        with torch.inference_mode():
            emotion, interval68 = module(torch.from_numpy(waveform))
        return emotion.numpy(), interval68.numpy()

    return run
