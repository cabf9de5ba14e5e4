"""Latency with another number of threads: a fresh process, because ExecuTorch's pool belongs to the process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.subprocess_json import JsonProcess, wait_for_go
from pocketmood import command
from pocketmood.data.run_folder import RunFolder

WARMUP, REPEATS, PAUSE_S = 2, 11, 0.01
"""Fewer calls than of the main figures: these two columns show the trend, and nothing is judged by them."""


@dataclass(frozen=True)
class ThreadsConfig:
    """Which rows to time, and with how many threads."""

    run_folder: Path
    """Run folder with finished stages."""
    threads: int
    """Threads that every runtime may use."""
    names: tuple[str, ...]
    """Names of the rows."""


def counts(threads: int) -> list[int]:
    """Return one and all cores, but for the number that is measured anyway."""
    from pocketmood.processes import cores

    return [count for count in sorted({1, cores()}) if count != threads]


def start_process(run_folder: Path, names: Sequence[str], threads: int) -> JsonProcess:
    """Start a process that opens rows; its result, timed once it is asked for: name -> median in ms, less failed rows.

    Opening, with all its imports, takes longer than timing, and may pass beside other work; the timing must not.
    """
    # Resolved, because the process runs in the root of the repository.
    words = ["-m", "benchmarks.threads", str(run_folder.resolve()), str(threads), *names]
    return JsonProcess(f"{threads} threads", *words)


def main(args: Sequence[str] | None = None) -> int:
    """Time rows in this process."""
    return run(command.parse(ThreadsConfig, "python -m benchmarks.threads", __doc__, args, positional=True))


def run(config: ThreadsConfig) -> int:
    """Open the rows, wait until told to go on, time them in turns, print one JSON line."""
    from benchmarks import latency
    from benchmarks.rows import open_calls

    calls = open_calls(RunFolder(config.run_folder), config.names, config.threads)
    # Until then other work has the cores.
    wait_for_go()
    timings = latency.take_turns(calls, latency.Turns(WARMUP, REPEATS, PAUSE_S))
    print(json.dumps({name: timing.median_ms for name, timing in timings.items() if timing.failure is None}))
    return 0


if __name__ == "__main__":
    command.start(main)
