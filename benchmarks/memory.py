"""Peak memory of a row: a fresh process opens it, answers three times, and reports its high-water mark.

The figure holds the interpreter and every library that the row imports, so it compares rows on a computer; a phone,
which carries no Python and no PyTorch, needs far less.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pocketmood.errors import RunError
from pocketmood.peak import peak_rss_bytes

CALLS = 3
CHILD_LIMIT_S = 300.0


def measure_in_child(run: Path, name: str, threads: int) -> int:
    """Start a process that opens row `name` of this run, and return its peak in bytes; RunError with its last words."""
    command = [sys.executable, "-m", "benchmarks.memory", str(run.resolve()), name, str(threads)]
    try:
        root = Path(__file__).resolve().parent.parent
        child = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_LIMIT_S, cwd=root, check=False)
    except subprocess.TimeoutExpired:
        raise RunError(f"memory of {name}: no answer within {CHILD_LIMIT_S:.0f} s") from None
    if child.returncode != 0:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise RunError(f"memory of {name}: the measuring process ended with {child.returncode} ({last})")
    return int(json.loads(child.stdout.strip().splitlines()[-1])["peak_rss_bytes"])


def main(run: Path, name: str, threads: int) -> None:
    """Open one row, let it answer, print one JSON line."""
    import numpy as np

    from benchmarks.contenders import contenders
    from pocketmood.clips import ClipStore

    row = next(row for row in contenders(run) if row.name == name)
    if row.open is None:
        raise RunError(f"memory of {name}: {row.why_not_opened}")
    store = ClipStore.open(run / "data" / "store")
    wave = np.asarray(store.waveform(store.ids[0]), dtype=np.float32)
    predict = row.open(threads).predict
    for _ in range(CALLS):
        predict(wave)
    peak = peak_rss_bytes()
    if peak is None:
        raise RunError(f"peak memory: {sys.platform} does not tell it")
    print(json.dumps({"name": name, "peak_rss_bytes": peak}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
