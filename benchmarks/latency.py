"""Time rows against each other: they take turns, in a new seeded order each round, after an untimed warm-up.

Taking turns spreads what the machine does meanwhile (other processes, clock changes) evenly over all rows, so that
their ratios hold even where absolute times do not. Between calls the process rests a little: ONNX Runtime and OpenMP
keep their threads spinning for some milliseconds after a call, which would slow down whichever row comes next.

Machines differ, and one machine differs from hour to hour. Where a reference kernel is given, it is timed before and
after every call of a row; the ratio of a call to the mean of its two neighbours is what runs can be compared by.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

FEWEST = 3
"""Timed rounds that a median needs, however slow the machine is."""


@dataclass(frozen=True)
class Turns:
    """How often rows take turns, and at what pace."""

    warmup: int
    """Untimed calls of each row before the timed ones: the first ones fill caches and load libraries."""
    repeats: int
    """Timed calls of each row, one per round."""
    pause_s: float = 0.0
    """Rest before each call."""
    limit_s: float = math.inf
    """No further round starts after this long, unless fewer than FEWEST were timed."""
    seed: int = 0
    """Of the order within each round."""


@dataclass
class Timing:
    """Times of one row in milliseconds, in the order they were taken; not frozen, because every round adds one."""

    times_ms: list[float] = field(default_factory=list)
    """Its timed calls; those of the warm-up are not among them."""
    beside_ms: list[float] = field(default_factory=list)
    """What the reference kernel took around each of these calls; empty where none was given."""
    failure: str | None = None
    """What a call raised; None where all went well."""

    @property
    def median_ms(self) -> float:
        """Return the middle time."""
        return float(np.median(self.times_ms))

    @property
    def p95_ms(self) -> float:
        """Return the time that 95 % of the calls stay below (linear interpolation)."""
        return float(np.percentile(self.times_ms, 95))

    @property
    def ratios(self) -> list[float]:
        """Return each call's time over the reference kernel's around it."""
        return [spent / beside for spent, beside in zip(self.times_ms, self.beside_ms, strict=True)]


def pin_threads(threads: int) -> dict[str, int]:
    """Hold torch and ExecuTorch to this many threads, and return what each says it then uses.

    ExecuTorch's pool belongs to the whole process and must be set before a program is loaded. ONNX Runtime takes its
    number per session, when the row is opened.
    """
    used = {"torch": pin_torch(threads)}
    try:
        with quiet():
            from executorch.extension.pybindings import portable_lib

            portable_lib._unsafe_reset_threadpool(threads)
            # What it then says, beside what was asked for: the report shows both.
            used["executorch"] = int(portable_lib._threadpool_get_thread_count())
    except ImportError:
        return used  # the rows that need it will say so
    return used


def pin_torch(threads: int) -> int:
    """Hold torch to this many threads, and return how many it then uses."""
    import torch

    torch.set_num_threads(threads)
    return torch.get_num_threads()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the lines away that native libraries write about a processor they do not know; Python errors pass."""
    sys.stderr.flush()
    # The file descriptor, not sys.stderr: C++ writes past Python's.
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def take_turns(
    rows: Mapping[str, Callable[[], object]],
    turns: Turns,
    reference: Callable[[], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    show: bool = False,
) -> dict[str, Timing]:
    """Call each row `turns.warmup` times untimed, then `turns.repeats` times timed, one call per row and round.

    A row that raises keeps its message in `failure`, drops out, and the others go on.
    """

    def spent_ms(call: Callable[[], object]) -> float:
        # The spinning threads of the call before go to sleep meanwhile.
        time.sleep(turns.pause_s)
        start = clock()
        call()
        return 1e3 * (clock() - start)

    timings = {name: Timing() for name in rows}
    rng = np.random.default_rng(turns.seed)
    begun = clock()
    for turn in tqdm(range(turns.warmup + turns.repeats), desc="latency", disable=not show, leave=False):
        if turn >= turns.warmup + FEWEST and clock() - begun > turns.limit_s:
            break

        before = spent_ms(reference) if reference else math.nan
        # A new order each round: whoever always came after the same row would always find its caches.
        for name in rng.permutation(list(rows)):
            timing = timings[name]
            if timing.failure is not None:
                continue
            try:
                spent = spent_ms(rows[name])
            except Exception as error:  # one broken row must not cost the others their figures
                timing.failure = f"{type(error).__name__}: {error}"
                continue
            after = spent_ms(reference) if reference else math.nan
            if turn >= turns.warmup:
                timing.times_ms.append(spent)
                timing.beside_ms += [(before + after) / 2] if reference else []
            # The kernel behind one row stands before the next: each is timed once, not twice.
            before = after
    return timings
