"""Crops per second of a stage's training, from its config and its history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import training
from pocketmood.data.run_folder import RunFolder
from pocketmood.runs import Stage
from pocketmood.training.history import EpochRecord, write_history


@pytest.mark.parametrize(
    ("name", "config"),
    [("teacher", {"training": {"schedule": {"batch_size": 30}}}), ("student", {"schedule": {"batch_size": 30}}),
     ("student", {})],
)  # fmt: skip
def test_the_batch_over_the_middle_epochs_seconds_per_step(tmp_path: Path, name: str, config: dict[str, Any]) -> None:
    run = RunFolder(tmp_path)
    with Stage(tmp_path, name, config).work() as work:
        seconds = (9.0, 0.5, 0.25)
        write_history(work, [EpochRecord(n, 10 * n, 1e-3, {}, {}, 1.0, step) for n, step in enumerate(seconds, 1)])
    found = training.examples_per_second(run, name, {name: run.stage_file(name)})
    assert found == (60.0 if config else None)  # 30 / .5, the middle one
    assert training.examples_per_second(run, name, {}) is None
