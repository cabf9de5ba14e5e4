"""`python -m export.coreml.predict_on_mac`: a bundle's CoreML programs on Apple's runtime against its golden pairs.

Linux converts, saves and evaluates a CoreML program, but only macOS can run one as Apple does. This script is the rest
of that proof. It needs the bundle alone, no run folder. `export/coreml/swift` does the same as an app would, without
Python.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.golden import golden_pairs
from pocketmood import command
from pocketmood.errors import BundleError, ExportError

DESCRIPTION = "Run a bundle's CoreML programs on this Mac and compare them with the bundle's golden pairs."
SUFFIX = ".mlpackage"

Array = NDArray[np.float32]
Runner = Callable[[Array], tuple[Array, Array]]


@dataclass(frozen=True)
class MacParity:
    """How far a program's emotions and intervals lie from the golden ones, over all pairs and both axes."""

    program: str
    pairs: int
    max_error: float
    mean_error: float
    signed_mean_error: float
    tolerance: float

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
    """Check the CoreML programs of a bundle; return 1 where one lies beyond its limit."""
    parser = argparse.ArgumentParser(prog="python -m export.coreml.predict_on_mac", description=DESCRIPTION)
    parser.add_argument("--bundle", type=Path, required=True, metavar="FOLDER", help="the bundle folder")
    parser.add_argument("--limit", type=float, help="largest difference allowed (default: as parity.json says)")
    chosen = parser.parse_args(args)
    refuse_other_systems(sys.platform)
    waves, answers = golden_pairs(chosen.bundle)
    from export.coreml import to_coreml

    found = []
    for program, tolerance in limits(chosen.bundle).items():
        limit = tolerance if chosen.limit is None else chosen.limit
        found.append(compare(program, to_coreml.read(chosen.bundle / program), waves, answers, limit))
        print(found[-1].sentence())
    print(json.dumps([asdict(one) | {"passed": one.passed} for one in found]))
    return int(not all(one.passed for one in found))


def limits(bundle: Path) -> dict[str, float]:
    """Map each CoreML program of a bundle to the largest difference that parity.json allows it on a device."""
    path = bundle / "parity.json"
    if not path.is_file():
        raise BundleError(f"{path}: missing, so there are no limits; export it again")
    records = [one for one in json.loads(path.read_text(encoding="utf-8")) if one["artefact"].endswith(SUFFIX)]
    if any("tolerance" not in one for one in records):
        raise BundleError(f"{path}: an older version wrote it, without limits for devices; export it again")
    found = {str(one["artefact"]): float(one["tolerance"]) for one in records}
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


def compare(program: str, run: Runner, waves: Array, golden: Array, tolerance: float) -> MacParity:
    """Run all golden waveforms through a program and measure its distance from the golden answers."""
    answers = np.concatenate([np.concatenate(run(wave[None]), axis=1) for wave in waves])
    error = answers.astype(np.float64) - golden
    return MacParity(
        program=program,
        pairs=len(waves),
        max_error=float(np.abs(error).max()),
        mean_error=float(np.abs(error).mean()),
        signed_mean_error=float(error.mean()),
        tolerance=tolerance,
    )


if __name__ == "__main__":
    command.start(main)
