"""Times of all opened rows: how they start, how fast they are once warm, and with other numbers of threads."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import latency, reference_kernel, threads
from benchmarks.config import BenchmarksConfig
from benchmarks.record import Record
from benchmarks.rows import TEACHER
from pocketmood.errors import RunError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.rows import Row
    from pocketmood.bundle import Predictor

REFERENCE = "reference kernel"


def reference_row() -> Record:
    """Return the row of the kernel that all ratios refer to, before it is timed."""
    what = f"a {reference_kernel.SIDE} x {reference_kernel.SIDE} matrix product and a sum over 2 MB arrays"
    return Record(
        REFERENCE,
        "ONNX Runtime",
        "fp32",
        reason=f"no model but {what}; ratio: a call's time over this",
    )


def time_start(row: Row, ready: Predictor, wave: NDArray[np.float32], count: int) -> None:
    """Open a row once more, now that all libraries are loaded, and time the opening and the first call."""
    if row.open is None or not row.opens_again:
        return
    # Some libraries are loaded by the first call: librosa takes four seconds.
    ready(wave)
    begun = time.perf_counter()
    predict = row.open(count).predict
    loaded = time.perf_counter()
    predict(wave)
    row.record.load_ms, row.record.first_ms = 1e3 * (loaded - begun), 1e3 * (time.perf_counter() - loaded)


def time_steady(
    config: BenchmarksConfig,
    records: Sequence[Record],
    opened: Mapping[str, Predictor],
    wave: NDArray[np.float32],
    show: bool,
) -> None:
    """Time all opened rows on one clip, waveform in to emotion out, the reference kernel between any two of them."""
    # As many threads as the rows: what slows them down must slow the kernel down alike.
    kernel = reference_kernel.kernel(config.threads)
    calls = {name: partial(predict, wave) for name, predict in opened.items()}
    turns = latency.Turns(
        config.warmup, config.repeats, config.pause_ms / 1e3, limit_s=config.latency_limit_s, seed=config.seed
    )
    # The kernel is a row as well, so that its own scatter around itself can be read beside the others'.
    timings = latency.take_turns({**calls, REFERENCE: kernel}, turns, reference=kernel, show=show)
    for record in records:
        if record.name in timings:
            fill(record, timings[record.name], config)
            # The kernel is no model that could take the teacher's place.
            if record.name != REFERENCE:
                record.speedup_over_teacher = speedup(timings.get(TEACHER), timings[record.name])


def fill(record: Record, timing: latency.Timing, config: BenchmarksConfig) -> None:
    """Write a row's times into its record."""
    if timing.failure is not None:
        record.fail(f"timing: {timing.failure}")
        return
    record.latency_ms_median, record.latency_ms_p95 = timing.median_ms, timing.p95_ms
    record.threads = config.threads
    # The median of ratios, not a ratio of medians: each call is compared with the kernel that shared its moment.
    record.latency_ratio = statistics.median(timing.ratios)
    if len(timing.times_ms) < config.repeats:
        record.note(f"only {len(timing.times_ms)} timed calls (--latency-limit-s {config.latency_limit_s:g})")


def speedup(teacher: latency.Timing | None, row: latency.Timing) -> float | None:
    """Return how many times faster a row is than the teacher, median over rounds; None where one of them failed."""
    if teacher is None or teacher.failure is not None or row.failure is not None:
        return None
    # Within a round: what the machine does meanwhile falls on both.
    return statistics.median(slow / fast for slow, fast in zip(teacher.times_ms, row.times_ms, strict=True))


class OtherThreads:
    """The rows that can be opened again, with one thread and with all cores, in processes that open them from now."""

    def __init__(self, config: BenchmarksConfig, rows: Sequence[Row], opened: Mapping[str, Predictor]) -> None:
        """Start the processes, which time nothing yet."""
        self.rows = [row for row in rows if row.name in opened and row.opens_again]
        names = [row.name for row in self.rows]
        counts = threads.counts(config.threads) if config.other_threads else []
        self.processes = {count: threads.start_process(config.run, names, count) for count in counts}

    def time(self) -> None:
        """Time the rows, one number of threads after the other, and fill in the medians."""
        for count, process in self.processes.items():
            try:
                found: dict[str, float] = process.result()
            except RunError as error:
                for row in self.rows:
                    row.record.note(f"not timed with {error}")
                continue
            for row in self.rows:
                if row.name in found:
                    medians = row.record.latency_ms_by_threads or {}
                    row.record.latency_ms_by_threads = medians | {str(count): found[row.name]}
