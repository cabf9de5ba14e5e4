"""Processor time of a prediction on one thread, as a ratio to the reference kernel's around it.

This is what runs are compared by (`benchmarks.regression`). Wall time tells what a user waits for, and also what else
the machine was doing: on two crowded cores the median ratio of one program went from .6 to 1.7 times that of the run
before. Processor time leaves out whoever had the core in between, and one thread leaves out waiting for another; there
the same ratio scattered by 4 to 7 % from run to run, with other processes waiting for the same two cores. What it
cannot see is a program that no longer uses its threads: limits on `latency_ratio` do (see `benchmarks.gate`). Measured
in a fresh process, because ExecuTorch's threads belong to it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import latency, reference_kernel
from benchmarks.rows import open_calls
from benchmarks.subprocess_json import JsonProcess
from pocketmood import command
from pocketmood.data.run_folder import RunFolder

WARMUP = 3
PAUSE_S = 0.03
"""Between calls, so that the rounds see more than one state of the machine; costs nothing beside other work."""


@dataclass(frozen=True)
class CpuTimeConfig:
    """Which rows to measure, and how often."""

    run_folder: Path
    """Run folder with finished stages."""
    rounds: int
    """Timed calls of each row."""
    names: tuple[str, ...]
    """Names of the rows."""


def measure_in_process(run_folder: Path, names: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Measure rows in a new process: name -> ratios by round; rows that fail are left out. RunError if it fails."""
    words = ["-m", "benchmarks.cpu_time", str(run_folder.resolve()), str(rounds), *names]
    found: dict[str, list[float]] = JsonProcess("cpu_time", *words).result()
    return found


def ratios(calls: Mapping[str, Callable[[], object]], rounds: int, seed: int = 0) -> dict[str, list[float]]:
    """Return each call's processor time over the reference kernel's, round by round."""
    timings = latency.take_turns(
        calls,
        latency.Turns(WARMUP, rounds, PAUSE_S, seed=seed),
        # One thread, as the rows have: the processor time of two would hold what each spends waiting for the other.
        reference=reference_kernel.kernel(1),
        clock=time.process_time,
    )
    return {
        # Four decimals: clocks tell no more, and results.json keeps a row's rounds on one readable line.
        name: [round(ratio, 4) for ratio in timing.ratios]
        for name, timing in timings.items()
        if not timing.failure
    }


def main(args: Sequence[str] | None = None) -> int:
    """Measure rows in this process."""
    return run(command.parse(CpuTimeConfig, "python -m benchmarks.cpu_time", __doc__, args, positional=True))


def run(config: CpuTimeConfig) -> int:
    """Open the rows on one thread, measure them in turns, print one JSON line."""
    print(json.dumps(ratios(open_calls(RunFolder(config.run_folder), config.names, threads=1), config.rounds)))
    return 0


if __name__ == "__main__":
    command.start(main)
