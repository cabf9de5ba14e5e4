"""The same rows with another number of threads: a fresh process, because ExecuTorch's pool belongs to the process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pocketmood.errors import RunError

WARMUP, REPEATS = 2, 11
CHILD_LIMIT_S = 300.0


def counts(threads: int) -> list[int]:
    """Return one and all cores, but for the number that is measured anyway."""
    from benchmarks.machine import cores

    return [count for count in sorted({1, cores()}) if count != threads]


def measure_in_child(run: Path, names: list[str], threads: int) -> dict[str, float]:
    """Time rows in a new process: name -> median in ms; rows that fail are left out. RunError with its last words."""
    command = [sys.executable, "-m", "benchmarks.threads", str(run.resolve()), str(threads), *names]
    root = Path(__file__).resolve().parent.parent
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_LIMIT_S, cwd=root, check=False)
    except subprocess.TimeoutExpired:
        raise RunError(f"{threads} threads: no answer within {CHILD_LIMIT_S:.0f} s") from None
    if child.returncode != 0:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise RunError(f"{threads} threads: the measuring process ended with {child.returncode} ({last})")
    found: dict[str, float] = json.loads(child.stdout.strip().splitlines()[-1])
    return found


def main(run: Path, threads: int, names: list[str]) -> None:
    """Open the rows, time them in turns, print one JSON line."""
    from benchmarks import latency
    from benchmarks.contenders import contenders
    from pocketmood.clips import ClipStore

    latency.pin_threads(threads)
    store = ClipStore.open(run / "data" / "store")
    wave = store.waveform(store.ids[0])
    with latency.quiet():
        opened = {row.name: row.open(threads).predict for row in contenders(run) if row.name in names and row.open}
    calls = {name: (lambda predict=predict: predict(wave)) for name, predict in opened.items()}
    timings = latency.take_turns(calls, warmup=WARMUP, repeats=REPEATS, pause_s=0.01)
    print(json.dumps({name: timing.median_ms for name, timing in timings.items() if timing.failure is None}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
