"""Makes golden_tags.json: what the published checkpoint answers to sounds that anybody can make again.

    python -m tests.teacher.musicnn.make_golden_tags UNPACKED_PACKAGE

The package is unzipped musicnn-0.1.0; the checkpoint is read whole, dead channels included, and its graph computed in
float64 numpy by `tiny_network.twin` on librosa's spectrogram: nothing of `teacher.musicnn` but the reader takes part.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketmood.runs import write_json
from teacher.musicnn.checkpoint import read_checkpoint
from tests.teacher.musicnn.tiny_network import twin

GOLDEN = Path(__file__).with_name("golden_tags.json")


def sounds() -> dict[str, NDArray[np.float32]]:
    """Three sounds of 3 s at 16 kHz, [48000] in [-1, 1]."""
    time_s = np.arange(48_000) / 16_000
    noise = np.random.default_rng(0).uniform(-1, 1, 48_000)
    chord = np.sin(2 * np.pi * np.outer((220.0, 277.2, 329.6), time_s)).sum(0) / 4
    beat = noise * np.exp(-12 * (time_s % 0.5))
    waves = {"noise": 0.3 * noise, "chord": chord, "chord and beat": 0.5 * chord + 0.5 * beat}
    return {name: wave.astype(np.float32) for name, wave in waves.items()}


def main(args: Sequence[str] | None = None) -> None:
    """Write the golden file."""
    import librosa

    folder = Path((sys.argv[1:] if args is None else args)[0]) / "musicnn" / "MSD_musicnn"
    checkpoint = read_checkpoint((folder / ".index").read_bytes(), (folder / ".data-00000-of-00001").read_bytes())
    found = {}
    for name, wave in sounds().items():
        power = librosa.feature.melspectrogram(
            y=wave.astype(np.float64), sr=16_000, n_fft=512, hop_length=256, n_mels=96, pad_mode="reflect"
        )
        window = np.log10(1 + 10_000 * power).T[:187]
        found[name] = [round(float(tag), 6) for tag in twin(checkpoint, window)["tags"]]
    write_json(GOLDEN, found)


if __name__ == "__main__":
    main()
