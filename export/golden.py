"""The golden pairs of a bundle: waveforms and PyTorch's answers to them, the same bytes for every language."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketmood.errors import BundleError

Array = NDArray[np.float32]
WAVEFORMS, EMOTIONS, INTERVALS = "golden/waveform.f32", "golden/emotion.f32", "golden/interval68.f32"


def golden_pairs(bundle: Path) -> tuple[Array, Array]:
    """Read the golden waveforms [N, S] and answers [N, 2 D] (emotion, interval68): raw little-endian float32."""
    record = bundle / "bundle.json"
    if not record.is_file():
        raise BundleError(f"{bundle}: no bundle.json in it; pass the folder that `python -m export` wrote")
    samples = int(json.loads(record.read_text(encoding="utf-8"))["input"]["shape"][-1])
    parts = []
    for name, width in ((WAVEFORMS, samples), (EMOTIONS, 2), (INTERVALS, 2)):
        path = bundle / name
        if not path.is_file() or not path.stat().st_size or path.stat().st_size % (4 * width):
            raise BundleError(f"{path}: missing, or no whole number of rows of {width} float32; export it again")
        parts.append(np.fromfile(path, "<f4").reshape(-1, width))
    waves, emotions, intervals = parts
    if not len(waves) == len(emotions) == len(intervals):
        counts = f"{len(waves)} golden waveforms, {len(emotions)} emotions, {len(intervals)} intervals"
        raise BundleError(f"{bundle}: {counts}; export it again")
    return waves, np.concatenate([emotions, intervals], axis=1)
