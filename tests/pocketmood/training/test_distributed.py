"""What several processes share, as one process sees it; two of them stand in test_two_processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pocketmood.processes import is_main_process
from pocketmood.runs import Stage
from pocketmood.training.distributed import agree, gather, work


def test_gathering_in_one_process_changes_nothing() -> None:
    rows = torch.rand(3, 2)
    assert gather(rows) is rows


def test_one_process_is_the_main_one_and_agrees_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert is_main_process() and agree(True) and not agree(False)
    monkeypatch.setenv("RANK", "1")
    assert not is_main_process()


def test_other_processes_read_the_record_that_the_main_one_has_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, other = (Stage(tmp_path, "thing", {"size": 1}) for _ in range(2))
    monkeypatch.setenv("RANK", "1")
    with work(other) as folder:
        assert folder == main.part
        with main.work():
            main.record["songs"] = 3
    assert other.record == {"songs": 3}
