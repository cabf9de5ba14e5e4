"""Levels of clips on disk, as the musicnn networks hear them: made once per training, read window by window.

Conventions: N clips, T frames, M = 96 bands; levels are those of `front_end.py` as float16, whose rounding is a
thousandth of what the gain of an augmentation changes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from pocketmood.audio import FULL_SCALE
from teacher.musicnn.front_end import SPEC, MusicnnFrontEnd, at_16_khz

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore

LEVELS_FILE = "levels.f16"
"""As of a store of clips: what ends so is left out of archives."""


@dataclass(frozen=True)
class Levels:
    """Levels of some clips, in a file."""

    path: Path
    """What `write` wrote."""
    frames: int
    """T of each clip."""

    @property
    def array(self) -> NDArray[np.float16]:
        """[N, T, M], a read-only memory map; opened anew each time, so that loader processes can be sent this."""
        flat: NDArray[np.float16] = np.memmap(self.path, np.float16, "r")
        return flat.reshape(-1, self.frames, SPEC.bands)


def write(store: ClipStore, ids: Sequence[str], folder: Path) -> Levels:
    """Write the levels of clips into `folder`; those that a killed call wrote are kept."""
    from tqdm import tqdm

    path, front = folder / LEVELS_FILE, MusicnnFrontEnd()

    def heard(name: str) -> NDArray[np.float16]:
        wave = at_16_khz(store.raw[store.index(name)], store.sample_rate).astype(np.float32) / FULL_SCALE
        with torch.inference_mode():
            return np.asarray(front(torch.from_numpy(wave)[None])[0].numpy().astype(np.float16))

    # By a clip, not by arithmetic: how resampling rounds its length is its own affair.
    first = heard(ids[0])
    if path.is_file():
        return Levels(path, len(first))
    part = path.with_name(f"{path.name}.part")
    folder.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as file:
        # A kill may have left half a clip behind the last whole one.
        done = min(file.tell() // first.nbytes, len(ids))
        file.truncate(done * first.nbytes)
        for name in tqdm(ids[done:], "levels", disable=not sys.stderr.isatty(), leave=False):
            file.write(heard(name).tobytes())
    part.replace(path)
    return Levels(path, len(first))


def mixed(parts: Sequence[tuple[float, NDArray[np.float32]]]) -> NDArray[np.float32]:
    """Return the levels log10(1 + c power) of sounds whose energies are scaled by a factor each, and added.

    Sounds have no relation to each other, so that powers add in expectation (as `student.training_set.mix` has it).
    """
    # Exact, whatever the constant c is: 10 ** level - 1 is proportional to power.
    powers = [np.float32(factor) * (np.power(np.float32(10), levels) - 1) for factor, levels in parts]
    added: NDArray[np.float32] = np.log10(1 + sum(powers)).astype(np.float32)
    return added
