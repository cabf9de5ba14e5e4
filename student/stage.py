"""The student stage: read the run folder, distil, calibrate, answer for all rated clips, score, draw, report.

Under `torchrun` every process trains; the main one alone does everything else while the others wait.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pocketmood.calibration import LEVELS, conformal_factor, coverage
from pocketmood.errors import DataError
from pocketmood.metrics import AXES, NO_SHARE, bootstrap, paired_difference, score, share_kept
from pocketmood.predictions import Predictions, read_predictions, write_predictions
from pocketmood.runs import Stage, stage_record, write_json
from pocketmood.training import distributed
from pocketmood.training.device import keep_freed_memory
from pocketmood.training.distributed import is_main_process
from pocketmood.training.schedule import HISTORY
from student.config import StudentConfig
from student.mobilevit import save_student
from student.plots import plot_all
from student.train_once import Material, Trained, discard, distil, open_material, stage_inputs, whole_answers

PARTS = ("validation", "test")
_OTHERS = {"teacher": "predictions", "floor": "floor"}
"""Whose answers the student is compared with, and the file of RUN/teacher that holds them."""
_LABELLING = ("label_set", "label_fix", "synthetic_labels")


def run(config: StudentConfig) -> None:
    """Make `RUN/student`, or say that it is up to date; killed and started again it continues."""
    command = f"python -m student --run {config.run}"
    stage = Stage(config.run, "student", config, stage_inputs(config.run), command)
    distributed.join()
    if distributed.up_to_date(stage):
        return
    keep_freed_memory()
    material = open_material(config.run)
    with distributed.work(stage) as folder:
        if is_main_process():
            _work(config, material, folder, stage.record)
        else:
            distil(material, config, folder / "training")


def _work(config: StudentConfig, material: Material, folder: Path, record: dict[str, Any]) -> None:
    """Fill the stage's folder."""
    trained = distil(material, config, folder / "training")
    part_of = material.split.part_of()
    ids, parts = list(part_of), list(part_of.values())
    said, labels = whole_answers(trained.student, material.store, ids), material.store.labels(ids)
    warnings = [trained.warning] if trained.warning else []
    unseen = np.array(parts) == "validation"
    scale = conformal_factor(said.emotion[unseen], said.interval68[unseen], labels[unseen])
    with torch.no_grad():
        trained.student.interval_scale.mul_(torch.from_numpy(scale))
    interval68 = said.interval68 * trained.student.interval_scale.numpy()
    predictions = Predictions(tuple(ids), tuple(parts), said.emotion, labels, interval68=interval68)
    write_predictions(folder / "predictions.csv", predictions)

    ours = read_predictions(folder / "predictions.csv")
    theirs = {name: read_predictions(config.run / "teacher" / f"{file}.csv") for name, file in _OTHERS.items()}
    items = len(material.soft_targets.ids) * config.draws
    metrics = compare(ours, theirs) | _facts(trained, batch=min(config.schedule.batch_size, items))
    for part in PARTS:
        here = ours.only(part)
        assert here.interval68 is not None  # it was written a few lines above
        known = material.store.deviations(here.ids)
        metrics[part]["coverage"] = coverage(here.emotion, here.interval68, here.labels, known)
    write_json(folder / "metrics.json", metrics)
    _save(config, trained, folder)
    plot_all(folder / "plots", trained.history, ours.only("test"), theirs["teacher"].only("test"))
    shutil.copyfile(folder / "training" / HISTORY, folder / HISTORY)
    record |= {"model": config.model, "metrics": metrics, "warnings": warnings}
    record["throughput"] = {name: metrics[name] for name in ("step_seconds", "examples_per_second")}
    print(table(config.model, metrics), flush=True)
    discard(folder / "training")


def _facts(trained: Trained, batch: int) -> dict[str, Any]:
    """Return what is known beside the scores; batch: crops per step."""
    step_s = float(np.median([line["step_seconds"] for line in trained.history]))
    return {
        "interval_scale": dict(zip(AXES, trained.student.interval_scale.tolist(), strict=True)),
        "parameters": sum(p.numel() for p in trained.student.parameters()),
        "epochs": len(trained.history),
        "step_seconds": step_s,
        "examples_per_second": batch / step_s,
    }


def _save(config: StudentConfig, trained: Trained, folder: Path) -> None:
    """Write the student with what later stages must know of it."""
    labelling = stage_record(config.run / "data", "make data")["record"]
    facts = {
        "weights": config.weights,
        "started_from_random": bool(trained.warning) or config.weights == "random",
        "labels": {key: labelling.get(key) for key in _LABELLING},
        "config": asdict(config) | {"run": None},
    }
    save_student(trained.student, folder, facts)


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
                metrics[part]["ratio_to_teacher"] = share_kept(here.emotion, there.emotion, here.labels, here.ids)
    return metrics


def _scored(predictions: Predictions) -> dict[str, float]:
    """Score predictions and add the interval of the mean CCC."""
    low, high = bootstrap(predictions.emotion, predictions.labels, predictions.ids)
    return {**score(predictions.emotion, predictions.labels), "ccc_mean_low": low, "ccc_mean_high": high}


def _same_songs(here: Predictions, there: Predictions, name: str) -> Predictions:
    """Bring another's predictions into our order; DataError if a song is missing."""
    row = {id_: index for index, id_ in enumerate(there.ids)}
    lacking = [id_ for id_ in here.ids if id_ not in row]
    if lacking:
        raise DataError(f"{name}: no prediction for {len(lacking)} songs, first {lacking[0]!r}; run the teacher again")
    return replace(there.take([row[id_] for id_ in here.ids]), splits=here.splits, labels=here.labels)


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
    share = f"{kept['ratio']:.1%} [{kept['low']:.1%}, {kept['high']:.1%}]" if kept else NO_SHARE
    rows.append(f"kept of the teacher: {share}")
    above = test["difference_to_floor"]
    rows.append(f"above the floor: {above['difference']:+.3f} [{above['low']:+.3f}, {above['high']:+.3f}]")
    rows += interval_lines(metrics)
    rows.append(f"mean CCC on {test['songs']} test songs; {metrics['examples_per_second']:.0f} crops per second")
    return "\n".join(rows)


def interval_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Say how often ratings of test songs lie inside the intervals, and what the calibration did."""
    covered, scale = metrics["test"]["coverage"], metrics["interval_scale"]
    factors = ", ".join(f"{axis} x{scale[axis]:.2f}" for axis in AXES)
    lines = [f"interval68, scaled on validation ({factors}):"]
    for level in LEVELS:
        songs, single = covered["songs"][level], covered["listeners"][level]
        share = f"{single['mean']:.0%} of single ratings (expected)" if single else "(no deviations known)"
        lines.append(f"  inside the {level} % interval: the mean ratings of {songs['mean']:.0%} of songs, {share}")
    return lines
