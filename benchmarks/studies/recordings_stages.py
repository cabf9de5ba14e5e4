"""Rows of the table on real recordings that the project's own stages make, in the run folder of each fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from pocketmood.data.run_folder import PREDICTIONS_FILE, VIT_STEP, RunFolder
from pocketmood.errors import RunError
from pocketmood.predictions import Predictions, read_predictions

if TYPE_CHECKING:
    from benchmarks.studies.recordings_config import RecordingsTableConfig

AST_STEP = "ast"
INT8 = "model.int8.pte"


@dataclass(frozen=True)
class StageRow:
    """A row that stages of the road make."""

    title: str
    """What the table calls it."""
    stages: tuple[str, ...]
    """The stages that must be finished in a fold, in order."""


STAGE_ROWS = {
    "ast": StageRow("AST from scratch", ("teacher",)),
    "vit": StageRow("ViT small from scratch", ("teacher",)),
    "student": StageRow("student (MobileViT)", ("teacher", "student")),
    "int8": StageRow("student, int8 `.pte`", ("teacher", "student", "bundle")),
}
"""The rows that take minutes to hours per fold."""


def lacks(name: str, config: RecordingsTableConfig) -> str:
    """Say what a row needs and is not here, with what to type; empty where nothing is missing."""
    if name == "ast" and not config.teacher.baseline:
        return "--no-teacher.baseline leaves it out"
    if name == "int8" and find_spec("executorch") is None:
        return "ExecuTorch is not installed; type `make setup`"
    return ""


def make(name: str, config: RecordingsTableConfig, fold: RunFolder) -> None:
    """Bring the stages that a row needs up to date in a fold; each continues where it was killed."""
    from teacher import stage as teacher

    stages = STAGE_ROWS[name].stages
    # The AST with it, whichever rows are asked for: another config would make student and programs anew as well.
    teacher.run(replace(config.teacher, run=fold.path, seed=config.seed))
    if "student" in stages:
        from student import stage as student

        student.run(replace(config.student, run=fold.path, seed=config.seed))
    if "bundle" in stages:
        from export import stage as export
        from export.config import ExportConfig

        code = export.run(ExportConfig(fold.path, to=("executorch",), precision=("fp32", "int8")))
        if code and INT8 not in fold.bundle.files:
            raise RunError(f"{fold.path}: {INT8} was not exported; see what `python -m export --run {fold.path}` says")


def predictions(name: str, fold: RunFolder) -> Predictions:
    """Return a row's predictions for the test songs of a fold whose stages are finished."""
    if name == "int8":
        return _of_program(fold)
    if name == "student":
        return read_predictions(fold.made("student") / PREDICTIONS_FILE).only("test")
    step = {"ast": AST_STEP, "vit": VIT_STEP}[name]
    return read_predictions(fold.made("teacher") / step / PREDICTIONS_FILE).only("test")


def _of_program(fold: RunFolder) -> Predictions:
    """Predict with the int8 program that a phone gets, clip by clip."""
    bundle, songs = fold.bundle, fold.split.test
    store = fold.store_of(bundle.samples)
    predict = bundle.predictor("executorch", "int8")
    emotion = np.array([predict(store.waveform(id_))[0] for id_ in songs], np.float64)
    return of_test(songs, emotion, store.labels(songs))


def of_test(songs: Sequence[str], emotion: np.ndarray, labels: np.ndarray) -> Predictions:
    """Wrap predictions [N, 2] for test songs."""
    return Predictions(tuple(songs), ("test",) * len(songs), emotion, labels.astype(np.float64))
