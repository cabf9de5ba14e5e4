"""The golden pairs of a bundle: waveforms and PyTorch's predictions for them, the same bytes for every language."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from export.parity import Outputs
from pocketmood.bundle import Bundle
from pocketmood.errors import BundleError
from pocketmood.programs import Array
from pocketmood.runs import write_bytes

WAVEFORMS, EMOTIONS, INTERVALS = "golden/waveform.f32", "golden/emotion.f32", "golden/interval68.f32"
GOLDEN_FILES = (WAVEFORMS, EMOTIONS, INTERVALS)
"""What a device needs of them."""
MEL_FILE = "golden/mel.f32"
"""The spectrogram of the first clip, for ports that have a front end of their own."""


def golden_pairs(folder: Path) -> tuple[Array, Outputs]:
    """Read a bundle's golden waveforms [N, S] and predictions [N, 4]: raw little-endian float32."""
    samples = Bundle.open(folder).samples
    parts = []
    for name, width in ((WAVEFORMS, samples), (EMOTIONS, 2), (INTERVALS, 2)):
        path = folder / name
        if not path.is_file() or not path.stat().st_size or path.stat().st_size % (4 * width):
            raise BundleError(f"{path}: missing, or no whole number of rows of {width} float32; export it again")
        parts.append(np.fromfile(path, "<f4").reshape(-1, width))

    waves, emotions, intervals = parts
    if not len(waves) == len(emotions) == len(intervals):
        counts = f"{len(waves)} golden waveforms, {len(emotions)} emotions, {len(intervals)} intervals"
        raise BundleError(f"{folder}: {counts}; export it again")
    return waves, np.concatenate([emotions, intervals], axis=1)


def write_golden(folder: Path, waves: Array, predictions: Outputs, mel: Array) -> None:
    """Write the golden pairs of a bundle, clip after clip, and the first clip's spectrogram [M, T]."""
    parts = {WAVEFORMS: waves, EMOTIONS: predictions[:, :2], INTERVALS: predictions[:, 2:], MEL_FILE: mel}
    # Raw, because a reader of it is one line in every language.
    for name, values in parts.items():
        write_bytes(folder / name, np.ascontiguousarray(values, "<f4").tobytes())
