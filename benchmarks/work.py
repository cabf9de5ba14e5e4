"""How much processor time a program's answer takes on one thread, as a ratio to the reference kernel's around it.

This is what runs are compared by (`benchmarks.against`). Wall time tells what a user waits for, and also what else the
machine was doing: on two crowded cores the median ratio of one program went from .6 to 1.7 times that of the run
before. Processor time leaves out whoever had the core in between, and one thread leaves out waiting for another; there
the same ratio scattered by 4 to 7 % from run to run, with other processes waiting for the same two cores. What it
cannot see is a program that no longer uses its threads: limits on `latency_ratio` do (see `benchmarks.gate`). Measured
in a fresh process, because ExecuTorch's threads belong to it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import latency, reference
from pocketmood.errors import RunError

WARMUP = 3
PAUSE_S = 0.03
"""Between calls, so that the rounds see more than one mood of the machine; costs nothing beside other work."""
CHILD_LIMIT_S = 600.0


def measure_in_child(run: Path, names: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Measure rows in a new process: name -> ratios by round; rows that fail are left out. RunError if it fails."""
    command = [sys.executable, "-m", "benchmarks.work", str(run.resolve()), str(rounds), *names]
    root = Path(__file__).resolve().parent.parent
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_LIMIT_S, cwd=root, check=False)
    except subprocess.TimeoutExpired:
        raise RunError(f"work: no answer within {CHILD_LIMIT_S:.0f} s") from None
    if child.returncode:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise RunError(f"work: the measuring process ended with {child.returncode} ({last})")
    found: dict[str, list[float]] = json.loads(child.stdout.strip().splitlines()[-1])
    return found


def calls_of(run: Path, names: Sequence[str]) -> dict[str, Callable[[], object]]:
    """Open rows on one thread, and return the calls that answer one clip."""
    from benchmarks.contenders import contenders
    from pocketmood.clips import ClipStore

    latency.pin_threads(1)
    store = ClipStore.open(run / "data" / "store")
    wave = store.waveform(store.ids[0])
    with latency.quiet():
        opened = {row.name: row.open(1).predict for row in contenders(run) if row.name in names and row.open}
    return {name: (lambda predict=predict: predict(wave)) for name, predict in opened.items()}


def ratios(calls: Mapping[str, Callable[[], object]], rounds: int, seed: int = 0) -> dict[str, list[float]]:
    """Return each call's processor time over the reference kernel's, round by round."""
    timings = latency.take_turns(
        calls,
        warmup=WARMUP,
        repeats=rounds,
        reference=reference.kernel(1),
        pause_s=PAUSE_S,
        seed=seed,
        clock=time.process_time,
    )
    return {
        name: [round(ratio, 4) for ratio in timing.ratios] for name, timing in timings.items() if not timing.failure
    }


if __name__ == "__main__":
    print(json.dumps(ratios(calls_of(Path(sys.argv[1]), sys.argv[3:]), int(sys.argv[2]))))
