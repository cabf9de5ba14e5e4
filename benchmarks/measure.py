"""Measure all rows of a run: open, score, weigh, time. Whatever breaks costs its own row's figures and nothing else."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import accuracy, baselines, latency, memory, peers, timing, work
from benchmarks.accuracy import Predict
from benchmarks.config import BenchmarksConfig
from benchmarks.contenders import STUDENT, TEACHER, Contender, contenders, peers_folder
from benchmarks.record import FAILED, Record
from pocketmood.clips import ClipStore
from pocketmood.errors import DataError, PocketmoodError, RunError
from pocketmood.predictions import write_predictions
from pocketmood.split import Split

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
    """Measure every row of `config.run`; `folder` keeps the answers, so that a killed run continues."""
    store = ClipStore.open(config.run / "data" / "store")
    ids = list(Split.load(config.run / "data" / "split.json").test)
    if not ids:
        raise DataError(f"{config.run / 'data' / 'split.json'}: no test songs to measure on; use more songs")
    rows = contenders(config.run, config.peers)
    peers.make_all([row.peer for row in rows if row.peer], peers_folder(config.run))
    records = [*(row.record for row in rows), timing.reference_row()]
    measured = Measured(records, ids, store.labels(ids).astype(float))
    show = sys.stderr.isatty()
    with ThreadPoolExecutor(CHILDREN_AT_ONCE) as pool:
        peaks = Peaks(pool, config)
        for row in rows:
            if row.is_artefact:  # these need nothing that is made below, so they fill the core that imports leave idle
                peaks.start(row)
        measured.threads_used = latency.pin_threads(config.threads)
        opened = _open(rows, config.threads, peaks)
        peaks.finish()
        judged = [row.record for row in rows if row.is_artefact and row.name in opened and config.work_rounds]
        ratios = pool.submit(_work, config, [record.name for record in judged])
        latency.pin_torch(1)  # one core is nearly as fast here, and does not suffer when the other is taken
        for row in rows:
            with _costs_only(row.record):
                answers = _answers(row, opened, folder, store, ids, show)
                if answers is not None:
                    accuracy.judge(row.record, answers, measured.labels, config.bootstrap, config.seed)
                    measured.answers[row.name] = answers
        for record in judged:
            _fill_work(record, ratios)
    accuracy.drops(measured.records, measured.answers, measured.labels, TEACHER, config.bootstrap, config.seed)
    latency.pin_torch(config.threads)
    _time(config, rows, records, opened, store, ids[0], show)
    return measured


class Peaks:
    """Peak memory of rows, each measured in a fresh process beside the work of this one."""

    def __init__(self, pool: ThreadPoolExecutor, config: BenchmarksConfig) -> None:
        """Start nothing yet."""
        self.pool, self.config = pool, config
        self.started: list[tuple[Record, Future[int]]] = []

    def start(self, row: Contender) -> None:
        """Measure a row, unless it cannot run, is being measured, or the settings leave it out."""
        if row.open is None or not row.opens_again or any(record is row.record for record, _ in self.started):
            return
        kind = self.config.memory
        if kind == "none" or (kind == "artefacts" and row.record.runtime == "PyTorch"):
            row.record.note(f"peak memory not measured (--memory {kind})")
            return
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


def _open(rows: list[Contender], threads: int, peaks: Peaks) -> dict[str, Predict]:
    """Open all rows that can run here; artefacts hold the student's weights, so they share its count.

    The last row first: the peer takes longest to get ready, and its memory can be measured while the others open.
    """
    opened = {}
    for row in reversed(rows):
        if row.open is None:
            row.record.note(row.why_not_opened)
            continue
        with _costs_only(row.record), latency.quiet():
            ready = row.open(threads)
            opened[row.name], row.record.params = ready.predict, ready.params
            row.record.size_bytes = row.record.size_bytes or ready.size_bytes
            peaks.start(row)
    params = next((row.record.params for row in rows if row.name == STUDENT), None)
    for row in rows:
        if row.is_artefact:
            row.record.params = params
    return opened


def _answers(
    row: Contender, opened: dict[str, Predict], folder: Path, store: ClipStore, ids: list[str], show: bool
) -> accuracy.Array | None:
    """Return a row's answers, and keep them in `folder/answers`: a later run is compared with this one song by song."""
    path = folder / "answers" / f"{row.name}.csv"
    if row.answers is not None:
        emotion = row.answers(ids)
        write_predictions(path, ids, ["test"] * len(ids), emotion, None, store.labels(ids))
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
    """Time all opened rows on one clip: how they start, once warm, and with other numbers of threads."""
    wave = store.waveform(song)
    for row in rows:
        if row.name in opened:
            with _costs_only(row.record), latency.quiet():
                timing.time_start(row, opened[row.name], wave, config.threads)
    timing.time_steady(config, records, opened, wave, show)
    for record in records:
        if record.latency_ms_median is not None and record.name != timing.REFERENCE:
            record.real_time_factor = record.latency_ms_median / 1e3 / baselines.spec_of(config.run).seconds
    if config.other_threads:
        timing.time_other_threads(config, rows, opened)


def _work(config: BenchmarksConfig, names: list[str]) -> dict[str, list[float]]:
    """Measure the rows' work in a fresh process, beside what this one does: processor time hardly minds."""
    return work.measure_in_child(config.run, names, config.work_rounds) if names else {}


def _fill_work(record: Record, ratios: Future[dict[str, list[float]]]) -> None:
    """Take over what the process that measured the rows' work found."""
    try:
        record.work_ratios = ratios.result().get(record.name)
    except RunError as error:
        record.note(str(error))
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
