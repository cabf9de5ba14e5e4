"""Measure all rows of a run: open, score, weigh, time. Whatever breaks costs its own row's figures and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import accuracy, latency, memory
from benchmarks.config import BenchmarksConfig
from benchmarks.contenders import STUDENT, TEACHER, Contender, contenders
from benchmarks.record import Record
from pocketmood.clips import ClipStore
from pocketmood.errors import PocketmoodError
from pocketmood.metrics import Paired
from pocketmood.runs import read_json

CHILDREN_AT_ONCE = 2


@dataclass
class Measured:
    """All that one run of the benchmarks found out."""

    records: list[Record]
    ids: list[str]
    labels: accuracy.Array
    """Raters' means [N, 2] of the test songs."""
    answers: dict[str, accuracy.Array] = field(default_factory=dict)
    """Emotion [N, 2] per scored row."""
    drops: dict[str, Paired] = field(default_factory=dict)
    """What each scored row lost against the teacher, with the paired interval."""
    threads_used: dict[str, int] = field(default_factory=dict)
    """What each runtime says it uses after pinning."""


def measure(config: BenchmarksConfig, work: Path) -> Measured:
    """Measure every row of `config.run`; `work` keeps answers and peers, so that a killed run continues."""
    store = ClipStore.open(config.run / "data" / "store")
    ids = list(read_json(config.run / "data" / "split.json")["test"])
    rows = contenders(config.run, work, config.peers)
    measured = Measured([row.record for row in rows], ids, store.labels(ids).astype(float))
    measured.threads_used = latency.pin_threads(config.threads)
    show = sys.stderr.isatty()
    opened = _open(rows, config.threads)
    with ThreadPoolExecutor(CHILDREN_AT_ONCE) as pool:  # memory does not mind company, so it shares the untimed part
        peaks = _start_memory(pool, config, work, rows, opened)
        for row in rows:
            with _costs_only(row.record):
                answers = _answers(row, opened, work, store, ids, show)
                if answers is not None:
                    accuracy.judge(row.record, answers, measured.labels, config.bootstrap, config.seed)
                    measured.answers[row.name] = answers
        _finish_memory(peaks)
    measured.drops = accuracy.drops(
        measured.records, measured.answers, measured.labels, TEACHER, config.bootstrap, config.seed
    )
    _time(config, rows, opened, store, ids[0], show)
    return measured


def _open(rows: list[Contender], threads: int) -> dict[str, Any]:
    """Open all rows that can run here; artefacts hold the student's weights, so they share its count."""
    opened = {}
    for row in rows:
        if row.open is None:
            row.record.note(row.why_not_opened)
            continue
        with _costs_only(row.record):
            ready = row.open(threads)
            opened[row.name], row.record.params = ready.predict, ready.params
    params = next((row.record.params for row in rows if row.name == STUDENT), None)
    for row in rows:
        if row.is_artefact:
            row.record.params = params
    return opened


def _answers(
    row: Contender, opened: dict[str, Any], work: Path, store: ClipStore, ids: list[str], show: bool
) -> accuracy.Array | None:
    if row.answers is not None:
        return row.answers(ids)
    if row.why_not_scored:
        if row.why_not_scored not in row.record.reason:
            row.record.note(row.why_not_scored)
        return None
    if row.name not in opened:
        return None
    path = work / "answers" / f"{row.name}.csv"
    return accuracy.ask_once(path, opened[row.name], store, ids, show, row.name)


def _start_memory(
    pool: ThreadPoolExecutor, config: BenchmarksConfig, work: Path, rows: list[Contender], opened: dict[str, Any]
) -> list[tuple[Record, Future[int]]]:
    peaks = []
    for row in rows:
        if row.name not in opened:
            continue
        in_torch = row.record.runtime == "PyTorch"
        if config.memory == "none" or (config.memory == "artefacts" and in_torch):
            row.record.note(f"peak memory not measured (--memory {config.memory})")
            continue
        call: Callable[..., int] = memory.measure_in_child
        peaks.append((row.record, pool.submit(call, config.run, work, row.name, config.threads)))
    return peaks


def _finish_memory(peaks: list[tuple[Record, Future[int]]]) -> None:
    for record, future in peaks:
        try:
            record.peak_rss_bytes = future.result()
        except (PocketmoodError, OSError, ValueError) as error:
            record.note(f"no peak memory: {error}")


def _time(
    config: BenchmarksConfig, rows: list[Contender], opened: dict[str, Any], store: ClipStore, song: str, show: bool
) -> None:
    """Time all opened rows on one clip, waveform in to emotion out."""
    wave = store.waveform(song)
    calls = {name: (lambda predict=predict: predict(wave)) for name, predict in opened.items()}
    timings = latency.take_turns(
        calls,
        warmup=config.warmup,
        repeats=config.repeats,
        pause_s=config.pause_ms / 1e3,
        limit_s=config.latency_limit_s,
        seed=config.seed,
        show=show,
    )
    for row in rows:
        timing = timings.get(row.name)
        if timing is None:
            continue
        if timing.failure is not None:
            row.record.fail(f"timing: {timing.failure}")
            continue
        row.record.latency_ms_median, row.record.latency_ms_p95 = timing.median_ms, timing.p95_ms
        row.record.threads = config.threads
        if len(timing.times_ms) < config.repeats:
            row.record.note(f"only {len(timing.times_ms)} timed calls (--latency-limit-s {config.latency_limit_s:g})")


@contextmanager
def _costs_only(record: Record) -> Iterator[None]:
    """Turn anything that goes wrong inside into this row's failure, so that the other rows go on."""
    try:
        yield
    except Exception as error:
        message = str(error).strip().splitlines()
        known = isinstance(error, PocketmoodError)
        record.fail((message or ["no message"])[0] if known else f"{type(error).__name__}: {(message or [''])[0]}")
