"""`python -m export.predict_on_mac`: a bundle's CoreML program on Apple's own runtime, against its golden pairs.

Linux converts, saves and re-reads a CoreML program, but only macOS can run one. This script is the rest of that proof.
It needs the bundle alone, no run folder.
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

DESCRIPTION = "Run a bundle's CoreML program on this Mac and compare it with the bundle's golden pairs."
LIMIT = 1e-3
"""Largest difference from the golden answers, in units of [-1, 1]: other kernels sum in another order."""
PROGRAM = "model.fp32.mlpackage"

Array = NDArray[np.float32]
Runner = Callable[[Array], tuple[Array, Array]]


@dataclass(frozen=True)
class MacParity:
    """How far the program's emotions and spreads lie from the golden ones, over all pairs and both axes."""

    pairs: int
    max_error: float
    mean_error: float
    signed_mean_error: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the largest difference is within the limit; NaN is not."""
        return self.max_error <= self.limit

    def sentence(self) -> str:
        """Say it in one line for people."""
        verdict = "within" if self.passed else "BEYOND"
        return (
            f"{PROGRAM}: {self.pairs} golden pairs, largest difference "
            f"{self.max_error:.1e} ({verdict} the limit of {self.limit:.0e}), mean {self.mean_error:.1e}, "
            f"signed {self.signed_mean_error:+.1e}"
        )


def main(args: Sequence[str] | None = None) -> int:
    """Check the CoreML program of a bundle; return 1 where it lies beyond the limit."""
    parser = argparse.ArgumentParser(prog="python -m export.predict_on_mac", description=DESCRIPTION)
    parser.add_argument("--bundle", type=Path, required=True, metavar="FOLDER", help="the bundle folder")
    parser.add_argument("--limit", type=float, default=LIMIT, help="largest difference allowed (default: %(default)s)")
    chosen = parser.parse_args(args)
    refuse_other_systems(sys.platform)
    waves, answers = golden_pairs(chosen.bundle)
    path = chosen.bundle / PROGRAM
    if not path.is_dir():
        raise BundleError(f"{chosen.bundle}: holds no {PROGRAM}; was it exported with CoreML?")
    from export import to_coreml

    parity = compare(to_coreml.read(path), waves, answers, chosen.limit)
    print(parity.sentence())
    print(json.dumps(asdict(parity) | {"passed": parity.passed}))
    return int(not parity.passed)


def refuse_other_systems(platform: str) -> None:
    """Say by name that CoreML programs run on macOS only."""
    if platform != "darwin":
        raise ExportError(
            f"CoreML programs run on macOS only, and this is {platform}: nothing was checked. Copy the bundle to a Mac "
            "and run the same command there"
        )


def compare(run: Runner, waves: Array, golden: Array, limit: float) -> MacParity:
    """Run all golden waveforms through a program and measure its distance from the golden answers."""
    answers = np.concatenate([np.concatenate(run(wave[None]), axis=1) for wave in waves])
    error = answers.astype(np.float64) - golden
    return MacParity(
        pairs=len(waves),
        max_error=float(np.abs(error).max()),
        mean_error=float(np.abs(error).mean()),
        signed_mean_error=float(error.mean()),
        limit=limit,
    )


if __name__ == "__main__":
    command.run(main)
