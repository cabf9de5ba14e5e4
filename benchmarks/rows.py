"""The rows of the table: what each is called, how to open it, and what is known of it before it runs.

Listing rows is cheap and opens nothing; heavy libraries are imported when a row is opened.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import latency, torch_rows
from benchmarks.accuracy import Array, stored, truth
from benchmarks.alternatives import OURS, OWN, Peer, Picture
from benchmarks.record import FAILED, INVALID, MEASURED, NOT_RUN, PASSED, Record, read_results
from benchmarks.torch_rows import Opened
from pocketmood.errors import BundleError
from pocketmood.runs import read_json

CEILING, FLOOR, TEACHER, STUDENT = "perfect listener", "ridge floor", "teacher", "student"
COMPILED = "student, torch.compile"
SHIPPED = ("model.fp32.onnx", "model.fp32.pte", "model.int8.pte", "model.fp32.mlpackage")
RUNTIMES = {".onnx": "ONNX Runtime", ".pte": "ExecuTorch", ".mlpackage": "CoreML"}
PREDICTORS = {".onnx": "onnxruntime", ".pte": "executorch"}


@dataclass(frozen=True)
class Contender:
    """One row before it is measured."""

    record: Record
    """What is known already; figures are filled in later."""
    open: Callable[[int], Opened] | None = None
    """Get ready with so many threads; None where the row cannot run here."""
    why_not_opened: str = ""
    answers: Callable[[Sequence[str]], Array] | None = None
    """Answers [N, 2] that exist already; None: ask the opened row, unless `why_not_scored`."""
    why_not_scored: str = ""
    is_artefact: bool = False
    """Whether the row is a file of the bundle."""
    peer: Peer | None = None
    """What has to be made before the row can be opened."""
    opens_again: bool = True
    """Whether opening it once more is cheap: in a fresh process for its memory, or to time how it starts."""

    @property
    def name(self) -> str:
        """Return the row's name."""
        return self.record.name


def contenders(run: Path, peers: str = "all") -> list[Contender]:
    """List the rows of a run in the table's order; peers: "all", "one" or "none" (see BenchmarksConfig)."""
    rows = [_ceiling(run), _floor(run), _teacher(run), _student(run)]
    rows += [_compiled(run)] if peers == "all" else []
    rows += [_artefact(run, name) for name in artefacts(run / "bundle")]
    rows += [_on_device(record) for record in device_records(run)]
    if peers == "none":
        return rows
    # Lowering the larger picture for ExecuTorch, too, would cost a minute; studies/program_latency.py has that row.
    sizes = [(OWN, "ONNX Runtime"), (OURS, "ONNX Runtime"), (OURS, "ExecuTorch")]
    return rows + [_peer(run, *size) for size in (sizes if peers == "all" else sizes[:1])]


def open_calls(run: Path, names: Sequence[str], threads: int) -> dict[str, Callable[[], object]]:
    """Open rows of a run in this process, held to so many threads, and return the calls that answer its first clip."""
    latency.pin_threads(threads)
    store = torch_rows.store_of(run)
    wave = store.waveform(store.ids[0])
    with latency.quiet():
        opened = {row.name: row.open(threads).predict for row in contenders(run) if row.name in names and row.open}
    return {name: partial(predict, wave) for name, predict in opened.items()}


def peers_folder(run: Path) -> Path:
    """Name where the peers' programs of a run are kept: beside the stages, because they outlive a new table."""
    return run / "peers"


def device_records(run: Path) -> list[Record]:
    """Read the rows that `benchmarks.device` took on phones; none is no error."""
    path = run / "device" / "results.json"
    return read_results(path) if path.is_file() else []


def artefacts(bundle: Path) -> list[str]:
    """Name the models a bundle should hold, and any further ones it does hold, format by format."""
    held = [path.name for path in bundle.glob("model.*") if path.suffix in RUNTIMES]
    formats = list(RUNTIMES)
    return sorted({*SHIPPED, *held}, key=lambda name: (formats.index(Path(name).suffix), name))


def size_of(path: Path) -> int | None:
    """Return the bytes of a file, or of all files in a folder; None for neither."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else None


def _ceiling(run: Path) -> Contender:
    record, path = Record(CEILING), run / "data" / "truth.csv"
    if path.is_file():
        return Contender(record, None, "the true score itself, nothing to time", partial(truth, path))
    record.status = NOT_RUN
    why = "the corpus does not tell true scores (only rendered music does)"
    return Contender(record, None, why, why_not_scored=why)


def _floor(run: Path) -> Contender:
    record = Record(FLOOR, "NumPy", "fp64")
    why = "not timed: its answers are read from teacher/floor.csv"
    return Contender(record, None, why, partial(stored, run / "teacher" / "floor.csv"))


def _teacher(run: Path) -> Contender:
    record = Record(TEACHER, "PyTorch", "fp32", size_of(run / "teacher" / "model.safetensors"))
    answers = partial(stored, run / "teacher" / "predictions.csv")
    return Contender(record, lambda _: torch_rows.open_teacher(run), "", answers)


def _student(run: Path) -> Contender:
    record = Record(STUDENT, "PyTorch", "fp32", size_of(run / "student" / "model.safetensors"))
    return Contender(record, lambda _: torch_rows.open_student(run))


def _compiled(run: Path) -> Contender:
    record = Record(COMPILED, "PyTorch", "fp32", size_of(run / "student" / "model.safetensors"))
    open_ = partial(torch_rows.open_compiled, run, peers_folder(run) / "inductor")
    why = "not scored: the student's own network, compiled for this processor"
    return Contender(record, lambda _: open_(), why_not_scored=why, opens_again=False)


def _peer(run: Path, size: Picture, runtime: str) -> Contender:
    peer = Peer(torch_rows.student_architecture(run), size, runtime)
    record = Record(peer.name, peer.runtime, "fp32")
    why = "not scored: its weights are random, it stands for the time and the size of the usual recipe"

    def open_(threads: int) -> Opened:
        return peer.open(peers_folder(run), torch_rows.spec_of(run), threads)

    return Contender(record, open_, why_not_scored=why, peer=peer)


def _on_device(record: Record) -> Contender:
    return Contender(record, None, why_not_scored="not scored: its answers to the golden pairs are compared instead")


def _artefact(run: Path, name: str) -> Contender:
    bundle, kind = run / "bundle", Path(name).suffix
    record = Record(name, RUNTIMES[kind], name.split(".")[1], size_of(bundle / name))
    _proof(record, bundle)
    if record.size_bytes is None:
        record.status = FAILED
        why = "the bundle does not hold this file"
        return Contender(record, None, why, why_not_scored=why)
    if kind == ".mlpackage" and sys.platform != "darwin":
        if record.status != INVALID:
            record.status = f"{NOT_RUN}: needs macOS"
        why = "CoreML predicts on macOS only; its parity record says how far the program was checked here"
        return Contender(record, None, why, why_not_scored=why, is_artefact=True)
    opener = partial(_open_coreml, bundle / name) if kind == ".mlpackage" else partial(_open_bundled, bundle, record)
    return Contender(record, opener, is_artefact=True)


def _open_bundled(bundle: Path, record: Record, threads: int) -> Opened:
    """Open an artefact as a user of the bundle does."""
    from pocketmood.bundle import Bundle

    runtime = PREDICTORS.get(Path(record.name).suffix)
    if runtime is None or record.precision is None:
        raise BundleError(f"{record.name}: no runtime here reads it")
    predictor = Bundle.open(bundle).predictor(runtime=runtime, precision=record.precision, threads=threads)
    return Opened(predictor, None)


def _open_coreml(path: Path, _threads: int) -> Opened:
    from export.coreml.to_coreml import read

    program = read(path)

    def predict(wave: Any) -> tuple[Any, Any]:
        emotion, spread = program(wave[None])
        return emotion[0], spread[0]

    return Opened(predict, None)


def _proof(record: Record, bundle: Path) -> None:
    """Take over the verdict and the counts of delegated and left-out operators from the bundle's parity records."""
    path = bundle / "parity.json"
    proofs = read_json(path) if path.is_file() else []
    proof = next((proof for proof in proofs if proof.get("artefact") == record.name), None)
    if proof is None:
        record.status = MEASURED
        record.note("bundle/parity.json has no record of it")
        return
    record.delegated_subgraphs = proof.get("delegated_subgraphs")
    record.undelegated_ops = proof.get("undelegated_ops")
    record.parity_error = proof.get("max_error")
    verdict = proof.get("verdict")
    record.status = {PASSED: PASSED, FAILED: INVALID}.get(str(verdict), MEASURED)
    if record.status == INVALID:
        record.note(str(proof.get("reason") or "differs from PyTorch by more than its limit"))
