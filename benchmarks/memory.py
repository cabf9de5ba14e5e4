"""Peak memory of a row: a fresh process opens it, answers three times, and reports its high-water mark.

The figure holds the interpreter and every library that the row imports, so it compares rows on a computer; a phone,
which carries no Python and no PyTorch, needs far less.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.subprocess_json import Child
from pocketmood.errors import RunError
from pocketmood.runs import peak_rss_bytes

CALLS = 3


def measure_in_child(run: Path, name: str, threads: int) -> int:
    """Start a process that opens row `name` of this run, and return its peak in bytes; RunError with its last words."""
    words = ["-m", "benchmarks.memory", str(run.resolve()), name, str(threads)]
    return int(Child(f"memory of {name}", *words).answer()["peak_rss_bytes"])


def main(run: Path, name: str, threads: int) -> None:
    """Open one row, let it answer, print one JSON line."""
    from benchmarks.rows import contenders
    from benchmarks.torch_rows import store_of

    row = next(row for row in contenders(run) if row.name == name)
    if row.open is None:
        raise RunError(f"memory of {name}: {row.why_not_opened}")
    store = store_of(run)
    wave = store.waveform(store.ids[0])
    predict = row.open(threads).predict
    for _ in range(CALLS):
        predict(wave)
    peak = peak_rss_bytes()
    if peak is None:
        raise RunError(f"peak memory: {sys.platform} does not tell it")
    print(json.dumps({"name": name, "peak_rss_bytes": peak}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
