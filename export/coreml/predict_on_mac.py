"""`python -m export.coreml.predict_on_mac`: a bundle's CoreML programs on Apple's runtime against its golden pairs.

Linux converts, saves and evaluates a CoreML program, but only macOS can run one as Apple does. This script is the rest
of that proof. It needs the bundle alone, no run folder. `export/coreml/swift` does the same as an app would, without
Python.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from export import parity
from export.golden import golden_pairs
from export.parity_record import tolerances
from export.predict import predict_waves
from pocketmood import command
from pocketmood.errors import BundleError, ExportError
from pocketmood.programs import Array, Program

SUFFIX = ".mlpackage"


@dataclass(frozen=True)
class MacConfig:
    """The check of a bundle's CoreML programs on this Mac."""

    bundle: Path
    """The bundle's folder."""
    limit: float | None = None
    """Largest difference allowed; each program's tolerance in parity.json if left out."""


@dataclass(frozen=True)
class MacParity:
    """How far a program's emotions and intervals lie from the golden ones, over all pairs and both axes."""

    program: str
    """Its file in the bundle."""
    pairs: int
    """Golden pairs that it was run on."""
    max_error: float
    """Largest difference, in units of [-1, 1]."""
    mean_error: float
    """Mean difference."""
    signed_mean_error: float
    """Mean of found less golden."""
    tolerance: float
    """Largest difference allowed."""

    @property
    def passed(self) -> bool:
        """Whether the largest difference is within the tolerance; NaN is not."""
        return self.max_error <= self.tolerance

    def sentence(self) -> str:
        """Say it in one line for people."""
        verdict = "within" if self.passed else "BEYOND"
        return (
            f"{self.program}: {self.pairs} golden pairs, largest difference "
            f"{self.max_error:.1e} ({verdict} the tolerance of {self.tolerance:.0e}), mean {self.mean_error:.1e}, "
            f"signed {self.signed_mean_error:+.1e}"
        )


def main(args: Sequence[str] | None = None) -> int:
    """Read the command line and run the check."""
    return run(command.parse(MacConfig, "python -m export.coreml.predict_on_mac", __doc__, args))


def run(config: MacConfig) -> int:
    """Check the CoreML programs of a bundle; return 1 where one lies beyond its tolerance."""
    refuse_other_systems(sys.platform)
    waves, golden = golden_pairs(config.bundle)
    # Here, because coremltools takes seconds to import, and what is said above needs none of it.
    from export.coreml import to_coreml

    found = []
    for name, tolerance in allowed(config.bundle).items():
        program = to_coreml.read(config.bundle / name)
        limit = tolerance if config.limit is None else config.limit
        found.append(compare(name, program, waves, golden, limit))
        print(found[-1].sentence())
    print(json.dumps([asdict(record) | {"passed": record.passed} for record in found]))
    return int(not all(record.passed for record in found))


def allowed(bundle: Path) -> dict[str, float]:
    """Map each CoreML program of a bundle to its tolerance; BundleError where it holds none, or not all it lists."""
    found = tolerances(bundle, SUFFIX)
    missing = [name for name in found if not (bundle / name).is_dir()]
    if missing or not found:
        raise BundleError(f"{bundle}: holds no {', '.join(missing) or 'CoreML program'}; was it exported with CoreML?")
    return found


def refuse_other_systems(platform: str) -> None:
    """Say by name that CoreML programs run on macOS only."""
    if platform != "darwin":
        raise ExportError(
            f"CoreML programs run on macOS only, and this is {platform}: nothing was checked. Copy the bundle to a Mac "
            "and run the same command there"
        )


def compare(name: str, program: Program, waves: Array, golden: parity.Outputs, tolerance: float) -> MacParity:
    """Run all golden waveforms [N, S] through a program and measure its distance from the golden predictions [N, 4]."""
    distance = parity.compare(predict_waves(program, waves), golden)
    return MacParity(
        program=name,
        pairs=distance.clips,
        max_error=distance.max_error,
        # Both outputs have two axes, so that the mean over all numbers is that of their means.
        mean_error=(distance.emotion_mean_error + distance.interval68_mean_error) / 2,
        signed_mean_error=(distance.emotion_signed_error + distance.interval68_signed_error) / 2,
        tolerance=tolerance,
    )


if __name__ == "__main__":
    command.start(main)
