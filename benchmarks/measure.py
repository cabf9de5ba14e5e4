"""Measure all rows of a run: open, score, weigh, time. Whatever breaks costs its own row's figures and nothing else."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import accuracy, alternatives, cpu_time, latency, memory, timing
from benchmarks.config import BenchmarksConfig
from benchmarks.record import FAILED, PREDICTIONS, Record
from benchmarks.rows import FLOOR, STUDENT, TEACHER, Row, rows_of
from pocketmood.bundle import Predictor
from pocketmood.data.by_corpus import CorpusScores, score_each
from pocketmood.data.clips import ClipStore
from pocketmood.data.record import DataRecord
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import DataError, PocketmoodError, RunError
from pocketmood.label_kind import RATINGS
from pocketmood.predictions import Predictions, write_predictions

BY_CORPUS = (FLOOR, TEACHER, STUDENT, "model.int8.pte")
"""Rows that are scored corpus by corpus, where they are there."""
PROCESSES_AT_ONCE = 1
"""One at a time beside this one, which keeps the second core of the smallest machines busy."""


@dataclass
class Measurements:
    """All that one run of the benchmarks found out; not frozen, because its records are filled in step by step."""

    records: list[Record]
    """A record per row, in the order of the rows, the reference kernel last."""
    ids: list[str]
    """The test songs."""
    labels: accuracy.Array
    """Labels [N, 2] of the test songs."""
    predictions: dict[str, accuracy.Array] = field(default_factory=dict)
    """Emotion [N, 2] per scored row."""
    threads_used: dict[str, int] = field(default_factory=dict)
    """What each runtime says it uses after pinning."""
    label_kind: str = RATINGS
    """Kind of the labels, of `pocketmood.label_kind`."""
    by_corpus: list[CorpusScores] = field(default_factory=list)
    """Scores of each corpus of a mixed run, for the models and every program; empty for a run of one."""


@dataclass(frozen=True)
class Material:
    """What every step of one measurement reads."""

    config: BenchmarksConfig
    """Settings of the stage."""
    rows: list[Row]
    """Every row that is to be measured."""
    store: ClipStore
    """The run's clips through the bundle's window: the middle of each where the student hears less than all."""
    seconds: float
    """Length of that window."""
    folder: Path
    """Work folder of the stage."""
    show: bool
    """Whether somebody watches: progress bars."""


def measure(config: BenchmarksConfig, run: RunFolder, folder: Path) -> Measurements:
    """Measure every row of `run`; `folder` keeps the predictions, so that a killed run continues.

    What takes long runs side by side: the alternatives' programs and the rows' memory in processes of their own,
    opening and scoring in this one. Nothing is timed before all of that has ended; only processor time, on one thread,
    may be measured beside memory.
    """
    store = run.store_of(run.bundle.samples)
    ids = list(run.split.test)
    if not ids:
        raise DataError(f"{run.folder('data')}: no test songs to measure on; use more songs")
    rows = rows_of(run, config.alternatives)
    material = Material(config, rows, store, run.bundle.spec.seconds, folder, sys.stderr.isatty())
    measured = Measurements(
        [*(row.record for row in rows), timing.reference_row()],
        ids,
        store.labels(ids).astype(float),
        label_kind=run.data_record.label_kind,
    )

    to_make = [row.alternative for row in rows if row.alternative]
    with (
        alternatives.made_beside(to_make, run.alternatives) as wait,
        ThreadPoolExecutor(PROCESSES_AT_ONCE) as pool,
    ):
        peaks = Peaks(pool, config)
        peaks.start([row for row in rows if not row.alternative])
        measured.threads_used = latency.pin_threads(config.threads)
        opened = _open([row for row in rows if not row.alternative], config.threads)
        _share_params(rows)
        _score(material, opened, measured)

        # The alternatives come last: their programs have been written meanwhile, or are about to be.
        wait()
        opened |= _open([row for row in rows if row.alternative], config.threads)
        peaks.start([row for row in rows if row.alternative and row.name in opened])
        others = timing.OtherThreads(config, rows, opened)
        _fill_cpu_time(config, [row.record for row in rows if row.is_artefact and row.name in opened])
        peaks.finish()

    measured.by_corpus = _by_corpus(material, measured, run.data_record)
    # From here on nothing else of ours runs.
    others.time()
    _time(material, measured, opened)
    return measured


class Peaks:
    """Peak memory of rows, each measured in a fresh process beside the work of this one."""

    def __init__(self, pool: ThreadPoolExecutor, config: BenchmarksConfig) -> None:
        """Start nothing yet."""
        self.pool, self.config = pool, config
        self.started: list[tuple[Record, Future[int]]] = []

    def start(self, rows: Iterable[Row]) -> None:
        """Measure rows, one after the other, but those that cannot run or that the settings leave out."""
        kind = self.config.memory
        for row in rows:
            if row.open is None or not row.opens_again:
                continue
            # Rows in PyTorch hold all of PyTorch, and importing it for each of them costs more than a minute.
            if kind == "none" or (kind == "artefacts" and row.record.runtime == "PyTorch"):
                row.record.note(f"peak memory not measured (--memory {kind})")
                continue
            call = self.pool.submit(memory.measure_in_process, self.config.run, row.name, self.config.threads)
            self.started.append((row.record, call))

    def finish(self) -> None:
        """Wait for all, and fill in what they found."""
        for record, future in self.started:
            try:
                record.peak_rss_bytes = future.result()
            except (PocketmoodError, OSError, ValueError) as error:
                if record.status != FAILED:  # a row that cannot be opened has said why already
                    record.note(f"no peak memory: {error}")


def _open(rows: list[Row], threads: int) -> dict[str, Predictor]:
    """Open all rows that can run here."""
    opened = {}
    for row in rows:
        if row.open is None:
            row.record.note(row.why_not_opened)
            continue
        with _costs_only(row.record), latency.quiet():
            ready = row.open(threads)
            opened[row.name], row.record.params = ready.predict, ready.params
            # Only the alternatives have no file before they are opened.
            row.record.size_bytes = row.record.size_bytes or ready.size_bytes
    return opened


def _share_params(rows: list[Row]) -> None:
    """Give the artefacts, which hold the student's weights, its count of them: their formats do not tell."""
    params = next((row.record.params for row in rows if row.name == STUDENT), None)
    for row in rows:
        if row.is_artefact:
            row.record.params = params


def _score(material: Material, opened: dict[str, Predictor], measured: Measurements) -> None:
    """Let every row predict the test songs, and judge its predictions."""
    config = material.config
    # One core is nearly as fast here, and does not suffer when the other is taken.
    latency.pin_torch(1)
    for row in material.rows:
        with _costs_only(row.record):
            predictions = _predictions(material, row, opened, measured.ids)
            if predictions is not None:
                accuracy.judge(
                    row.record, predictions, measured.labels, config.bootstrap, config.seed, measured.label_kind
                )
                measured.predictions[row.name] = predictions
    latency.pin_torch(config.threads)
    accuracy.drops(measured.records, measured.predictions, measured.labels, TEACHER, config.bootstrap, config.seed)


def _predictions(material: Material, row: Row, opened: dict[str, Predictor], ids: list[str]) -> accuracy.Array | None:
    """Return a row's predictions [N, 2] and keep them in `folder/predictions`; None where it has none."""
    path, store = material.folder / PREDICTIONS / f"{row.name}.csv", material.store
    if row.predictions is not None:
        emotion = row.predictions(ids)
        write_predictions(path, Predictions(tuple(ids), ("test",) * len(ids), emotion, store.labels(ids)))
        return emotion
    if row.why_not_scored:
        row.record.note(row.why_not_scored)
        return None
    if row.name not in opened:
        return None
    return accuracy.predict_once(path, opened[row.name], store, ids, material.show, row.name)


def _by_corpus(material: Material, measured: Measurements, data: DataRecord) -> list[CorpusScores]:
    """Score the rows that matter on the test songs of each corpus of a mixed run; nothing for a run of one."""
    labels, parts = material.store.labels(measured.ids), ("test",) * len(measured.ids)
    # The other programs have the student's weights: a line of nearly the same numbers for each would hide the corpora.
    shown = {name: measured.predictions[name] for name in BY_CORPUS if name in measured.predictions}
    models = {name: Predictions(tuple(measured.ids), parts, emotion, labels) for name, emotion in shown.items()}
    return score_each(models, material.store, data, material.config.bootstrap, material.config.seed)


def _time(material: Material, measured: Measurements, opened: dict[str, Predictor]) -> None:
    """Time all opened rows on one clip: how they start, and once warm."""
    config = material.config
    # One clip for all: what is heard does not change how long it takes.
    wave = material.store.waveform(measured.ids[0])
    for row in material.rows:
        if row.name in opened:
            with _costs_only(row.record), latency.quiet():
                timing.time_start(row, opened[row.name], wave, config.threads)

    timing.time_steady(config, measured.records, opened, wave, material.show)
    for record in measured.records:
        # The kernel hears nothing, so it is no number of times faster than music.
        if record.latency_ms_median is not None and record.name != timing.REFERENCE:
            record.real_time_factor = record.latency_ms_median / 1e3 / material.seconds


def _fill_cpu_time(config: BenchmarksConfig, records: list[Record]) -> None:
    """Measure the processor time of rows in a fresh process, and fill in what it found."""
    if not records or not config.cpu_time_rounds:
        return
    try:
        found = cpu_time.measure_in_process(config.run, [record.name for record in records], config.cpu_time_rounds)
    except RunError as error:
        for record in records:
            record.note(str(error))
        return
    for record in records:
        record.cpu_time_ratios = found.get(record.name)
        if record.cpu_time_ratios:
            record.cpu_time_ratio = statistics.median(record.cpu_time_ratios)


@contextmanager
def _costs_only(record: Record) -> Iterator[None]:
    """Turn anything that goes wrong inside into this row's failure, so that the other rows go on."""
    try:
        yield
    except Exception as error:
        message = str(error).strip().splitlines()
        known = isinstance(error, PocketmoodError)
        # Our own errors are sentences; of others' the kind says more than the words.
        record.fail((message or ["no message"])[0] if known else f"{type(error).__name__}: {(message or [''])[0]}")
