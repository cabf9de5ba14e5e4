"""How a program is asked: clip by clip, in the form that every runtime's reader returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from export.onnx.to_onnx import Runner
from pocketmood.data.clips import ClipStore


def answer(run: Runner, store: ClipStore, ids: Sequence[str]) -> NDArray[np.float32]:
    """Let a program answer clip by clip: [N, 4], valence, arousal, and the interval68 of each."""
    rows = [np.concatenate([part.reshape(-1) for part in run(store.waveform(id_)[None])]) for id_ in ids]
    return np.stack(rows).astype(np.float32)


class Waves:
    """Clips of a store as waveforms [1, S], read when they are asked for."""

    def __init__(self, store: ClipStore, ids: Sequence[str]) -> None:
        """Choose clips by id."""
        self.store, self.ids = store, ids

    def __len__(self) -> int:
        """Count them."""
        return len(self.ids)

    def __getitem__(self, row: int) -> torch.Tensor:
        """Return one."""
        return torch.from_numpy(self.store.waveform(self.ids[row])[None])

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Go through all."""
        return (self[row] for row in range(len(self)))


def in_torch(module: torch.nn.Module) -> Runner:
    """Wrap a module as a program."""

    def run(waveform: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.inference_mode():
            emotion, interval68 = module(torch.from_numpy(waveform))
        return emotion.numpy(), interval68.numpy()

    return run
