"""`python -m tools.android_reference`: Python's predictions for sound that the Android app's JVM tests hear too.

Written as raw little-endian float32 into a folder: predictions of the bundle's smallest ExecuTorch program for its
golden waveforms, and music and sweeps before and after soxr, which the app's own resampler is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.golden import golden_pairs
from export.parity import compare
from pocketmood import command
from pocketmood.audio import resample
from pocketmood.bundle import Bundle
from tools.android_bundle import program

RATE = 22_050
MICROPHONE = 44_100
DISTANCE = "distance"
"""How far the predictions lie from the golden ones, as Python judges it."""


@dataclass(frozen=True)
class ReferenceConfig:
    """Whose predictions, and where they go."""

    bundle: Path
    """the bundle's folder"""
    to: Path = Path("android/target/reference")
    """where to"""


def main(args: Sequence[str] | None = None) -> int:
    """Write the reference of a command line's bundle."""
    return run(command.parse(ReferenceConfig, "python -m tools.android_reference", __doc__, args, positional=True))


def run(config: ReferenceConfig) -> int:
    """Write the reference of a bundle; nothing is done where it was made from the same bundle."""
    # bundle.json holds the hashes of all other files: as long as it is the same, so is the reference.
    made, source = config.to / "made-from", (config.bundle / "bundle.json").read_text(encoding="utf-8")
    whole = made.is_file() and (config.to / f"{DISTANCE}.f32").is_file()
    if not (whole and made.read_text(encoding="utf-8") == source):
        config.to.mkdir(parents=True, exist_ok=True)
        write(config.bundle, config.to)
        made.write_text(source, encoding="utf-8")
    return 0


def write(folder: Path, target: Path) -> None:
    """Compute everything that the JVM tests compare with."""
    import numpy as np

    bundle = Bundle.open(folder)
    golden = np.fromfile(folder / "golden" / "waveform.f32", "<f4").reshape(-1, bundle.samples)
    # The program that `make android` would ship: the one whose numbers the app shows.
    precision = program(bundle, None).split(".")[-2]
    predict = bundle.predictor("executorch", precision)

    def predictions(waves: Any) -> Any:
        return np.array([[*emotion, *interval68] for emotion, interval68 in map(predict, waves)])

    # The app does not score what ends in silence, as a song may.
    loudest = int((golden[:, -3 * RATE :] ** 2).sum(axis=1).argmax())
    # .9 of full scale: upsampling overshoots, and 16 bits would clip it.
    music = resample(golden[loudest] * np.float32(0.9), RATE, MICROPHONE)
    heard = resample(music, MICROPHONE, RATE)[: bundle.samples]
    found = predictions(golden)
    parts = {
        "golden": found,
        DISTANCE: np.array([compare(found.astype(np.float32), golden_pairs(folder)[1]).max_error]),
        "loudest": np.array([loudest]),
        "music44": music,
        "music22": heard,
        "music44-prediction": predictions([heard]),
        "music48": (faster := resample(golden[loudest] * np.float32(0.9), RATE, 48_000)),
        "music48-22": resample(faster, 48_000, RATE),
        # The same samples taken for 44.1 kHz: music an octave higher, with treble up to 22 kHz.
        "treble44": golden[loudest],
        "treble22": resample(golden[loudest], MICROPHONE, RATE),
        "sweep44": (sweep := _sweep(10.0, 20.0, 9_000.0)),
        "sweep22": resample(sweep, MICROPHONE, RATE),
    }
    for name, values in parts.items():
        (target / f"{name}.f32").write_bytes(np.ascontiguousarray(values, "<f4").tobytes())


def _sweep(seconds: float, low_hz: float, high_hz: float) -> Any:
    """Return a sine at half of full scale that climbs evenly from one frequency to another, at 44.1 kHz."""
    import numpy as np

    time = np.arange(round(seconds * MICROPHONE)) / MICROPHONE
    # The integral over time of a frequency that climbs evenly.
    phase = 2 * np.pi * (low_hz * time + (high_hz - low_hz) * time**2 / (2 * seconds))
    return (0.5 * np.sin(phase)).astype(np.float32)


if __name__ == "__main__":
    command.start(main)
