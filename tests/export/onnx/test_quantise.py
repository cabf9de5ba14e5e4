"""int8 for ONNX Runtime: what is quantised, that the front end is not, and that it predicts like fp32."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from export.onnx import quantise, to_onnx
from export.rewrite import for_onnx
from pocketmood.errors import ExportError
from tests.helpers import export_fixtures as tiny


def node(kind: str, *inputs: str) -> Any:
    return SimpleNamespace(op_type=kind, input=inputs)


def test_groups_are_those_of_the_search() -> None:
    conv = node("Conv", "silu", "network.body.stages.2.1.conv_1x1.weight")
    assert quantise.group_of(conv) == "stages.2.1.conv_1x1"
    gemm = node("Gemm", "x", "val_145", "network.body.stages.2.1.transformer.0.attn.qkv.bias")
    assert quantise.group_of(gemm) == "stages.2.1 linears"
    assert not quantise.may_be_quantised(gemm, {"stages.2.1 linears"})
    assert quantise.group_of(node("Gemm", "x", "network.emotion_head.weight", "network.emotion_head.bias")) is None
    assert quantise.group_of(node("MatMul", "x", "front.first")) is None
    assert quantise.group_of(node("Mul", "x", "network.interval_scale")) is None


def test_the_program(tmp_path: Path) -> None:
    source, path = tmp_path / "source", tmp_path / "model.int8.onnx"
    to_onnx.write(for_onnx(tiny.pipeline()), source, tiny.promise())
    waves = list(tiny.waves(4))
    counts = quantise.write(source, path, waves, {"second.conv"}, tiny.promise())
    assert counts == ({"convolution": 2, "linear": 4}, {"convolution": 1, "linear": 2})  # both heads are linear
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.int8.onnx", "source"]
    assert to_onnx.read_contract(path) == {name: str(value) for name, value in tiny.promise().items()}
    graph = onnx.load(path).graph
    first = next(place for place, node in enumerate(graph.node) if node.op_type == "Conv")
    before = [node for node in graph.node[:first] if node.op_type == "QuantizeLinear"]
    assert len(before) == 1  # the spectrogram, and nothing of the front end
    matrices = [
        weight for weight in graph.initializer if weight.data_type == onnx.TensorProto.INT8 and len(weight.dims) > 1
    ]
    assert len(matrices) == 6

    plain, int8, graph_only = to_onnx.read(source, 1), to_onnx.read(path, 1), to_onnx.read(path, 1, as_written=True)
    to_fp32 = [np.abs(int8(wave)[0] - plain(wave)[0]).max() for wave in waves]
    assert 1e-5 < max(to_fp32) < 0.03
    for wave in waves:
        for found, wanted in zip(int8(wave), graph_only(wave), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=5e-3)

    left = {"first.conv", "second.conv", "last.conv", "block linears"}
    with pytest.raises(ExportError, match="none of its 9 convolutions and linear layers may be int8"):
        quantise.write(source, path, waves, left, tiny.promise())
