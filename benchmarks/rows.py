"""The rows of the table: what each is called, how to open it, and what is known of it before it runs.

Listing rows is cheap and opens nothing; heavy libraries are imported when a row is opened.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from benchmarks import latency, torch_rows
from benchmarks.accuracy import Array, stored, truth
from benchmarks.alternatives import OURS, OWN, Alternative, Picture
from benchmarks.record import FAILED, INVALID, LEFT_OUT, MEASURED, NOT_RUN, PASSED, Record, read_results
from benchmarks.torch_rows import OpenedRow
from export.parity_record import PARITY_FILE, UNTOLD, ParityRecord, read_records
from pocketmood.bundle import Bundle
from pocketmood.data.run_folder import FLOOR_FILE, PREDICTIONS_FILE, TRUTH_FILE, WEIGHTS_FILE, RunFolder
from pocketmood.errors import BundleError
from teacher.company.open import weights_bytes

CEILING, FLOOR, TEACHER, STUDENT = "perfect listener", "ridge floor", "teacher", "student"
COMPILED = "student, torch.compile"
RUNTIMES = {".onnx": "ONNX Runtime", ".pte": "ExecuTorch", ".mlpackage": "CoreML"}
PREDICTORS = {".onnx": "onnxruntime", ".pte": "executorch"}


@dataclass(frozen=True)
class Row:
    """One row before it is measured."""

    record: Record
    """What is known already; figures are filled in later."""
    open: Callable[[int], OpenedRow] | None = None
    """Get ready with so many threads; None where the row cannot run here."""
    why_not_opened: str = ""
    """Why it cannot run here; empty where it can."""
    predictions: Callable[[Sequence[str]], Array] | None = None
    """Predictions [N, 2] that exist already; None: the opened row makes them, unless `why_not_scored`."""
    why_not_scored: str = ""
    """Why it has no predictions; empty where it has, or will have."""
    is_artefact: bool = False
    """Whether the row is a file of the bundle."""
    alternative: Alternative | None = None
    """What has to be made before the row can be opened."""
    opens_again: bool = True
    """Whether opening it once more is cheap: in a fresh process for its memory, or to time how it starts."""

    @property
    def name(self) -> str:
        """Return the row's name."""
        return self.record.name


def rows_of(run: RunFolder, alternatives: str = "all") -> list[Row]:
    """List the rows of a run in the table's order; alternatives: "all", "one" or "none" (see BenchmarksConfig)."""
    rows = [_ceiling(run), _floor(run), _teacher(run), _student(run)]
    rows += [_compiled(run)] if alternatives == "all" else []
    rows += [_artefact(run, name) for name in artefacts(run.bundle)]
    rows += [_on_device(record) for record in device_records(run)]
    if alternatives == "none":
        return rows

    # Lowering the larger picture for ExecuTorch, too, would cost a minute; studies/program_latency.py has that row.
    sizes = [(OWN, "ONNX Runtime"), (OURS, "ONNX Runtime"), (OURS, "ExecuTorch")]
    return rows + [_alternative(run, *size) for size in (sizes if alternatives == "all" else sizes[:1])]


def open_calls(run: RunFolder, names: Sequence[str], threads: int) -> dict[str, Callable[[], object]]:
    """Open rows of a run in this process, held to so many threads; returns calls that predict its first clip."""
    # First of all: ExecuTorch's pool cannot change once a program is loaded.
    latency.pin_threads(threads)
    store = run.store_of(run.bundle.samples)
    wave = store.waveform(store.ids[0])
    with latency.quiet():
        opened = {row.name: row.open(threads).predict for row in rows_of(run) if row.name in names and row.open}
    return {name: partial(predict, wave) for name, predict in opened.items()}


def device_records(run: RunFolder) -> list[Record]:
    """Read the rows that `benchmarks.device` took on phones; none is no error."""
    return read_results(run.device_results) if run.device_results.is_file() else []


def artefacts(bundle: Bundle) -> list[str]:
    """Name the programs that export was asked for, format by format: those that ship, and those it left out.

    By bundle.json, not by what lies in the folder: a program that is gone has a row that says so, and a format that
    nobody asked for has none.
    """
    # A package is a folder: bundle.json has a hash for each of its files.
    held = {PurePosixPath(file).parts[0] for file in bundle.files if file.startswith("model.")}
    formats = list(RUNTIMES)
    programs = [name for name in held | set(bundle.left_out) if Path(name).suffix in RUNTIMES]
    return sorted(programs, key=lambda name: (formats.index(Path(name).suffix), name))


def records_of(bundle: Path) -> list[ParityRecord]:
    """Read the parity records of a bundle; none where it holds no such file, which each row then says of itself."""
    return read_records(bundle) if (bundle / PARITY_FILE).is_file() else []


def size_of(path: Path) -> int | None:
    """Return the bytes of a file, or of all files in a folder (a .mlpackage is one); None for neither."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else None


def _ceiling(run: RunFolder) -> Row:
    # Judged as any row: what raters' noise costs even somebody who knows the true score.
    record, path = Record(CEILING), run.folder("data") / TRUTH_FILE
    if path.is_file():
        return Row(record, None, "the true score itself, nothing to time", partial(truth, path))
    record.status = NOT_RUN
    why = "the corpus does not tell true scores (only rendered music does)"
    return Row(record, None, why, why_not_scored=why)


def _floor(run: RunFolder) -> Row:
    record = Record(FLOOR, "NumPy", "fp64")
    why = "not timed: its predictions are read from teacher/floor.csv"
    return Row(record, None, why, partial(stored, run.folder("teacher") / FLOOR_FILE))


def _teacher(run: RunFolder) -> Row:
    folder = run.folder("teacher")
    record = Record(TEACHER, "PyTorch", "fp32", weights_bytes(folder))
    # Its stage has predicted every song already: the slowest network of all need not do so again.
    predictions = partial(stored, folder / PREDICTIONS_FILE)
    return Row(record, lambda _: torch_rows.open_teacher(run), "", predictions)


def _student(run: RunFolder) -> Row:
    record = Record(STUDENT, "PyTorch", "fp32", size_of(run.folder("student") / WEIGHTS_FILE))
    return Row(record, lambda _: torch_rows.open_student(run))


def _compiled(run: RunFolder) -> Row:
    record = Record(COMPILED, "PyTorch", "fp32", size_of(run.folder("student") / WEIGHTS_FILE))
    open_ = partial(torch_rows.open_compiled, run, run.alternatives / "inductor")
    why = "not scored: the student's own network, compiled for this processor"
    return Row(record, lambda _: open_(), why_not_scored=why, opens_again=False)


def _alternative(run: RunFolder, size: Picture, runtime: str) -> Row:
    alternative = Alternative(run.student.name, size, runtime)
    record = Record(alternative.name, alternative.runtime, "fp32")
    why = "not scored: its weights are random, it stands for the time and the size of the usual recipe"

    def open_(threads: int) -> OpenedRow:
        return alternative.open(run.alternatives, run.bundle.spec, threads)

    return Row(record, open_, why_not_scored=why, alternative=alternative)


def _on_device(record: Record) -> Row:
    why = "not scored: its predictions for the golden pairs are compared instead"
    return Row(record, None, why_not_scored=why)


def _artefact(run: RunFolder, name: str) -> Row:
    bundle, kind = run.folder("bundle"), Path(name).suffix
    record = Record(name, RUNTIMES[kind], name.split(".")[1], size_of(bundle / name))
    # Named, so that nobody takes it for a program that was never asked for; nothing of it is opened.
    if name in run.bundle.left_out:
        record.status = LEFT_OUT
        record.note(why := f"left out: {run.bundle.left_out[name]}")
        return Row(record, None, why, why_not_scored=why)
    _proof(record, bundle)
    if record.size_bytes is None:
        record.status = FAILED
        why = "the bundle does not hold this file"
        return Row(record, None, why, why_not_scored=why)

    if kind == ".mlpackage" and sys.platform != "darwin":
        # A program that the export stage refuted stays refuted, whatever runs here.
        if record.status != INVALID:
            record.status = f"{NOT_RUN}: needs macOS"
        why = "CoreML predicts on macOS only; its parity record says how far the program was checked here"
        return Row(record, None, why, why_not_scored=why, is_artefact=True)

    opener = partial(_open_coreml, bundle / name) if kind == ".mlpackage" else partial(_open_bundled, run, record)
    return Row(record, opener, is_artefact=True)


def _open_bundled(run: RunFolder, record: Record, threads: int) -> OpenedRow:
    """Open an artefact as a user of the bundle does."""
    runtime = PREDICTORS.get(Path(record.name).suffix)
    if runtime is None or record.precision is None:
        raise BundleError(f"{record.name}: no runtime here reads it")
    return OpenedRow(run.bundle.predictor(runtime=runtime, precision=record.precision, threads=threads), None)


def _open_coreml(path: Path, _threads: int) -> OpenedRow:
    """Open a CoreML program, which chooses its threads itself."""
    from export.coreml.to_coreml import read

    return OpenedRow(torch_rows.for_one_clip(read(path)), None)


def _proof(record: Record, bundle: Path) -> None:
    """Take over the verdict and the counts of delegated and left-out operators from the bundle's parity records."""
    proof = next((proof for proof in records_of(bundle) if proof.artefact == record.name), None)
    if proof is None:
        record.status = MEASURED
        record.note("bundle/parity.json has no record of it")
        return

    record.delegated_subgraphs, record.undelegated_ops = proof.facts.delegated_subgraphs, proof.facts.undelegated_ops
    record.parity_error = proof.distance.max_error if proof.distance else None
    # "failed" here means broken; a program that runs and predicts something else is invalid.
    record.status = PASSED if proof.passed else INVALID
    if proof.passed and proof.ccc_verdict == UNTOLD:
        record.note(proof.reason)
    if not proof.passed:
        record.note(proof.reason or "differs from PyTorch by more than its limit")
