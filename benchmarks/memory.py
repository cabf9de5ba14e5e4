"""Peak memory of a row: a fresh process opens it, predicts three times, and reports its high-water mark.

The figure holds the interpreter and every library that the row imports, so it compares rows on a computer; a phone,
which carries no Python and no PyTorch, needs far less.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.subprocess_json import JsonProcess
from pocketmood import command
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import RunError
from pocketmood.runs import peak_rss_bytes

CALLS = 3
"""Predictions before the mark is read: some libraries are loaded, and some buffers made, by the first one only."""


@dataclass(frozen=True)
class MemoryConfig:
    """Which row to weigh."""

    run_folder: Path
    """Run folder with finished stages."""
    name: str
    """Name of the row."""
    threads: int
    """Threads that its runtime may use; each has buffers of its own."""


def measure_in_process(run_folder: Path, name: str, threads: int) -> int:
    """Weigh row `name` of this run in a fresh process; returns its peak in bytes, RunError with its last words."""
    words = ["-m", "benchmarks.memory", str(run_folder.resolve()), name, str(threads)]
    return int(JsonProcess(f"memory of {name}", *words).result()["peak_rss_bytes"])


def main(args: Sequence[str] | None = None) -> int:
    """Weigh one row in this process."""
    # Read by hand: tyro and what it imports would be 5 MB of every figure.
    words = sys.argv[1:] if args is None else list(args)
    return run(MemoryConfig(Path(words[0]), words[1], int(words[2])))


def run(config: MemoryConfig) -> int:
    """Open one row, let it predict, print one JSON line."""
    from benchmarks.rows import rows_of

    folder = RunFolder(config.run_folder)
    row = next(row for row in rows_of(folder) if row.name == config.name)
    if row.open is None:
        raise RunError(f"memory of {config.name}: {row.why_not_opened}")

    # One clip, read before the row is opened: the store is a memory map, whose pages count as well.
    store = folder.store_of(folder.bundle.samples)
    wave = store.waveform(store.ids[0])
    predict = row.open(config.threads).predict
    for _ in range(CALLS):
        predict(wave)

    peak = peak_rss_bytes()
    if peak is None:
        raise RunError(f"peak memory: {sys.platform} does not tell it")
    print(json.dumps({"name": config.name, "peak_rss_bytes": peak}))
    return 0


if __name__ == "__main__":
    command.start(main)
