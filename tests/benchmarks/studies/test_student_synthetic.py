"""The study of synthetic clips for the student: a small run of it that is kept, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.studies import student_synthetic
from benchmarks.studies.student_synthetic import PRESETS, StudentSyntheticConfig
from pocketmood.errors import ConfigError
from pocketmood.spec import MelSpec
from teacher import stage as teacher_stage
from teacher.gan.model import Generator, save_generator
from teacher.presets import PRESETS as TEACHERS
from tests.helpers.gan import gan_record


def test_a_study_without_clips_is_refused() -> None:
    with pytest.raises(ConfigError, match="--clips 0"):
        StudentSyntheticConfig(clips=0)


@pytest.mark.slow
def test_both_arms_take_the_same_steps_and_are_kept(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = replace(TEACHERS["smoke"], run=tiny_run, synthetic=0, baseline=False)
    teacher_stage.run(quick)
    torch.manual_seed(0)
    (tmp_path / "gan").mkdir()
    save_generator(Generator(8, 4, 2), tmp_path / "gan", gan_record(MelSpec().hash))

    smoke = PRESETS["smoke"]
    student = replace(smoke.student, run=tiny_run)
    config = replace(smoke, student=student, generator=tmp_path / "gan", out=tmp_path / "out")
    assert student_synthetic.run(config, "python -m x") == 0
    result = json.loads((tmp_path / "out.json").read_text())
    real, synthetic = (arm["facts"] for arm in result["arms"])
    # 24 crops in batches of 8, two epochs: 6 steps, which the 16 crops of the other arm take in three.
    assert (real["clips"], synthetic["clips"]) == (16, 24) and real["steps"] == synthetic["steps"] == 6

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr("student.train_once.train_student", refuse)
    monkeypatch.setattr("teacher.gan.synthesis.draw_clips", refuse)
    assert student_synthetic.run(config, "python -m x") == 0
    assert json.loads((tmp_path / "out.json").read_text()) == result
