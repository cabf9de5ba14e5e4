"""A made-up finished run for the tests of the benchmarks: real files, invented figures, sounds of half a second."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import stored, truth
from benchmarks.record import INVALID, PASSED, Record
from benchmarks.rows import CEILING, FLOOR, STUDENT, TEACHER, Row
from benchmarks.torch_rows import OpenedRow
from export.parity_record import PARITY_FILE, Distance, Facts, Gates, ParityRecord
from pocketmood.bundle import SCHEMA
from pocketmood.data.clips import Clip, ClipStore
from pocketmood.data.record import CorpusRecord, DataRecord, SplitSizes
from pocketmood.data.run_folder import RunFolder
from pocketmood.emotion import Emotion
from pocketmood.predictions import Predictions, write_predictions
from pocketmood.runs import Stage, file_hash, write_json, write_text
from pocketmood.spec import MelSpec
from pocketmood.training.history import EpochRecord, write_history
from teacher.soft_targets import Index
from tests.helpers.saved_student import write_student_config

SPEC = MelSpec(seconds=0.5)


def proof(artefact: str, max_error: float, limit: float, tolerance: float, **more: Any) -> ParityRecord:
    """Make up the record of an artefact that was compared; it failed if there is a `reason`."""
    distance = Distance(20, max_error, max_error, max_error / 10, 0.0, 60.0, max_error, max_error / 10, 0.0, 60.0)
    verdict = "failed" if "reason" in more else "passed"
    return ParityRecord(artefact, verdict, distance=distance, gates=Gates(limit, tolerance), **more)


GRAPHS = Facts(delegated_subgraphs=2, undelegated_ops=5)
PACKAGE = ("Manifest.json", "Data/com.apple.CoreML/model.mlmodel")
SHIPPED = ("model.fp32.onnx", "model.fp32.pte", "model.int8.pte", "model.fp32.mlpackage")
"""Programs that the made-up bundle names; none of them is in its folder."""
TOO_FAR = "largest error 0.0071 is beyond the limit of 5e-03"
PROOFS = (
    proof("model.fp32.onnx", 2.4e-6, 1e-4, 1e-3),
    proof("model.fp32.pte", 1.9e-6, 1e-4, 1e-3, facts=GRAPHS),
    proof("model.int8.pte", 7.1e-3, 5e-3, 7e-3, facts=GRAPHS, reason=TOO_FAR),
)


def make_run(run: Path, songs: int = 24, synthetic: bool = True, seed: int = 0) -> Path:
    """Write stages data, teacher, student and bundle as far as the benchmarks read them; a quarter of songs is test."""
    rng = np.random.default_rng(seed)
    true = rng.multivariate_normal([0, -0.05], [[0.07, 0.045], [0.045, 0.1]], songs).clip(-0.95, 0.95)
    labels = (true + rng.normal(0, 0.12, true.shape)).clip(-1, 1)
    ids = [str(row + 2) for row in range(songs)]
    splits = ["test" if row % 4 == 0 else "train" for row in range(songs)]
    data = _data(run, ids, splits, true, labels, synthetic, rng)
    teacher = Stage(run, "teacher", {}, {"data": data.fingerprint})
    with teacher.work() as folder:
        write_predictions(
            folder / "predictions.csv", Predictions(tuple(ids), tuple(splits), _near(true, 0.16, rng), labels)
        )
        write_predictions(folder / "floor.csv", Predictions(tuple(ids), tuple(splits), _near(true, 0.3, rng), labels))
        index = Index(tuple(ids), ((0, 256),), stride=5, frames=256, spec_hash=SPEC.hash, teacher="made up")
        write_json(folder / "soft_targets" / "soft_targets.json", index)
        _write_curve(folder / "vit", 20, 0.68, rng)
        write_text(folder / "model.safetensors", "x" * 1_480_000)
        teacher.record |= {"synthetic": "synthetic clips REFUSED: quality 1 of 100", "synthetic_accepted": False}
        refused = "teacher: synthetic clips REFUSED: quality 1 of 100"
        teacher.record["warnings"] = ["teacher: the backbone starts from random weights", refused]
    student = Stage(run, "student", {}, {"teacher": teacher.fingerprint})
    with student.work() as folder:
        write_student_config(folder)
        half_widths = np.full(labels.shape, 0.2)
        predictions = Predictions(tuple(ids), tuple(splits), _near(true, 0.18, rng), labels, interval68=half_widths)
        write_predictions(folder / "predictions.csv", predictions)
        _write_curve(folder, 14, 0.66, rng)
    with Stage(run, "bundle", {}, {"student": student.fingerprint}).work() as folder:
        named = [name for name in SHIPPED if not name.endswith(".mlpackage")]
        describe_bundle(folder, SPEC, *named, *(f"{SHIPPED[-1]}/{name}" for name in PACKAGE))
        write_json(folder / PARITY_FILE, [proof.to_json() for proof in PROOFS])
    return run


def describe_bundle(folder: Path, spec: MelSpec, *files: str) -> None:
    """Write the bundle.json of a folder with these files; one that is not there gets a hash that nothing fits."""
    hashes = {name: file_hash(folder / name) if (folder / name).is_file() else "" for name in files}
    about = {"schema": SCHEMA, "spec": spec.to_dict(), "spec_hash": spec.hash, "input": {"shape": [1, spec.samples]}}
    write_json(folder / "bundle.json", about | {"files": hashes})


def rows(folder: RunFolder, alternatives: str = "all") -> list[Row]:
    """List made-up rows: like the real ones, with predictions out of files and waits instead of networks."""
    del alternatives
    run = folder.path
    return [
        Row(Record(CEILING), None, "nothing to time", partial(truth, run / "data" / "truth.csv")),
        Row(Record(FLOOR, "NumPy"), None, "not timed", partial(stored, run / "teacher" / "floor.csv")),
        _made(run, Record(TEACHER, "PyTorch", "fp32", 1_480_000), 0.009, run / "teacher" / "predictions.csv"),
        _made(run, Record(STUDENT, "PyTorch", "fp32", 3_800_000), 0.012, run / "student" / "predictions.csv"),
        _made(run, Record("model.fp32.onnx", "ONNX Runtime", "fp32", 6_100_000, status=PASSED), 0.005),
        _made(run, _graphs(Record("model.fp32.pte", "ExecuTorch", "fp32", 5_600_000, status=PASSED)), 0.0048),
        _made(run, _graphs(Record("model.int8.pte", "ExecuTorch", "int8", 2_900_000, status=INVALID)), 0.0045),
        Row(Record("model.broken.pte", "ExecuTorch", "fp32"), _breaks, is_artefact=True),
        Row(
            *(Record("model.fp32.mlpackage", "CoreML", "fp32", 5_100_000, status="not run: needs macOS"), None),
            *("CoreML predicts on macOS only", None, "CoreML predicts on macOS only", True),
        ),
        Row(
            Record("librosa + mobilevit_xxs", "ONNX Runtime", "fp32", 4_700_000),
            partial(_open, 0.03, np.zeros(2), 950_000),
            why_not_scored="not scored: its weights are random",
        ),
    ]


def _data(
    run: Path, ids: list[str], splits: list[str], true: Any, labels: Any, synthetic: bool, rng: np.random.Generator
) -> Stage:
    stage = Stage(run, "data", {"songs": len(ids)})
    clips = [Clip(id_, None, Emotion(*map(float, label)), None) for id_, label in zip(ids, labels, strict=True)]
    with stage.work() as folder:
        waves = (0.1 * rng.standard_normal(SPEC.samples) for _ in ids)
        ClipStore.write(folder / "store", clips, waves, SPEC)
        parts = {part: [id_ for id_, split in zip(ids, splits, strict=True) if split == part] for part in set(splits)}
        write_json(folder / "split.json", {"validation": [], **parts, "seed": 0, "by": "song"})
        if synthetic:
            lines = [f"{id_},{v!r},{a!r},0,0" for id_, (v, a) in zip(ids, true.tolist(), strict=True)]
            header = "song_id,true_valence,true_arousal,cue_valence,cue_arousal"
            write_text(folder / "truth.csv", "\n".join([header, *lines]) + "\n")
        sizes = SplitSizes(len(parts.get("train", ())), 0, len(parts.get("test", ())), "song")
        corpus = CorpusRecord("noise", "made-up noise", len(ids), "made up", synthetic_labels=synthetic)
        stage.record |= asdict(DataRecord((corpus,), 0, 1, sizes))
    return stage


def _near(true: NDArray[np.float64], noise: float, rng: np.random.Generator) -> NDArray[np.float64]:
    return (0.85 * true + rng.normal(0, noise, true.shape)).clip(-0.99, 0.99)


def _write_curve(folder: Path, epochs: int, end: float, rng: np.random.Generator) -> None:
    values = end * (1 - np.exp(-np.arange(1, epochs + 1) / 4)) + rng.normal(0, 0.01, epochs)
    scores = [{"ccc_mean": float(value)} for value in values]
    records = [EpochRecord(place, place * 10, 1e-3, {}, score, 1.0, 0.1) for place, score in enumerate(scores, 1)]
    write_history(folder, records)


def _made(run: Path, record: Record, wait_s: float, predictions: Path | None = None) -> Row:
    ready = (
        partial(_predictions_near, run / "student" / "predictions.csv")
        if predictions is None
        else partial(stored, predictions)
    )
    record.params = 950_000
    return Row(record, partial(_open, wait_s, np.array([0.1, 0.2]), 950_000), predictions=ready)


def _predictions_near(path: Path, ids: Sequence[str]) -> NDArray[np.float64]:
    return stored(path, ids) + 1e-3


def _graphs(record: Record) -> Record:
    record.delegated_subgraphs, record.undelegated_ops = 2, 5
    return record


def _open(wait_s: float, emotion: NDArray[np.float64], params: int, _threads: int) -> OpenedRow:
    def predict(wave: NDArray[np.float32]) -> tuple[Any, Any]:
        time.sleep(wait_s)
        return emotion, emotion

    return OpenedRow(predict, params)


def _breaks(_threads: int) -> OpenedRow:
    raise RuntimeError("operator missing: _fft_r2c")
