"""How much processor time a program's answer takes on one thread, as a ratio to the reference kernel's around it.

This is what runs are compared by (`benchmarks.regression`). Wall time tells what a user waits for, and also what else
the machine was doing: on two crowded cores the median ratio of one program went from .6 to 1.7 times that of the run
before. Processor time leaves out whoever had the core in between, and one thread leaves out waiting for another; there
the same ratio scattered by 4 to 7 % from run to run, with other processes waiting for the same two cores. What it
cannot see is a program that no longer uses its threads: limits on `latency_ratio` do (see `benchmarks.gate`). Measured
in a fresh process, because ExecuTorch's threads belong to it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import latency, reference_kernel
from benchmarks.rows import open_calls
from benchmarks.subprocess_json import Child

WARMUP = 3
PAUSE_S = 0.03
"""Between calls, so that the rounds see more than one mood of the machine; costs nothing beside other work."""


def measure_in_child(run: Path, names: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Measure rows in a new process: name -> ratios by round; rows that fail are left out. RunError if it fails."""
    found: dict[str, list[float]] = Child(
        "work", "-m", "benchmarks.cpu_time", str(run.resolve()), str(rounds), *names
    ).answer()
    return found


def ratios(calls: Mapping[str, Callable[[], object]], rounds: int, seed: int = 0) -> dict[str, list[float]]:
    """Return each call's processor time over the reference kernel's, round by round."""
    timings = latency.take_turns(
        calls,
        warmup=WARMUP,
        repeats=rounds,
        reference=reference_kernel.kernel(1),
        pause_s=PAUSE_S,
        seed=seed,
        clock=time.process_time,
    )
    return {
        name: [round(ratio, 4) for ratio in timing.ratios] for name, timing in timings.items() if not timing.failure
    }


if __name__ == "__main__":
    print(json.dumps(ratios(open_calls(Path(sys.argv[1]), sys.argv[3:], threads=1), int(sys.argv[2]))))
