"""The cosine's two shapes and the end of patience, both by hand."""

from __future__ import annotations

import math

import pytest

from pocketmood.training.epoch import is_better, out_of_patience
from pocketmood.training.history import BestRecord
from pocketmood.training.optimizer import cosine
from pocketmood.training.schedule import Schedule
from teacher.presets import PRESETS

# The recipe's: 24 epochs, layers join in epochs 8, 12 and 16.
RECIPE = Schedule(epochs=24, patience=5, restarts=(7, 11, 15))


def test_a_cosine_to_the_last_step_is_cut_short_by_a_restart() -> None:
    def rate(step: int) -> float:
        return cosine(step, total=24, warmup=0, restarts=[8, 16], last=0.1, to_last=True)

    assert rate(0) == rate(8) == rate(16) == 1
    assert rate(6) == pytest.approx(0.1 + 0.45 * (1 + math.cos(math.pi / 4)), rel=0, abs=1e-12)  # 6 of 24
    assert rate(7) == pytest.approx(0.1 + 0.45 * (1 + math.cos(math.pi * 7 / 24)), rel=0, abs=1e-12)
    assert rate(12) == pytest.approx(0.1 + 0.45 * (1 + math.cos(math.pi / 4)), rel=0, abs=1e-12)  # 4 of 8 .. 24
    assert rate(20) == pytest.approx(0.55, rel=0, abs=1e-12)  # half of 16 .. 24
    assert rate(24) == pytest.approx(0.1, rel=0, abs=1e-12)


def test_both_shapes_are_one_without_restarts() -> None:
    for step in range(21):
        assert cosine(step, 20, 4, [], 0.1, to_last=True) == cosine(step, 20, 4, [], 0.1)


def test_full_and_streamlined_have_the_recipes_shape_and_the_demo_its_own() -> None:
    for name in ("full", "streamlined"):
        training = PRESETS[name].training
        schedule = training.schedule
        assert (schedule.warmup, schedule.cosine_end, schedule.patience, schedule.workers) == (0, "last", 5, 2)
        assert training.best_by == "loss"
    demo = PRESETS["demo"].training
    assert (demo.schedule.warmup, demo.schedule.cosine_end, demo.best_by) == (0.15, "restart", "ccc")


@pytest.mark.parametrize(
    ("best", "ends"),
    [
        (1, 6),  # before the first layers join in epoch 8
        (6, 11),  # between two unfreezings: that of epoch 8 brought nothing, and that of epoch 12 is not waited for
        (8, 13),
        (15, 20),
        (17, 22),
        (20, None),  # the 24 epochs end first
    ],
)
def test_patience_by_hand(best: int, ends: int | None) -> None:
    stops = [done for done in range(best, 25) if out_of_patience(done, best, RECIPE)]
    assert (stops[0] if stops else None) == ends


def test_patience_of_0_and_without_restarts() -> None:
    assert not out_of_patience(100, 1, Schedule(epochs=200))
    plain = Schedule(epochs=30, patience=5)
    assert [out_of_patience(done, 3, plain) for done in (7, 8, 9)] == [False, True, True]


def test_better_is_lower_for_a_loss_and_higher_for_a_score() -> None:
    best = BestRecord(1, "loss", 0.5)
    assert is_better(0.4, best, lowest=True) and not is_better(0.4, best, lowest=False)
    assert not is_better(0.5, best, lowest=True) and not is_better(0.5, best, lowest=False)
    assert is_better(math.nan, None, lowest=True)  # there must be weights
    assert not is_better(math.nan, best, lowest=True) and not is_better(math.inf, best, lowest=False)
