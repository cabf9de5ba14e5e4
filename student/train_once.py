"""One training of a student: for the student stage, and as a stage of its own for ablations and tables of choices."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pocketmood.data.run_folder import PREDICTIONS_FILE, RunFolder
from pocketmood.predictions import Predictions, read_predictions, write_predictions
from pocketmood.processes import is_main_process
from pocketmood.runs import Stage
from pocketmood.spec import MelSpec
from pocketmood.training.history import FACTS, HISTORY, EpochRecord
from pocketmood.training.schedule import BEST_RECORD
from pocketmood.training.weights import find
from student.config import StudentConfig
from student.distill import distill
from student.mobilevit import Student, load_imagenet, published, save_student
from student.predict import predict_clips
from student.record import TrainingRecord
from student.training_set import TrainingData

Adapt = Callable[[Student], Student]
"""Takes a new student over into one that differs in what it does with its weights, not in their names."""
TRAINING_FOLDER = "training"
"""Where a stage's work folder keeps checkpoints until the training is over."""


class TrainedStudent(NamedTuple):
    """What a training leaves."""

    student: Student
    """On the CPU, in evaluation mode."""
    history: list[EpochRecord]
    """The record of each epoch, as in metrics.jsonl."""
    warning: str | None
    """That its first weights were random against the user's wish."""

    @property
    def parameters(self) -> int:
        """Numbers in the network."""
        return sum(parameter.numel() for parameter in self.student.parameters())

    @property
    def step_seconds(self) -> float:
        """Seconds per step, the median over epochs: one slow epoch says more of the machine than of the training."""
        return float(np.median([epoch.step_seconds for epoch in self.history]))

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warning, or none, as a stage's record keeps them."""
        return (self.warning,) if self.warning else ()


def stage_inputs(run: RunFolder) -> dict[str, str]:
    """Return the fingerprints of the stages that a student needs; RunError names the command for a missing one."""
    return {name: run.fingerprint(name) for name in ("data", "teacher")}


def train_student(
    data: TrainingData, config: StudentConfig, folder: Path, title: str = "student", adapt: Adapt | None = None
) -> TrainedStudent:
    """Train a student in `folder`, loudly where it starts from random weights that nobody asked for."""
    # Before the network is made: its weights are the first random numbers that a seed decides.
    torch.manual_seed(config.seed)
    student = Student(config.model, config.stride, config.frames, MelSpec(), config.layers)
    student = adapt(student) if adapt else student
    wanted = published(config.model, config.weights)
    warning = load_imagenet(student, find(wanted)) if wanted else None

    # The main process alone: the others would make the work folder before its owner has.
    if is_main_process():
        folder.mkdir(parents=True, exist_ok=True)
        if warning:
            rule = "!" * 80
            print(f"{rule}\n{warning}\n{rule}", flush=True)
        print(f"{title}: {_what_is_trained(student, data, config)}", flush=True)

    history = distill(student, data, config, folder)
    return TrainedStudent(student.cpu().eval(), history, warning)


def train_once(data: TrainingData, config: StudentConfig, stage: Stage, adapt: Adapt | None = None) -> Predictions:
    """Train a student in a stage of its own unless that is done; return its predictions for the test songs.

    The stage keeps the student and its predictions; `TrainingRecord.of` reads its record.
    """
    if not stage.up_to_date(quiet=True):
        with stage.work() as work:
            trained = train_student(data, config, work / TRAINING_FOLDER, stage.name, adapt)
            save_student(trained.student, work)

            # A comparison reads the emotion alone: the head is left uncalibrated, so it gives a `rater_sd`.
            songs, labels = data.split.test, data.store.labels(data.split.test)
            emotion, rater_sd = predict_clips(trained.student, data.store, songs)
            predictions = Predictions(songs, ("test",) * len(songs), emotion, labels, rater_sd=rater_sd)
            write_predictions(work / PREDICTIONS_FILE, predictions)

            steps = trained.history[-1].step
            record = TrainingRecord(steps, trained.step_seconds, trained.parameters, trained.warnings)
            stage.record |= asdict(record)
            keep_history(work)
    # Read back also when it was just made, so that a continued study sees the very same numbers.
    return read_predictions(stage.folder / PREDICTIONS_FILE)


def keep_history(stage_folder: Path) -> None:
    """Keep the records of a finished training in its stage's folder, and remove the rest of the training."""
    training = stage_folder / TRAINING_FOLDER
    for name in (HISTORY, BEST_RECORD, FACTS):
        if (training / name).is_file():
            shutil.copyfile(training / name, stage_folder / name)
    # Renamed first: a kill halfway through the removal leaves nothing that looks like a training to continue.
    gone = training.with_name(f"{training.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    training.rename(gone)
    shutil.rmtree(gone)


def _what_is_trained(student: Student, data: TrainingData, config: StudentConfig) -> str:
    """Name the network and count what it is trained on."""
    rated = len(data.split.train)
    others = f"{len(data.soft_targets.ids) - rated} unrated"
    others += f" and {len(data.synthetic.table.ids)} synthetic" if data.synthetic else ""
    return (
        f"{config.model}, {sum(p.numel() for p in student.parameters()) / 1e6:.2f} M parameters; {rated} rated clips "
        f"and {others}, {config.draws} crops of {config.crop_frames} frames each "
        f"per epoch, batches of {config.schedule.batch_size}"
    )
