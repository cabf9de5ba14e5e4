"""Measure all rows of a run: open, score, weigh, time. Whatever breaks costs its own row's figures and nothing else."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import accuracy, alternatives, cpu_time, latency, memory, timing, torch_rows
from benchmarks.accuracy import Predict
from benchmarks.config import BenchmarksConfig
from benchmarks.record import FAILED, Record
from benchmarks.rows import STUDENT, TEACHER, Contender, contenders, peers_folder
from pocketmood.data.clips import ClipStore
from pocketmood.data.split import Split
from pocketmood.errors import DataError, PocketmoodError, RunError
from pocketmood.predictions import Predictions, write_predictions

CHILDREN_AT_ONCE = 1


@dataclass
class Measured:
    """All that one run of the benchmarks found out."""

    records: list[Record]
    ids: list[str]
    labels: accuracy.Array
    """Raters' means [N, 2] of the test songs."""
    answers: dict[str, accuracy.Array] = field(default_factory=dict)
    """Emotion [N, 2] per scored row."""
    threads_used: dict[str, int] = field(default_factory=dict)
    """What each runtime says it uses after pinning."""


def measure(config: BenchmarksConfig, folder: Path) -> Measured:
    """Measure every row of `config.run`; `folder` keeps the answers, so that a killed run continues.

    What takes long runs side by side: the peers' programs and the rows' memory in processes of their own, opening and
    scoring in this one. Nothing is timed before all of that has ended; only work, which is processor time, may be
    measured beside memory.
    """
    store = torch_rows.store_of(config.run)
    ids = list(Split.load(config.run / "data" / "split.json").test)
    if not ids:
        raise DataError(f"{config.run / 'data' / 'split.json'}: no test songs to measure on; use more songs")
    rows = contenders(config.run, config.peers)
    records = [*(row.record for row in rows), timing.reference_row()]
    measured = Measured(records, ids, store.labels(ids).astype(float))
    show = sys.stderr.isatty()
    to_make = [row.peer for row in rows if row.peer]
    with (
        alternatives.made_beside(to_make, peers_folder(config.run)) as wait,
        ThreadPoolExecutor(CHILDREN_AT_ONCE) as pool,
    ):
        peaks = Peaks(pool, config)
        peaks.start([row for row in rows if not row.peer])
        measured.threads_used = latency.pin_threads(config.threads)
        opened = _open([row for row in rows if not row.peer], config.threads)
        _share_params(rows)
        _score(config, rows, opened, measured, folder, store, show)
        wait()
        opened |= _open([row for row in rows if row.peer], config.threads)
        peaks.start([row for row in rows if row.peer and row.name in opened])
        others = timing.OtherThreads(config, rows, opened)
        _fill_work(config, [row.record for row in rows if row.is_artefact and row.name in opened])
        peaks.finish()
    others.time()
    _time(config, rows, records, opened, store, ids[0], show)
    return measured


class Peaks:
    """Peak memory of rows, each measured in a fresh process beside the work of this one."""

    def __init__(self, pool: ThreadPoolExecutor, config: BenchmarksConfig) -> None:
        """Start nothing yet."""
        self.pool, self.config = pool, config
        self.started: list[tuple[Record, Future[int]]] = []

    def start(self, rows: Iterable[Contender]) -> None:
        """Measure rows, one after the other, but those that cannot run or that the settings leave out."""
        kind = self.config.memory
        for row in rows:
            if row.open is None or not row.opens_again:
                continue
            if kind == "none" or (kind == "artefacts" and row.record.runtime == "PyTorch"):
                row.record.note(f"peak memory not measured (--memory {kind})")
                continue
            call = self.pool.submit(memory.measure_in_child, self.config.run, row.name, self.config.threads)
            self.started.append((row.record, call))

    def finish(self) -> None:
        """Wait for all, and fill in what they found."""
        for record, future in self.started:
            try:
                record.peak_rss_bytes = future.result()
            except (PocketmoodError, OSError, ValueError) as error:
                if record.status != FAILED:  # a row that cannot be opened has said why already
                    record.note(f"no peak memory: {error}")


def _open(rows: list[Contender], threads: int) -> dict[str, Predict]:
    """Open all rows that can run here."""
    opened = {}
    for row in rows:
        if row.open is None:
            row.record.note(row.why_not_opened)
            continue
        with _costs_only(row.record), latency.quiet():
            ready = row.open(threads)
            opened[row.name], row.record.params = ready.predict, ready.params
            row.record.size_bytes = row.record.size_bytes or ready.size_bytes
    return opened


def _share_params(rows: list[Contender]) -> None:
    """Give the artefacts, which hold the student's weights, its count of them."""
    params = next((row.record.params for row in rows if row.name == STUDENT), None)
    for row in rows:
        if row.is_artefact:
            row.record.params = params


def _score(
    config: BenchmarksConfig,
    rows: list[Contender],
    opened: dict[str, Predict],
    measured: Measured,
    folder: Path,
    store: ClipStore,
    show: bool,
) -> None:
    """Ask every row for its answers to the test songs, and judge them."""
    latency.pin_torch(1)  # one core is nearly as fast here, and does not suffer when the other is taken
    for row in rows:
        with _costs_only(row.record):
            answers = _answers(row, opened, folder, store, measured.ids, show)
            if answers is not None:
                accuracy.judge(row.record, answers, measured.labels, config.bootstrap, config.seed)
                measured.answers[row.name] = answers
    latency.pin_torch(config.threads)
    accuracy.drops(measured.records, measured.answers, measured.labels, TEACHER, config.bootstrap, config.seed)


def _answers(
    row: Contender, opened: dict[str, Predict], folder: Path, store: ClipStore, ids: list[str], show: bool
) -> accuracy.Array | None:
    """Return a row's answers, and keep them in `folder/answers`: a later run is compared with this one song by song."""
    path = folder / "answers" / f"{row.name}.csv"
    if row.answers is not None:
        emotion = row.answers(ids)
        write_predictions(path, Predictions(tuple(ids), ("test",) * len(ids), emotion, store.labels(ids)))
        return emotion
    if row.why_not_scored:
        row.record.note(row.why_not_scored)
        return None
    if row.name not in opened:
        return None
    return accuracy.ask_once(path, opened[row.name], store, ids, show, row.name)


def _time(
    config: BenchmarksConfig,
    rows: list[Contender],
    records: list[Record],
    opened: dict[str, Predict],
    store: ClipStore,
    song: str,
    show: bool,
) -> None:
    """Time all opened rows on one clip: how they start, and once warm."""
    wave = store.waveform(song)
    for row in rows:
        if row.name in opened:
            with _costs_only(row.record), latency.quiet():
                timing.time_start(row, opened[row.name], wave, config.threads)
    timing.time_steady(config, records, opened, wave, show)
    for record in records:
        if record.latency_ms_median is not None and record.name != timing.REFERENCE:
            record.real_time_factor = record.latency_ms_median / 1e3 / torch_rows.spec_of(config.run).seconds


def _fill_work(config: BenchmarksConfig, records: list[Record]) -> None:
    """Measure the work of rows in a fresh process, and fill in what it found."""
    if not records or not config.work_rounds:
        return
    try:
        found = cpu_time.measure_in_child(config.run, [record.name for record in records], config.work_rounds)
    except RunError as error:
        for record in records:
            record.note(str(error))
        return
    for record in records:
        record.work_ratios = found.get(record.name)
        if record.work_ratios:
            record.work_ratio = statistics.median(record.work_ratios)


@contextmanager
def _costs_only(record: Record) -> Iterator[None]:
    """Turn anything that goes wrong inside into this row's failure, so that the other rows go on."""
    try:
        yield
    except Exception as error:
        message = str(error).strip().splitlines()
        known = isinstance(error, PocketmoodError)
        record.fail((message or ["no message"])[0] if known else f"{type(error).__name__}: {(message or [''])[0]}")
