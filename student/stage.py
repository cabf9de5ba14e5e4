"""The student stage: read the run folder, distil, answer for all rated clips, score, draw, and say how it went."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pocketmood.clips import ClipStore
from pocketmood.errors import DataError
from pocketmood.mel import MelFrontEnd
from pocketmood.metrics import bootstrap, paired_difference, paired_ratio, score
from pocketmood.predictions import Predictions, read_predictions, write_predictions
from pocketmood.runs import Stage, stage_fingerprint, stage_record, write_json
from pocketmood.spec import MelSpec
from pocketmood.split import Split
from pocketmood.training import HISTORY, is_main_process
from student.config import StudentConfig
from student.distill import answer, train, whole_clips
from student.mobilevit import Student, load_imagenet, save_student
from student.plots import plot_all
from teacher.answers import Answers
from teacher.cpu import keep_freed_memory

PARTS = ("validation", "test")
_OTHERS = {"teacher": "predictions", "floor": "floor"}
"""Whose answers the student is compared with, and the file of RUN/teacher that holds them."""
_LABELLING = ("label_set", "label_fix", "synthetic_labels")


def run(config: StudentConfig) -> None:
    """Make `RUN/student`, or say that it is up to date; killed and started again it continues."""
    data, teacher = config.run / "data", config.run / "teacher"
    command = f"python -m student --run {config.run}"
    inputs = {
        "data": stage_fingerprint(data, "make data"),
        "teacher": stage_fingerprint(teacher, f"python -m teacher --run {config.run}"),
    }
    stage = Stage(config.run, "student", config, inputs, command)
    if stage.up_to_date(quiet=not is_main_process()):
        return
    keep_freed_memory()
    if is_main_process():
        with stage.work() as folder:
            _work(config, folder, stage.record)
    else:
        _distil(config, stage.part / "training")


def _work(config: StudentConfig, folder: Path, record: dict[str, Any]) -> None:
    """Fill the stage's folder."""
    student, history, warning = _distil(config, folder / "training")
    data, teacher = config.run / "data", config.run / "teacher"
    store, split = ClipStore.open(data / "store"), Split.load(data / "split.json")
    part_of = split.part_of()
    ids = list(part_of)
    labels = store.labels(ids)
    said = answer(student, whole_clips(store, ids, MelFrontEnd(student.spec, config.stride, config.frames)))
    write_predictions(folder / "predictions.csv", ids, list(part_of.values()), said.emotion, said.spread, labels)

    ours = read_predictions(folder / "predictions.csv")
    theirs = {name: read_predictions(teacher / f"{file}.csv") for name, file in _OTHERS.items()}
    metrics = compare(ours, theirs)
    metrics |= {
        "parameters": sum(p.numel() for p in student.parameters()),
        "epochs": len(history),
        "step_seconds": float(np.median([line["step_seconds"] for line in history])),
    }
    metrics["examples_per_second"] = config.batch_size / metrics["step_seconds"]
    write_json(folder / "metrics.json", metrics)
    labelling = {key: stage_record(data, "make data")["record"].get(key) for key in _LABELLING}
    facts = {"weights": config.weights, "started_from_random": bool(warning) or config.weights == "random"}
    save_student(student, folder, {**facts, "labels": labelling, "config": asdict(config) | {"run": None}})
    plot_all(folder / "plots", history, ours.only("test"), theirs["teacher"].only("test"))
    shutil.copyfile(folder / "training" / HISTORY, folder / HISTORY)
    record |= {"model": config.model, "metrics": metrics, "warnings": [warning] if warning else []}
    record["throughput"] = {name: metrics[name] for name in ("step_seconds", "examples_per_second")}
    print(table(config.model, metrics), flush=True)
    shutil.rmtree(folder / "training")


def _distil(config: StudentConfig, folder: Path) -> tuple[Student, list[dict[str, Any]], str | None]:
    """Train a student in `folder`; return it, its history, and the warning about its first weights, if any."""
    data = config.run / "data"
    store, split = ClipStore.open(data / "store"), Split.load(data / "split.json")
    answers = Answers.open(config.run / "teacher" / "answers")
    torch.manual_seed(config.seed)
    student = Student(config.model, config.stride, config.frames, MelSpec(), config.layers)
    warning = load_imagenet(student, config.weights)
    if is_main_process():  # the others would make the work folder before its owner has
        folder.mkdir(parents=True, exist_ok=True)
        if warning:
            rule = "!" * 80
            print(f"{rule}\n{warning}\n{rule}", flush=True)
        unlabelled = len(answers.ids) - len(split.train)
        print(
            f"student: {config.model}, {sum(p.numel() for p in student.parameters()) / 1e6:.2f} M parameters; "
            f"{len(split.train)} rated clips and {unlabelled} unrated, {config.draws} crops of {config.crop_frames} "
            f"frames each per epoch, batches of {config.batch_size}",
            flush=True,
        )
    history = train(student, store, answers, split, config, folder)
    return student.cpu().eval(), history, warning


def compare(ours: Predictions, others: Mapping[str, Predictions]) -> dict[str, Any]:
    """Score the student on validation and test, beside teacher and floor on the same songs, with intervals."""
    metrics: dict[str, Any] = {}
    for part in PARTS:
        here = ours.only(part)
        metrics[part] = {"songs": len(here.ids), **_scored(here)}
        for name, predictions in others.items():
            there = _same_songs(here, predictions.only(part), name)
            metrics[part][name] = _scored(there)
            metrics[part][f"difference_to_{name}"] = paired_difference(
                here.emotion, there.emotion, here.labels, here.ids
            )._asdict()
            if name == "teacher":
                metrics[part]["ratio_to_teacher"] = _ratio(here, there)
    return metrics


def _scored(predictions: Predictions) -> dict[str, float]:
    """Score predictions and add the interval of the mean CCC."""
    low, high = bootstrap(predictions.emotion, predictions.labels, predictions.ids)
    return {**score(predictions.emotion, predictions.labels), "ccc_mean_low": low, "ccc_mean_high": high}


def _ratio(here: Predictions, there: Predictions) -> dict[str, float] | None:
    """Return the share of the teacher's CCC that the student keeps; None where the teacher's own may as well be 0."""
    try:
        ratio = paired_ratio(here.emotion, there.emotion, here.labels, here.ids)
    except DataError:
        return None
    return {"ratio": ratio.difference, "low": ratio.low, "high": ratio.high}


def _same_songs(here: Predictions, there: Predictions, name: str) -> Predictions:
    """Bring another's predictions into our order; DataError if a song is missing."""
    row = {id_: index for index, id_ in enumerate(there.ids)}
    lacking = [id_ for id_ in here.ids if id_ not in row]
    if lacking:
        raise DataError(f"{name}: no prediction for {len(lacking)} songs, first {lacking[0]!r}; run the teacher again")
    order = [row[id_] for id_ in here.ids]
    return Predictions(here.ids, here.splits, there.emotion[order], there.spread[order], here.labels)


def table(model: str, metrics: Mapping[str, Any]) -> str:
    """Lay out what matters as a small table."""
    rows = [f"{'':22}{'validation':>12}{'test':>8}   95 % interval   valence  arousal"]
    for title, key in (("floor (ridge)", "floor"), ("teacher", "teacher"), (f"student ({model})", "")):
        validation, test = (metrics[part][key] if key else metrics[part] for part in PARTS)
        rows.append(
            f"{title:22}{validation['ccc_mean']:12.3f}{test['ccc_mean']:8.3f}   "
            f"[{test['ccc_mean_low']:.3f}, {test['ccc_mean_high']:.3f}]  {test['ccc_valence']:8.3f} "
            f"{test['ccc_arousal']:8.3f}"
        )
    test = metrics["test"]
    kept = test["ratio_to_teacher"]
    share = (
        f"{kept['ratio']:.1%} [{kept['low']:.1%}, {kept['high']:.1%}]"
        if kept
        else "a share of nothing: the teacher's CCC may as well be 0"
    )
    rows.append(f"kept of the teacher: {share}")
    above = test["difference_to_floor"]
    rows.append(f"above the floor: {above['difference']:+.3f} [{above['low']:+.3f}, {above['high']:+.3f}]")
    rows.append(f"mean CCC on {test['songs']} test songs; {metrics['examples_per_second']:.0f} crops per second")
    return "\n".join(rows)
