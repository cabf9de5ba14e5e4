"""Rows of the table on real recordings that the project's own stages make, in a run folder of each fold.

A fold is three runs with one split: RUN/folds holds the teacher, its student and programs; RUN/company teachers in
company; RUN/apart the networks that are compared with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmarks.latency import Turns, take_turns
from pocketmood.data.run_folder import PREDICTIONS_FILE, VIT_STEP, RunFolder
from pocketmood.errors import RunError
from pocketmood.predictions import Predictions, read_predictions
from teacher.company.config import MemberName, trained
from teacher.musicnn.config import MODELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.studies.recordings_config import RecordingsTableConfig
    from teacher.config import TeacherConfig

AST_STEP = "ast"
INT8 = "model.int8.pte"
TURNS = Turns(warmup=1, repeats=9, pause_s=0.05)
"""How often each row predicts for a clip, in turn with the others."""


@dataclass(frozen=True)
class StageRow:
    """A row that stages of the road make."""

    title: str
    """What the table calls it."""
    stages: tuple[str, ...]
    """The stages that must be finished in a fold, in order."""
    member: str = ""
    """The row is this member of a teacher alone; "" for what a stage gives as a whole."""
    place: Literal["folds", "company", "apart"] = "folds"
    """Folder of RUN with the runs of the folds."""


STAGE_ROWS = {
    "ast": StageRow("AST from scratch", ("teacher",), AST_STEP, "apart"),
    "vit": StageRow("ViT small from scratch", ("teacher",), VIT_STEP, "apart"),
    "musicnn-tuned": StageRow("MSD_musicnn fine-tuned", ("teacher",), "musicnn-tuned", "apart"),
    "musicnn": StageRow("kernel ridge on frozen MSD_musicnn", ("teacher",), "musicnn", "company"),
    "musicnn-mtt": StageRow("kernel ridge on frozen MTT_musicnn", ("teacher",), "musicnn-mtt", "company"),
    "company": StageRow("these two in company", ("teacher",), place="company"),
    "teacher": StageRow("teacher: one kernel ridge on both", ("teacher",)),
    "student": StageRow("student (MobileViT)", ("teacher", "student")),
    "int8": StageRow("student, int8 `.pte`", ("teacher", "student", "bundle")),
}
"""The rows that take minutes to hours per fold."""


def lacks(name: str, config: RecordingsTableConfig) -> str:
    """Say what a row needs and is not here, with what to type; empty where nothing is missing."""
    row, asked = STAGE_ROWS[name], _teacher(name, config)
    if row.member and row.member not in (members := trained(asked)):
        return f"not trained; there are {' '.join(members)} (--{row.place}.company.members)"
    # Of all members: the stage trains them together.
    if lack := _lacks_weights(asked):
        return lack
    if name == "int8" and find_spec("executorch") is None:
        return "ExecuTorch is not installed; type `make setup`"
    return ""


def _teacher(name: str, config: RecordingsTableConfig) -> TeacherConfig:
    """Return the settings of the teacher stage that makes a row."""
    return {"folds": config.teacher, "company": config.company, "apart": config.apart}[STAGE_ROWS[name].place]


def heard_by(name: str, config: RecordingsTableConfig) -> tuple[str, ...]:
    """Name the published musicnn networks that a row has learnt from."""
    row = STAGE_ROWS[name]
    members = (row.member,) if row.member else _teacher(name, config).company.members
    kinds = (MemberName.parse(member).kind for member in members)
    return tuple(network for kind in kinds for network in MODELS.get(kind, ()))


def _lacks_weights(teacher: TeacherConfig) -> str:
    """Say which published weights a company of musicnn networks lacks."""
    from pocketmood.training.weights import find
    from teacher.company.config import published

    try:
        for asked in published(teacher).values():
            find(asked)
    except RunError as error:
        return str(error)
    return ""


def make(name: str, config: RecordingsTableConfig, fold: RunFolder) -> None:
    """Bring the stages that a row needs up to date in a fold; each continues where it was killed."""
    from teacher import stage as teacher

    row = STAGE_ROWS[name]
    # All members, whichever rows are asked for: another config would make student and programs anew as well.
    teacher.run(replace(_teacher(name, config), run=fold.path, seed=config.seed))
    if "student" in row.stages:
        from student import stage as student

        student.run(replace(config.student, run=fold.path, seed=config.seed))
    if "bundle" in row.stages:
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
    return read_predictions(fold.made("teacher") / STAGE_ROWS[name].member / PREDICTIONS_FILE).only("test")


def latencies_ms(folds: Mapping[str, RunFolder]) -> dict[str, float]:
    """Time rows against each other on a test clip, waveform in, on the processor: row -> median in milliseconds.

    folds: a finished fold of each row, by its name; rows that no stage made are left out.
    """
    if not folds:
        return {}
    some = next(iter(folds.values()))
    wave = some.store.waveform(some.split.test[0])
    calls = {name: _heard(name, fold, wave) for name, fold in folds.items()}
    found = {}
    for name, timing in take_turns(calls, TURNS).items():
        if timing.failure:
            raise RunError(f"{name}: cannot be timed ({timing.failure})")
        found[name] = timing.median_ms
    return found


def _heard(name: str, fold: RunFolder, wave: NDArray[np.float32]) -> Callable[[], object]:
    """Open a row, and return the call that predicts for a waveform."""
    from benchmarks.torch_rows import torch_row
    from student.mobilevit import load_student
    from teacher.company.members import kind_of
    from teacher.company.open import open_company

    if name == "int8":
        program = fold.bundle.predictor("executorch", "int8")
        return lambda: program(wave)
    if name == "student":
        model, saved = load_student(fold.made("student"))
        opened = torch_row(model, model.spec, saved.stride, saved.frames)
        return lambda: opened.predict(wave)
    teacher, member = fold.made("teacher"), STAGE_ROWS[name].member
    hear = (kind_of(member).open(teacher / member, on_cpu=True) if member else open_company(teacher, on_cpu=True)).hear
    return lambda: hear(wave)


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
