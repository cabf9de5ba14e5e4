"""The record of a single training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from pocketmood.errors import RunError
from pocketmood.runs import Stage
from student.record import TrainingRecord


def test_a_finished_training_is_read_back(tmp_path: Path) -> None:
    record = TrainingRecord(40, 0.25, 950_000, ("its weights were random",))
    stage = Stage(tmp_path, "all-0", {})
    with stage.work():
        stage.record |= asdict(record)
    again = Stage(tmp_path, "all-0", {})
    assert again.up_to_date(quiet=True) and TrainingRecord.of(stage) == TrainingRecord.of(again) == record


def test_another_versions_record_is_refused(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "all-0", {})
    stage.record |= {"steps": 40}
    with pytest.raises(RunError, match=r"all-0: the record of a training needs exactly .*'parameters'.* run it again"):
        TrainingRecord.of(stage)
