"""The same rows with another number of threads: a fresh process, because ExecuTorch's pool belongs to the process."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.subprocess_json import Child, wait_until_asked

WARMUP, REPEATS = 2, 11


def counts(threads: int) -> list[int]:
    """Return one and all cores, but for the number that is measured anyway."""
    from pocketmood.processes import cores

    return [count for count in sorted({1, cores()}) if count != threads]


def start_child(run: Path, names: Sequence[str], threads: int) -> Child:
    """Start a process that opens rows; its answer, timed once it is asked: name -> median in ms, less rows that fail.

    Opening, with all its imports, takes longer than timing, and may pass beside other work; the timing must not.
    """
    return Child(f"{threads} threads", "-m", "benchmarks.threads", str(run.resolve()), str(threads), *names)


def main(run: Path, threads: int, names: Sequence[str]) -> None:
    """Open the rows, wait until asked, time them in turns, print one JSON line."""
    from benchmarks import latency
    from benchmarks.rows import open_calls

    calls = open_calls(run, names, threads)
    wait_until_asked()
    timings = latency.take_turns(calls, warmup=WARMUP, repeats=REPEATS, pause_s=0.01)
    print(json.dumps({name: timing.median_ms for name, timing in timings.items() if timing.failure is None}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
