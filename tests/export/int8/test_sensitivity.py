"""Sensitivity and search on the tiny student: roundings by hand, rows that the slow way confirms, limits that hold."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from export.int8 import search as s
from export.int8 import sensitivity
from export.int8.quantise import SUMS
from export.parity import sqnr_db
from export.rewrite import for_xnnpack
from pocketmood.errors import ExportError
from tests.helpers import export_fixtures as tiny

CONVOLUTIONS = {"first.conv": (1, 8 * 9), "second.conv": (1, 16 * 8 * 9), "last.conv": (1, 256)}
LINEARS = {"block linears": (4, 16 * 48 + 16 * 16 + 2 * 16 * 64)}
HEADS = {"emotion_head linears": (1, 32), "interval68_head linears": (1, 32)}
POSITIONS = 9 * 17
"""Of the tiny student's last map: timm pads a 3 x 3 convolution of stride 4 by two on each side."""


@functools.cache
def mels() -> Tensor:
    front = tiny.pipeline().front
    with torch.inference_mode():
        return torch.cat([front(torch.from_numpy(wave)) for wave in tiny.waves(5)])


@functools.cache
def network() -> sensitivity.Roundable:
    return sensitivity.Roundable(for_xnnpack(tiny.pipeline()), mels()[:4])


def labels() -> np.ndarray[Any, Any]:
    return network().predict(mels(), ())[:, :2] + np.random.default_rng(0).normal(0, 0.01, (5, 2))


class Observer:
    """Found steps of .5 from -1 to 2, or one step per channel."""

    quant_min, quant_max = -3, 3

    def __init__(self, *scales: float) -> None:
        self.scales = scales

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.scales, dtype=torch.float64), torch.tensor([-1] * len(self.scales))


def test_rounding_by_hand() -> None:
    rounding = sensitivity.Rounding(Observer(0.5))
    given = torch.tensor([-9.0, -0.3, 0.2, 0.75, 1.1, 9.0])
    assert rounding(given) is given
    rounding.on = True
    # steps -3..3 around -1: from -1 to 2; .75 lies between two steps and goes to the even one
    assert rounding(given).tolist() == [-1.0, -0.5, 0.0, 1.0, 1.0, 2.0]
    per_channel = sensitivity.Rounding(Observer(0.5, 2.0))
    per_channel.on = True
    assert per_channel(torch.tensor([[0.6, 9.0], [0.6, 9.0]])).tolist() == [[0.5, 1.5], [0.0, 6.0]]


def test_groups_count_operators_weights_and_products() -> None:
    groups = network().groups
    assert {name: (group.operators, group.weights) for name, group in groups.items() if name != SUMS} == {
        **CONVOLUTIONS,
        **LINEARS,
        **HEADS,
    }
    assert groups[SUMS][0] == 2 and groups[SUMS].weights == 0
    assert groups["second.conv"].multiply_adds == 16 * 8 * 9 * POSITIONS
    assert groups["block linears"].multiply_adds == LINEARS["block linears"][1] * POSITIONS
    assert {name for name, group in groups.items() if not group.may_ship} == set(HEADS)


def test_float_predictions_are_the_pipelines_own() -> None:
    rewritten = for_xnnpack(tiny.pipeline())
    with torch.inference_mode():
        wanted = np.concatenate([torch.cat(rewritten(torch.from_numpy(wave)), 1).numpy() for wave in tiny.waves(5)])
    np.testing.assert_allclose(network().predict(mels(), ()), wanted, rtol=0, atol=1e-5)


def test_rows_are_those_of_whole_runs() -> None:
    """The slow twin runs all of the network for every group; the table's way takes over what lies before the group."""
    plain, found = network().one_by_one(mels())
    np.testing.assert_allclose(plain, network().predict(mels(), ()), rtol=0, atol=1e-6)
    for name in network().groups:
        error = np.abs(found[name] - network().predict(mels(), [name]))
        # A last bit that depends on where a tensor lies in memory may change an int8 step, seldom.
        assert np.mean(error < 1e-6) >= 0.75 and error.max() < 5e-3, name
        assert np.mean(np.abs(found[name] - plain) > 1e-6) > 0.5 or name.startswith("interval68"), name
    rows = sensitivity.measure(network(), mels(), labels())
    assert [row.emotion_rms_error for row in rows] == sorted((row.emotion_rms_error for row in rows), reverse=True)
    worst = rows[0]
    error = found[worst.group][:, :2].astype(np.float64) - plain[:, :2]
    assert (
        worst.emotion_max_error == pytest.approx(np.abs(error).max(), rel=1e-9, abs=0) and worst.emotion_max_error > 0
    )
    assert worst.emotion_sqnr_db == sqnr_db(found[worst.group][:, :2], plain[:, :2])
    text = sensitivity.table(rows, {worst.group})
    assert len(text.splitlines()) == len(rows) + 1
    assert [line.split()[-1] for line in text.splitlines()[1:]] == ["float", *["int8"] * (len(rows) - 1)]


def test_without_clips_there_is_no_table() -> None:
    with pytest.raises(ExportError, match="at least one training clip"):
        sensitivity.Roundable(for_xnnpack(tiny.pipeline()), mels()[:0])


@pytest.mark.parametrize("threshold", range(8))
def test_the_fewest_that_are_good(threshold: int) -> None:
    tried: list[int] = []

    def is_good(count: int) -> bool:
        tried.append(count)
        return count >= threshold

    found = s.fewest(is_good, 6)
    assert found == (threshold if threshold <= 6 else None)
    assert len(tried) <= 5 and len(set(tried)) == len(tried)


def row(group: str, saved: int, products: int, error: float) -> sensitivity.Row:
    return sensitivity.Row(group, 1, saved, products, 2 * error, error, 40.0, 0.0)


def test_noisy_groups_that_save_little_leave_first() -> None:
    rows = [row("a", 100, 10, 0.1), row("b", 1000, 10, 0.2), row("sums", 0, 0, 1e-3), row("c", 100, 1000, 0.2)]
    # noise power per gain: a 1e-4, b 4e-5, sums 1e-6, c 4e-4; by products a 1e-3, b 4e-3, sums 1e-6, c 4e-5
    assert [row.group for row in s.order(rows, "size")] == ["c", "a", "b", "sums"]
    assert [row.group for row in s.order(rows, "speed")] == ["b", "a", "c", "sums"]


def test_the_search_leaves_what_the_limits_ask_for() -> None:
    rows = sensitivity.measure(network(), mels(), labels())

    def choose(drop: float, drift: float, error: float) -> s.Choice:
        return s.search(network(), rows, mels(), labels(), s.Cost(drop, drift, error), "size")

    lenient = choose(2.0, 1.0, 1.0)
    assert set(lenient.left) == set(HEADS) and lenient.trials == 2
    assert all("always float" in reason for reason in lenient.left.values())
    for limits in (
        (2.0, 0.75 * lenient.cost.drift, 1.0),
        (2.0, 1.0, 0.75 * lenient.cost.max_error),
    ):
        strict = choose(*limits)
        assert set(strict.left) > set(HEADS) and strict.trials > 1
        assert all(cost <= limit for cost, limit in zip(strict.cost, limits, strict=True))
    with pytest.raises(ExportError, match="costs too much everywhere"):
        choose(-2.0, 1.0, 1.0)


def test_drift_by_hand() -> None:
    """The first output changes by 3e-3 and 1e-3, the third by 2e-3 twice: sqrt(5) and 2 thousandths."""
    given, change = torch.zeros(2, 1, 4, 4), np.array([[3e-3, 0, 2e-3, 0], [-1e-3, 0, 2e-3, 0]], np.float32)
    heard: list[Tensor] = []

    class Network:
        def predict(self, mels: Tensor, groups: Sequence[str]) -> np.ndarray[Any, Any]:
            heard.append(mels)
            return change

    found = s.drift(Network(), ["a"], given, np.zeros((2, 4), np.float32))  # type: ignore[arg-type]
    assert found == pytest.approx(4.5 * np.sqrt(5) * 1e-3, rel=1e-6, abs=0)
    assert 5e-7 < heard[0].std() < 2e-6


def test_a_choice_may_use_half_of_what_the_gate_to_fp32_allows() -> None:
    assert s.limits_of(0.01, 5e-3, 0.03) == (0.01, 5e-3, 0.015)
