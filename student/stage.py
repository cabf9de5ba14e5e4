"""The student stage: read the run folder, distil, calibrate, predict for all rated clips, score, draw, report.

Under `torchrun` every process trains; the main one alone does everything else while the others wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pocketmood import standing_warnings
from pocketmood.calibration import conformal_factor, coverage
from pocketmood.data import by_corpus
from pocketmood.data.clips import ClipStore
from pocketmood.data.record import DataRecord
from pocketmood.data.run_folder import FLOOR_FILE, PREDICTIONS_FILE, RunFolder
from pocketmood.data.saved_student import Labelling, Origin
from pocketmood.data.split import refuse_leaks
from pocketmood.errors import DataError
from pocketmood.metrics import AXES
from pocketmood.predictions import Predictions, read_predictions, write_predictions
from pocketmood.processes import is_main_process
from pocketmood.runs import Stage, write_json
from pocketmood.training import distributed, doctor, weights
from pocketmood.training.device import keep_freed_memory
from pocketmood.training.weights import Published
from student import metrics
from student.config import StudentConfig
from student.metrics import PartMetrics, StudentMetrics
from student.mobilevit import Student, published, save_student
from student.needs import needs
from student.plots import plot_all
from student.predict import predict_clips
from student.record import StudentRecord, Throughput
from student.train_once import TRAINING_FOLDER, TrainedStudent, keep_history, stage_inputs, train_student
from student.training_set import TrainingData

METRICS_FILE = "metrics.json"
_REFERENCE_FILES = {"teacher": PREDICTIONS_FILE, "floor": FLOOR_FILE}
"""Where the teacher's stage keeps the predictions of those whom a student is compared with."""


def run(config: StudentConfig) -> None:
    """Make `RUN/student`, or say that it is up to date; killed and started again it continues."""
    folder = RunFolder(config.run)
    inputs = stage_inputs(folder)
    distributed.join()
    asked = published(config.model, config.weights)
    wanted: dict[str, Published] = {config.model: asked} if asked else {}
    found = weights.resolve_once(wanted)
    if distributed.up_to_date(_described(config, inputs | weights.identities(found, folder.folder("student")))):
        return

    if config.doctor:
        doctor.attend(needs(config), config.run)
    resolved, found = found, weights.fetch_once(wanted, found)
    if config.doctor:
        doctor.refuse_lost(wanted, resolved, found)
    keep_freed_memory()
    # As before the teacher: the split is a file that people can edit.
    refuse_leaks(folder.split, folder.store.clips)
    references = read_references(folder)
    data = TrainingData.open(folder, config.synthetic_clips)
    stage = _described(config, inputs | weights.identities(found))
    with distributed.work(stage) as work:
        if is_main_process():
            fill(config, data, references, work, stage)
        else:
            train_student(data, config, work / TRAINING_FOLDER)


def _described(config: StudentConfig, inputs: dict[str, str]) -> Stage:
    """Describe the stage; of first weights its inputs say what they are, so that its config need not say where."""
    weights_asked = "random" if config.weights == "random" else "published"
    return Stage(config.run, "student", replace(config, weights=weights_asked, doctor=False), inputs)


def read_references(run: RunFolder) -> dict[str, Predictions]:
    """Read what a student is compared with, before it trains; DataError where a rated song is missing."""
    references = {}
    for name, file in _REFERENCE_FILES.items():
        path = run.made("teacher") / file
        references[name] = read_predictions(path)
        if missing := run.split.part_of().keys() - set(references[name].ids):
            song = min(missing)
            raise DataError(
                f"{path}: no prediction for {len(missing)} rated songs, {song!r} first; make the teacher again"
            )
    return references


def fill(
    config: StudentConfig, data: TrainingData, references: Mapping[str, Predictions], work: Path, stage: Stage
) -> None:
    """Train, calibrate and score a student, and write all files of its stage into the work folder."""
    run_folder = RunFolder(config.run)
    trained = train_student(data, config, work / TRAINING_FOLDER)
    write_predictions(work / PREDICTIONS_FILE, calibrate(trained.student, data))

    # What is scored is what the file holds, so that nobody finds other scores in it.
    student = read_predictions(work / PREDICTIONS_FILE)
    record = run_folder.data_record
    kind = record.label_kind
    found = measure(trained, config, data, metrics.compare(student, references, kind), student)
    write_json(work / METRICS_FILE, found.as_json())

    save(config, trained, record, work)
    heard = "crops, whole clips at the end" if config.whole_share else "crops"
    mine, teachers = student.only("test"), references["teacher"].only("test")
    plot_all(work / "plots", work / TRAINING_FOLDER, heard, mine, teachers, kind)
    speed = Throughput(found.step_seconds, found.examples_per_second)
    asked = published(config.model, config.weights)
    first = str(weights.find(asked)) if asked else weights.RANDOM
    # Random by choice is told as well: whoever reads the figures did not choose it.
    chosen = () if asked else (standing_warnings.of_random_start("student", config.model, "--weights random"),)
    stage.record |= asdict(StudentRecord(config.model, first, found.as_json(), trained.warnings + chosen, speed))
    print(metrics.table(config.model, found, kind), flush=True)
    by_corpus.publish(work, {**references, "student": student}, data.store, record)
    keep_history(work)


def calibrate(student: Student, data: TrainingData) -> Predictions:
    """Fit `interval_scale` of a trained student to the validation songs; return its predictions for all rated clips.

    Before, the head gives a `rater_sd`; after, `interval68`.
    """
    part_of = data.split.part_of()
    ids, parts = tuple(part_of), tuple(part_of.values())
    emotion, rater_sd = predict_clips(student, data.store, ids)
    labels = data.store.labels(ids)

    # On songs that the student was not trained on: its misses on training songs are smaller than on new ones.
    held_out = np.array(parts) == "validation"
    factor = conformal_factor(emotion[held_out], rater_sd[held_out], labels[held_out])
    with torch.no_grad():
        student.interval_scale.mul_(torch.from_numpy(factor))
    # By the float32 factor that the network holds, so that the file agrees with what programs will give.
    return Predictions(ids, parts, emotion, labels, interval68=rater_sd * student.interval_scale.numpy())


def measure(
    trained: TrainedStudent,
    config: StudentConfig,
    data: TrainingData,
    parts: dict[str, PartMetrics],
    predictions: Predictions,
) -> StudentMetrics:
    """Join the scores with the coverage of the intervals and with what the training cost."""
    # A batch is no larger than an epoch: in a tiny run the configured size would overstate the throughput.
    batch = min(config.schedule.batch_size, data.clips * config.draws)
    return StudentMetrics(
        parts={part: replace(parts[part], coverage=covered(predictions.only(part), data.store)) for part in parts},
        interval_scale=dict(zip(AXES, trained.student.interval_scale.tolist(), strict=True)),
        parameters=trained.parameters,
        epochs=len(trained.history),
        step_seconds=trained.step_seconds,
        examples_per_second=batch / trained.step_seconds,
    )


def covered(predictions: Predictions, store: ClipStore) -> dict[str, Any]:
    """Return the shares of songs and of listeners inside the intervals of a student's predictions."""
    assert predictions.interval68 is not None  # a student's file holds them
    deviations = store.deviations(predictions.ids)
    return coverage(predictions.emotion, predictions.interval68, predictions.labels, deviations)


def save(config: StudentConfig, trained: TrainedStudent, data: DataRecord, folder: Path) -> None:
    """Write the student with what later stages must know of it."""
    origin = Origin(
        weights=config.weights,
        started_from_random=bool(trained.warning) or config.weights == "random",
        labels=Labelling.of(data),
        # Without the folder: a run may be moved, and its student stays the same.
        config=asdict(config) | {"run": None},
    )
    save_student(trained.student, folder, origin)
