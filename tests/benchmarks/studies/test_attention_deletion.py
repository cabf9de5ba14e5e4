"""Hiding what rollout marks: which values are hidden, what movements amount to, and the stored table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.studies import attention_deletion
from benchmarks.studies.attention_deletion import AttentionDeletionConfig, hidden, judge, run
from pocketmood.errors import ConfigError, RunError
from pocketmood.runs import Stage
from teacher.config import VitConfig
from teacher.vit import build_teacher, save_teacher
from tests.helpers.fine_tuned import fine_tuned


def test_the_patches_with_the_highest_scores_become_the_mean() -> None:
    mel = torch.arange(32.0).reshape(1, 1, 4, 8)
    scores = torch.tensor([[[0.1, 0.9, 0.2, 0.0], [0.0, 0.3, 0.0, 0.4]]])  # patches of 2 x 2
    found = hidden(mel, scores, 0.25)[0, 0]
    expected = mel[0, 0].clone()
    expected[:2, 2:4] = expected[2:, 6:] = 15.5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert int((hidden(mel, scores, 0.01) != mel).sum()) == 4  # one patch at least


def test_movements_are_averaged_and_compared_song_by_song() -> None:
    moved = np.array([[0.5, 0.2, 0.1], [0.7, 0.6, 0.3], [0.6, 0.4, 0.2]])
    row = judge("net", moved, 0)
    assert (row.most, row.lot, row.least) == pytest.approx((0.6, 0.4, 0.2), rel=0, abs=1e-12)
    assert row.difference.difference == pytest.approx(0.2, rel=0, abs=1e-12)
    # Of the three gains (.3, .1, .2), a resampling's mean lies between the least and the largest.
    assert 0.1 - 1e-12 <= row.difference.low < 0.2 < row.difference.high <= 0.3 + 1e-12


def test_a_teacher_without_a_baseline_has_a_row_of_its_own(tiny_run: Path, tmp_path: Path) -> None:
    config = AttentionDeletionConfig(tiny_run, out=tmp_path / "table")
    with pytest.raises(RunError, match="make teacher"):
        run(config)
    torch.manual_seed(0)
    vit = VitConfig(width=16, layers=1, heads=2, period_frames=64, frames=128, stride=10)
    with Stage(tiny_run, "teacher", {}).work() as work:
        save_teacher(work, build_teacher(vit), vit, fine_tuned())
    run(config)
    stored = json.loads((tmp_path / "table.json").read_text())
    assert [row["name"] for row in stored["rows"]] == ["teacher"] and stored["songs"] == 4
    assert all(stored["rows"][0][order] > 0 for order in attention_deletion.ORDERS)
    text = (tmp_path / "table.md").read_text()
    run(config)
    assert (tmp_path / "table.md").read_text() == text  # the lot is drawn by the seed
    run(replace(config, seed=1))
    assert (tmp_path / "table.md").read_text() != text


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_that_hides_nothing_or_all_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=f"--share {share} must lie"):
        AttentionDeletionConfig(Path("runs/x"), share)
