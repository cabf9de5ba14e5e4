"""Palettes by hand and against chance; which operators and weights of a program belong to the network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from export.coreml import compress
from export.rewrite import for_coreml
from pocketmood.errors import ExportError
from tests.helpers import export_fixtures as tiny


def test_a_palette_that_is_large_enough_keeps_every_value() -> None:
    weight = np.repeat(np.linspace(-1, 1, 64, dtype=np.float32), 5).reshape(32, 10)
    table, indices = compress.palette(weight)
    assert table.shape == (64,) and table.dtype == np.float32 and indices.dtype == np.uint8
    np.testing.assert_allclose(table[indices].reshape(weight.shape), weight, rtol=0, atol=1e-7)


def test_every_weight_gets_the_nearest_value_and_every_value_is_its_weights_mean() -> None:
    weight = np.random.default_rng(0).normal(0, 0.1, (40, 50)).astype(np.float32)
    table, indices = compress.palette(weight)
    nearest = np.abs(weight.reshape(-1, 1) - table).min(axis=1)  # all distances, the slow way
    np.testing.assert_allclose(np.abs(table[indices] - weight.ravel()), nearest, rtol=0, atol=1e-8)
    for index in np.unique(indices):
        np.testing.assert_allclose(table[index], weight.ravel()[indices == index].mean(), rtol=0, atol=1e-6)


def test_normal_weights_are_stored_as_well_as_64_values_can() -> None:
    weight = np.random.default_rng(0).normal(0, 1, 100_000).astype(np.float32)
    table, indices = compress.palette(weight)
    error = float(((table[indices] - weight) ** 2).mean())
    # Panter and Dite: sqrt(3) pi / 2 / 64^2 = 6.64e-4 of the variance for many values; evenly spaced ones reach 1.6e-3.
    assert 6.0e-4 < error < 6.8e-4


def test_outliers_and_equal_weights_break_nothing() -> None:
    for weight in (np.full((8, 8), 0.25, np.float32), np.array([[0.0] * 99 + [1e3]], np.float32)):
        table, indices = compress.palette(weight)
        np.testing.assert_allclose(table[indices].reshape(weight.shape), weight, rtol=0, atol=1e-4)


class Operation:
    """As coremltools describes one: its inputs are variables that know their makers."""

    def __init__(self, op_type: str, name: str, *makers: Operation | None) -> None:
        self.op_type, self.name = op_type, name
        self.inputs = {"x": [SimpleNamespace(op=maker) for maker in makers], "y": None}


def test_the_network_is_what_its_weights_have_reached() -> None:
    make = Operation
    mel = make("matmul", "bmm", None, make("const", "b_front_second"))
    conv = make("conv", "conv2d", mel, make("const", "p_network_first_conv_weight"))
    behind = compress.BehindFrontEnd()
    assert not behind(mel)
    assert behind(make("relu", "relu", conv)) and behind(conv)
    assert not behind(make("log", "log", mel))


@pytest.mark.parametrize(("precision", "size"), [("int8", 0.52), ("palette6", 2.0)])
def test_weights_that_compression_does_not_explain_are_refused(precision: Any, size: float) -> None:
    """An offset of half a step of int8, or of twice what the palette costs, in one number."""
    plain = for_coreml(tiny.pipeline())
    weight = plain.network.first.conv.weight.numpy()
    stored = weight.copy()
    step = np.abs(weight[2]).max() / 127 if precision == "int8" else compress.rounding(weight, precision)[2, 0, 1, 1]
    stored[2, 0, 1, 1] += size * step

    def program(values: Any, name: str = "p_network_first_conv_weight_quantized") -> Any:
        one = SimpleNamespace(op_type="constexpr_x", name=name, materialized_val_inference=lambda: values)
        return SimpleNamespace(functions={"main": SimpleNamespace(operations=[one])})

    twin, count = compress.with_own_weights(plain, program(weight), precision)
    assert count == 1 and np.array_equal(twin.network.first.conv.weight.numpy(), weight)
    with pytest.raises(ExportError, match="1 of the 72 numbers stored for p_network_first_conv_weight"):
        compress.with_own_weights(plain, program(stored), precision)
    with pytest.raises(ExportError, match="compresses p_front_x_palettized, which is no weight"):
        compress.with_own_weights(plain, program(weight, "p_front_x_palettized"), precision)
    with pytest.raises(ExportError, match="holds no compressed weight"):
        empty = SimpleNamespace(functions={"main": SimpleNamespace(operations=[])})
        compress.with_own_weights(plain, empty, precision)
