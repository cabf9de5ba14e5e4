"""The peak of a GPU's memory per stage and step, on a faked counter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pocketmood.gpu_memory import gpu_peak
from pocketmood.runs import STAGE_FILE, Stage, read_json, read_stage, write_json


class Counter:
    """torch.cuda's counter: the largest size since its last reset."""

    def __init__(self) -> None:
        self.size = self.largest = 0

    def allocate(self, size: int) -> None:
        self.size = size
        self.largest = max(self.largest, size)

    def reset(self) -> None:
        self.largest = self.size


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    fake = Counter()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: fake.largest)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", fake.reset)
    return fake


def test_each_step_has_its_own_peak_and_the_stage_the_largest(counter: Counter) -> None:
    counter.allocate(900)
    counter.allocate(0)
    with gpu_peak() as whole:
        counter.allocate(50)
        with gpu_peak() as first:
            counter.allocate(300)
            counter.allocate(10)
            assert first() == 300
        with gpu_peak() as second:
            counter.allocate(200)
            assert second() == 200  # the 300 of before do not count
        assert whole() == 300  # and the 900 from before the stage do not
        counter.allocate(400)
        assert whole() == 400


def test_a_step_that_fails_leaves_the_stage_its_own(counter: Counter) -> None:
    with gpu_peak() as whole:
        with pytest.raises(KeyError), gpu_peak():
            counter.allocate(70)
            raise KeyError
        counter.allocate(20)
        assert whole() == 70


def test_without_a_gpu_there_is_none(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "thing", {})
    with stage.work():
        pass
    assert read_json(stage.folder / STAGE_FILE)["peak_gpu_bytes"] is None


def test_the_stage_file_names_it_and_older_ones_are_still_read(tmp_path: Path, counter: Counter) -> None:
    stage = Stage(tmp_path, "thing", {})
    with stage.work():
        counter.allocate(123)
    assert read_stage(stage.folder).peak_gpu_bytes == 123
    values = read_json(stage.folder / STAGE_FILE)
    del values["peak_gpu_bytes"]
    write_json(stage.folder / STAGE_FILE, values)
    assert read_stage(stage.folder).peak_gpu_bytes is None
