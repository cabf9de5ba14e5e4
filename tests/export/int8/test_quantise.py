"""int8: what becomes of each operator, and that biases are those the runtime uses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from export.int8 import quantise as q
from export.rewrite import for_xnnpack
from pocketmood.errors import ExportError
from tests.helpers import export_fixtures as tiny


def node(*stack: tuple[str, str], target: Any = torch.ops.aten.linear.default) -> Any:
    meta = {"nn_module_stack": {str(place): entry for place, entry in enumerate(stack)}} if stack else {}
    return SimpleNamespace(op="call_function", target=target, meta=meta)


def test_filter() -> None:
    assert q.may_be_quantised(node())  # weights and constants have no module, and must be taken
    assert q.may_be_quantised(node(("", "export.Pipeline"), ("network.first.qkv", "torch.nn.Linear")))
    assert q.may_be_quantised(node(("network.frontier", "torch.nn.Linear")))
    assert not q.may_be_quantised(node(("front", "export.rewrite.FlatFrontEnd")))
    assert not q.may_be_quantised(node(("front.first", "torch.nn.Linear")))
    assert not q.may_be_quantised(node(("network.interval68_head", "torch.nn.Linear")))
    assert not q.may_be_quantised(node(("network.norm", "export.rewrite.AveragingLayerNorm")))
    assert q.may_be_quantised(node(("network.first.conv", "torch.nn.Conv2d"), target=CONV))


CONV, ADD = torch.ops.aten.conv2d.default, torch.ops.aten.add.Tensor


@pytest.mark.parametrize(
    ("path", "target", "group"),
    [
        ("network.body.stem.conv", CONV, "stem.conv"),
        ("network.body.stages.2.1.conv_1x1", CONV, "stages.2.1.conv_1x1"),
        (
            "L['self'].network.body.stages.4.1.transformer.2.mlp.fc1",
            torch.ops.aten.linear.default,
            "stages.4.1 linears",
        ),
        ("network.body.stages.1.1", ADD, q.SUMS),
        ("network", ADD, None),  # the floor of the interval68
        ("network.body.stem", torch.ops.aten.silu.default, None),
    ],
)
def test_groups(path: str, target: Any, group: str | None) -> None:
    found = node(("", "Pipeline"), (path, "torch.nn.Module"), target=target)
    assert q.group_of(found) == group
    assert q.may_be_quantised(found) == (group is not None or target not in (CONV, ADD))
    if group:
        assert not q.may_be_quantised(found, left={group}) and q.may_be_quantised(found, left={"stages.9 linears"})


def test_without_clips_there_is_no_int8() -> None:
    with pytest.raises(ExportError, match="at least one training clip"):
        q.quantise(for_xnnpack(tiny.pipeline()), [])


@pytest.mark.parametrize(("left", "linears", "convolutions"), [((), 4, 3), (("second.conv",), 4, 2)])
def test_what_is_not_left_is_int8(left: tuple[str, ...], linears: int, convolutions: int) -> None:
    clips = [torch.from_numpy(wave) for wave in tiny.waves(4)]
    pipeline = for_xnnpack(tiny.pipeline())
    module, quantised, left_float = q.quantise(pipeline, clips, left)
    assert quantised["linear"] == linears  # of attention and MLP
    assert quantised["convolution"] == convolutions and left_float.get("convolution", 0) == 3 - convolutions
    assert left_float["linear"] == 1 + 4 + 2 * 3 + 2  # front end with four blocks of filters, two per LayerNorm, heads
    assert left_float["cat"] == 1 and "cat" not in quantised  # of these blocks
    with torch.inference_mode():
        errors = [float((module(clip)[0] - pipeline(clip)[0]).abs().max()) for clip in clips]
    assert 0 < max(errors) < 0.02
    scales = [_bias_steps(module, node) for node in module.graph.nodes if _is_quantised_linear(node)]
    assert len(scales) == linears
    for steps in scales:  # every bias is a whole number of the runtime's int32 steps
        np.testing.assert_allclose(steps, np.round(steps), rtol=0, atol=2e-2)


def _is_quantised_linear(one: Any) -> bool:
    return "linear" in str(one.target) and all("dequantize" in str(each.target) for each in one.args[:2])


def _bias_steps(module: Any, one: Any) -> np.ndarray[Any, Any]:
    inputs = one.args[:3]
    step = q._constant(module, inputs[0].args[1]) * q._constant(module, inputs[1].args[1])
    return (q._constant(module, inputs[2]).double() / step.double()).numpy()
