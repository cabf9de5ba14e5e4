"""One training of a student: for the student stage, and as a stage of its own for ablations and tables of choices."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pocketmood.data.clips import ClipStore
from pocketmood.data.split import Split
from pocketmood.mel import MelFrontEnd
from pocketmood.predictions import Predictions, read_predictions, write_predictions
from pocketmood.runs import Stage, stage_fingerprint
from pocketmood.spec import MelSpec
from pocketmood.training.distributed import is_main_process
from pocketmood.training.schedule import HISTORY
from student.config import StudentConfig
from student.distill import Answered, answer, train, whole_clips
from student.mobilevit import Student, load_imagenet, save_student
from teacher.soft_targets import SoftTargets

PREDICTIONS_FILE = "predictions.csv"
Fitted = Callable[[Student], Student]
"""Takes a new student over into one that differs in what it does with its weights, not in their names."""


class Material(NamedTuple):
    """What a student learns from, out of a run's folders; the teacher itself is not among it."""

    store: ClipStore
    split: Split
    soft_targets: SoftTargets


class Trained(NamedTuple):
    """What a training leaves."""

    student: Student
    """On the CPU, in evaluation mode."""
    history: list[dict[str, Any]]
    """The record of each epoch."""
    warning: str | None
    """That its first weights were random against the user's wish."""


def stage_inputs(run: Path) -> dict[str, str]:
    """Return the fingerprints of the stages that a student needs; RunError names the command for a missing one."""
    return {
        "data": stage_fingerprint(run / "data", "make data"),
        "teacher": stage_fingerprint(run / "teacher", f"python -m teacher --run {run}"),
    }


def open_material(run: Path) -> Material:
    """Open clip store, split and the table of the teacher's answers."""
    data = run / "data"
    store, split = ClipStore.open(data / "store"), Split.load(data / "split.json")
    return Material(store, split, SoftTargets.open(run / "teacher" / "soft_targets"))


def distil(
    material: Material, config: StudentConfig, folder: Path, title: str = "student", fitted: Fitted | None = None
) -> Trained:
    """Train a student in `folder`, loudly where it starts from random weights that nobody asked for."""
    torch.manual_seed(config.seed)
    student = Student(config.model, config.stride, config.frames, MelSpec(), config.layers)
    student = fitted(student) if fitted else student
    warning = load_imagenet(student, config.weights)
    if is_main_process():  # the others would make the work folder before its owner has
        folder.mkdir(parents=True, exist_ok=True)
        if warning:
            rule = "!" * 80
            print(f"{rule}\n{warning}\n{rule}", flush=True)
        rated = len(material.split.train)
        print(
            f"{title}: {config.model}, {sum(p.numel() for p in student.parameters()) / 1e6:.2f} M parameters; {rated} "
            f"rated clips and {len(material.soft_targets.ids) - rated} unrated, {config.draws} crops of "
            f"{config.crop_frames} frames each per epoch, batches of {config.schedule.batch_size}",
            flush=True,
        )
    history = train(student, material.store, material.soft_targets, material.split, config, folder)
    return Trained(student.cpu().eval(), history, warning)


def whole_answers(student: Student, store: ClipStore, ids: list[str]) -> Answered:
    """Let a student answer for whole clips of a store."""
    return answer(student, whole_clips(store, ids, MelFrontEnd(student.spec, student.stride, student.frames)))


def trial(material: Material, config: StudentConfig, stage: Stage, fitted: Fitted | None = None) -> Predictions:
    """Train a student in a stage of its own unless that is done; return its answers for the test songs.

    The stage keeps the student and its answers; its record says steps, seconds per step and parameters.
    """
    if not stage.up_to_date(quiet=True):
        with stage.work() as work:
            student, history, warning = distil(material, config, work / "training", stage.name, fitted)
            ids = list(material.split.test)
            said, labels = whole_answers(student, material.store, ids), material.store.labels(ids)
            predictions = Predictions(
                tuple(ids), ("test",) * len(ids), said.emotion, labels, interval68=said.interval68
            )
            write_predictions(work / PREDICTIONS_FILE, predictions)
            save_student(student, work, {})
            stage.record |= {
                "steps": history[-1]["step"],
                "step_seconds": float(np.median([line["step_seconds"] for line in history])),
                "parameters": sum(p.numel() for p in student.parameters()),
                "warnings": [warning] if warning else [],
            }
            shutil.copyfile(work / "training" / HISTORY, work / HISTORY)
            discard(work / "training")
    return read_predictions(stage.folder / PREDICTIONS_FILE)


def discard(folder: Path) -> None:
    """Remove a finished training's folder; a kill halfway leaves none that looks like a training."""
    gone = folder.with_name(f"{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)
    shutil.rmtree(gone)
