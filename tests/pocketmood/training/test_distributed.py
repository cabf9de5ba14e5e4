"""What several processes share, as one process sees it; two of them stand in test_two_processes."""

from __future__ import annotations

import pytest
import torch

from pocketmood.training.distributed import agree, gather, is_main_process


def test_gathering_in_one_process_changes_nothing() -> None:
    rows = torch.rand(3, 2)
    assert gather(rows) is rows


def test_one_process_is_the_main_one_and_agrees_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert is_main_process() and agree(True) and not agree(False)
    monkeypatch.setenv("RANK", "1")
    assert not is_main_process()
