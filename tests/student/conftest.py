"""What several of the student's tests begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocketmood.data.run_folder import RunFolder
from student.training_set import TrainingData
from tests.helpers.soft_targets import make_teacher


@pytest.fixture
def data(tiny_run: Path) -> TrainingData:
    """Return clips, split and soft targets of the tiny run."""
    make_teacher(tiny_run)
    return TrainingData.open(RunFolder(tiny_run))
