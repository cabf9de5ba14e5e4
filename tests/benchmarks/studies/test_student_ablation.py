"""The student's ablation: what each arm has, equal steps, and a small run of it all that is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies import ablation, student_ablation
from benchmarks.studies.student_ablation import (
    ARMS,
    PRESETS,
    StudentAblationConfig,
    equal_steps,
    only_clips,
    only_terms,
    prepared,
    sentences,
)
from pocketmood.data.run_folder import RunFolder
from pocketmood.data.split import Split
from pocketmood.errors import ConfigError, RunError
from pocketmood.training.schedule import Schedule
from student.config import PRESETS as STUDENTS
from student.config import LossConfig
from student.training_set import TrainingData
from tests.helpers.soft_targets import make_teacher


def test_arms_have_the_terms_they_say() -> None:
    recipe = LossConfig(labels=1, response=5, features=0.5, rater_sd=0.1, feature_measure="relational", gate=True)
    found = [only_terms(recipe, terms) for terms in ARMS.values()]
    weights = [(loss.labels, loss.response, loss.features, loss.rater_sd) for loss in found]
    assert weights == [(1, 0, 0, 0), (1, 5, 0, 0), (1, 0, 0.5, 0), (1, 5, 0.5, 0.1)]
    assert found[3] == recipe and all(loss.gate and loss.feature_measure == "relational" for loss in found)


def test_fewer_clips_are_passed_more_often() -> None:
    recipe = replace(STUDENTS["smoke"], draws=2, schedule=Schedule(epochs=3, batch_size=8))
    # 40 clips: 10 steps per epoch, 30 in all; 12 clips: 3 steps per epoch, 30 of them within the tenth epoch
    shorter = equal_steps(recipe, 12, 40)
    assert shorter.schedule.epochs == pytest.approx(29.5 / 3, rel=1e-12, abs=0)
    assert np.ceil(shorter.schedule.epochs * (12 * 2 // 8)) == 30


def test_only_the_arm_without_a_teacher_leaves_unrated_music_out(tiny_run: Path) -> None:
    make_teacher(tiny_run)
    data = TrainingData.open(RunFolder(tiny_run))
    rated = data.split.train[:12]
    mixed = data._replace(split=Split(rated, data.split.validation, data.split.test, 0, "song"))
    recipe = replace(STUDENTS["smoke"], schedule=Schedule(epochs=2, batch_size=4))
    for arm in ARMS:
        config, music = prepared(arm, recipe, mixed)
        assert len(music.soft_targets.ids) == (12 if arm == "labels" else 16)
        assert config.schedule.epochs == (pytest.approx(7.5 / 3) if arm == "labels" else 2)
    assert prepared("labels", recipe, data)[1] is data
    half = only_clips(data.soft_targets, data.soft_targets.ids[3:5])
    assert half.ids == data.soft_targets.ids[3:5] and half.index(half.ids[1]) == 1
    assert np.array_equal(half.features, data.soft_targets.features[3:5])


def test_each_arm_has_its_sentence() -> None:
    rng = np.random.default_rng(0)
    label = rng.uniform(-0.8, 0.8, (80, 2))
    noises = {"labels": 0.5, "response": 0.2, "features": 0.5, "all": 0.2}
    predicted = {arm: (label + noise * rng.standard_normal(label.shape))[None] for arm, noise in noises.items()}
    rows = ablation.compare(predicted, label)
    beyond = ablation.compare({arm: predicted[arm] for arm in ("response", "all")}, label)[1]
    found = sentences(rows, beyond, 80)
    assert len(found) == 5
    assert found[0].startswith("The teacher's predictions, beside ratings, helped: +")
    assert found[1].startswith("The teacher's features, beside ratings, made no difference")
    assert found[2].startswith("All of it, against ratings alone, helped") and "no difference" in found[3]
    assert found[4].startswith("80 test songs; every arm took the same optimiser steps")
    assert found[4].endswith(f" is the best on validation. {ablation.intervals(1)}")


def test_numbers_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigError, match="seeds 0"):
        replace(PRESETS["demo"], seeds=0)
    with pytest.raises(ConfigError, match="epochs 0 must be above 0"):
        replace(PRESETS["demo"], epochs=0)
    with pytest.raises(ConfigError, match=r"no features; give --student\.loss\.features a weight"):
        StudentAblationConfig(student=replace(STUDENTS["demo"], loss=LossConfig(features=0)))


def test_the_command_reaches_the_ablation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given_to_run: list[tuple[StudentAblationConfig, str]] = []
    monkeypatch.setattr(student_ablation, "run", lambda *given: given_to_run.append(given))
    words = ["--preset", "smoke", "--student.run", "runs/x", "--seeds", "2", "--epochs", "1"]
    student_ablation.main(words)
    ((config, command),) = given_to_run
    student = replace(STUDENTS["smoke"], run=Path("runs/x"))
    assert config == replace(PRESETS["smoke"], student=student, seeds=2, epochs=1)
    assert command == " ".join(["python -m benchmarks.studies.student_ablation", *words])


@pytest.mark.slow
def test_a_small_ablation_is_written_and_kept(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student = replace(STUDENTS["smoke"], run=tiny_run)
    config = StudentAblationConfig(student=student, seeds=1, epochs=1, out=tmp_path / "student")
    with pytest.raises(RunError, match=f"make teacher RUN={tiny_run}"):
        student_ablation.run(config)
    make_teacher(tiny_run)
    student_ablation.run(config, "a command")
    text = (tmp_path / "student.md").read_text()
    stored = json.loads((tmp_path / "student.json").read_text())
    assert [arm["name"] for arm in stored["arms"]] == list(ARMS) and stored["command"] == "a command"
    assert {arm["facts"]["steps"] for arm in stored["arms"]} == {2}  # 16 clips in batches of 8, once
    assert all(-1 <= arm["ccc"] <= 1 for arm in stored["arms"]) and len(stored["notes"]) == 5
    for arm in ARMS:
        folder = tiny_run / "ablation" / "student" / f"{arm}-0"
        left = {path.name for path in folder.iterdir()}
        records = {"metrics.jsonl", "best.json", "training.json", "stage.json"}
        assert left == {"model.safetensors", "config.json", "predictions.csv"} | records
    from student import train_once

    monkeypatch.setattr(train_once, "train_student", None)  # nothing may train again
    student_ablation.run(config, "a command")
    assert (tmp_path / "student.md").read_text() == text
