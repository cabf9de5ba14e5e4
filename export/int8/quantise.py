"""Static int8 quantisation for ExecuTorch: per output channel, calibrated on training clips, and counted.

What may never be int8, and why: the front end (a power spectrum spans 100 dB, int8 holds 48), the LayerNorms (quiet
frames have small variances, which the range of loud ones would round to zero), the two heads (one step of an int8
output is 8e-3 of emotion, more than the whole error allowed, and two products of 2 rows cost nothing) with the sums
behind them, scalings, and the mean over the last map with what follows it (its int8 step is that of single values, far
too coarse for their mean). Convolutions, linear layers and the sums of residual branches may; which of them are, group
by group, is decided by `search`.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Iterable
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from export.pipeline import Pipeline
from pocketmood.errors import ExportError

if TYPE_CHECKING:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer

HEADS = ("network.emotion_head", "network.interval68_head")
FLOAT_PATHS = ("front", *HEADS)
FLOAT_TYPES = ("AveragingLayerNorm",)
FLOAT_OPERATORS = ("mul", "mul_", "cat", "adaptive_avg_pool2d", "mean", "flatten", "dropout")
SUMS = "sums"
"""The group of all sums of residual branches: they save no weights, and stand or fall together."""
COUNTED = {
    "convolution": ("conv2d", "convolution"),
    "linear": ("linear", "mm", "addmm"),
    "product": ("bmm", "matmul"),
    "add": ("add", "add_"),
    "mul": ("mul",),
    "cat": ("cat",),
    "activation": ("silu", "silu_", "sigmoid", "softmax"),
}
_KIND = {name: kind for kind, names in COUNTED.items() for name in names}
_GROUPED = ("convolution", "linear", "add")


class Quantised(NamedTuple):
    """A quantised graph and what became of its operators."""

    module: nn.Module
    quantised: dict[str, int]
    """How many operators of each kind compute in int8."""
    left_float: dict[str, int]
    """How many operators of each kind compute in float."""


def quantiser(
    learning: bool = False, left: Collection[str] = (), floats: Collection[str] = FLOAT_PATHS
) -> XNNPACKQuantizer:
    """Return XNNPACK's quantiser for the operators of `may_be_quantised`.

    learning: with fake quantisation to train; left: groups (see `group_of`) that stay float; floats: modules that do.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )

    config = get_symmetric_quantization_config(is_per_channel=True, is_qat=learning)
    found = XNNPACKQuantizer().set_global(config)
    # A filter, because `set_module_name("front", None)` is not supported.
    found.set_filter_function(partial(may_be_quantised, left=left, floats=floats))
    # It asks no filter about `cat`, and rounded the bands of the front end, and what float convolutions read.
    found.SUPPORTED_PATTERNS = [pattern for pattern in found.SUPPORTED_PATTERNS if pattern.name != "cat"]
    return found


def quantise(pipeline: Pipeline, clips: Iterable[Tensor], left: Collection[str] = ()) -> Quantised:
    """Quantise a pipeline that was rewritten for XNNPACK, but for the groups in `left`.

    clips: waveforms [1, S] that set the activation ranges.
    """
    from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

    exported = torch.export.export(copy.deepcopy(pipeline), (torch.zeros(1, pipeline.spec.samples),)).module()
    prepared = prepare_pt2e(exported, quantiser(left=left))

    count = 0
    with torch.inference_mode():
        for clip in clips:
            prepared(clip)
            count += 1
    if not count:
        raise ExportError("int8 needs at least one training clip to calibrate on; the ranges of noise mean nothing")
    return converted(prepared)


def converted(prepared: fx.GraphModule) -> Quantised:
    """Turn a program with observers, or with fake quantisation, into its int8 graph with the runtime's biases."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    module = convert_pt2e(prepared)
    # Without this the graph, which the runtime is held to, rounds other values than the runtime does.
    snap_biases(module)
    # Counted, because a filter that is wrong quantises too little without a word: 13 MB instead of 7, once.
    quantised, left_float = count_operators(module)
    if not (quantised.get("linear") or quantised.get("convolution")):
        raise ExportError(f"no layer was quantised (left in float: {left_float}); does the student have any?")
    return Quantised(module, quantised, left_float)


def may_be_quantised(node: fx.Node, left: Collection[str] = (), floats: Collection[str] = FLOAT_PATHS) -> bool:
    """Tell whether a node may compute in int8; floats: modules that may not, left: groups that shall not.

    A node without a module (a weight, a constant) must be accepted: refusing it leaves most layers in float without a
    word.
    """
    if node.op == "call_function" and operator(node) in FLOAT_OPERATORS:
        return False
    stack: dict[str, tuple[str, Any]] = node.meta.get("nn_module_stack") or {}
    if not stack:
        return True

    for path, kind in stack.values():
        name = _plain(path)
        if any(name == float_path or name.startswith(f"{float_path}.") for float_path in floats):
            return False
        if str(getattr(kind, "__name__", kind)).rsplit(".", 1)[-1] in FLOAT_TYPES:
            return False

    # Operators of these kinds alone are chosen group by group.
    if node.op != "call_function" or kind_of(node) not in _GROUPED:
        return True
    group = group_of(node)
    return group is not None and group not in left


def group_of(node: fx.Node) -> str | None:
    """Name the group that a convolution, linear layer or residual sum is quantised with; None for other nodes."""
    kind = kind_of(node) if node.op == "call_function" else None
    stack: dict[str, tuple[str, Any]] = node.meta.get("nn_module_stack") or {}
    if kind not in _GROUPED or not stack:
        return None
    return group_named(_plain(list(stack.values())[-1][0]), kind)


def group_named(path: str, kind: str) -> str | None:
    """Name the group of an operator by the path of its module and its kind; None outside of all blocks.

    A group is one convolution ("stages.2.1.conv_kxk.conv"), one block's linear layers ("stages.2.1 linears"), or all
    sums. Convolutions go one by one, because in one block a depthwise one may make most of the noise and hold a
    fiftieth of the weights.
    """
    # The body's blocks and the heads lie at different depths; the group's name leaves out what all have in common.
    inside = path.removeprefix("network.").removeprefix("body.")
    first, *others = inside.split(".")
    if first in ("", "network", "body", "front"):
        return None
    if kind == "convolution":
        return inside
    return SUMS if kind == "add" else f"{'.'.join([first, *takewhile(str.isdigit, others)])} {kind}s"


def _plain(path: str) -> str:
    return path.removeprefix("L['self'].").removeprefix("L__self___")


def snap_biases(graph: nn.Module) -> int:
    """Round each bias to the step of its int32 sum (input scale x weight scale), as the runtime does; return how many.

    The reference keeps biases in float. That half step flips one output in a hundred by one level: 53 dB after two
    stages. Snapped, these two stages agree to the last bit on equal spectrograms.
    """
    snapped = 0
    with torch.no_grad():
        for node in graph.graph.nodes:  # type: ignore[union-attr]
            if node.op != "call_function" or kind_of(node) not in ("convolution", "linear"):
                continue
            # The bias may be missing: then the list is one short.
            inputs = [*node.args[:3], None][:3]
            if inputs[2] is None or not all(operator(source).startswith("dequantize") for source in inputs[:2]):
                continue
            bias = _constant(graph, inputs[2])
            step = (_constant(graph, inputs[0].args[1]) * _constant(graph, inputs[1].args[1])).double()
            bias.copy_((torch.round(bias.double() / step) * step).float())
            snapped += 1
    return snapped


def _constant(graph: nn.Module, value: Any) -> Tensor:
    """Return a scale or bias: a number in the graph, or a tensor that it refers to."""
    if isinstance(value, int | float):
        return torch.tensor(value, dtype=torch.float64)
    found: Any = graph
    for part in str(value.target).split("."):
        found = getattr(found, part)
    return torch.as_tensor(found)


def count_operators(module: nn.Module) -> tuple[dict[str, int], dict[str, int]]:
    """Count operators by kind: those fed by dequantised tensors, and those that compute in float."""
    quantised: Counter[str] = Counter()
    left_float: Counter[str] = Counter()
    for node in module.graph.nodes:  # type: ignore[union-attr]
        kind = kind_of(node) if node.op == "call_function" else None
        if kind is None:
            continue
        read = node.all_input_nodes[: 2 if kind in ("convolution", "linear") else 1]  # with the weights
        # The reference graph computes everything in float; XNNPACK takes an operator for int8 where it finds it
        # between a dequantise and a quantise.
        in_int8 = bool(read and node.users) and all(operator(source).startswith("dequantize") for source in read)
        feeds_int8 = all(operator(user).startswith("quantize") or _is_activation(user) for user in node.users)
        (quantised if in_int8 and feeds_int8 else left_float)[kind] += 1
    return dict(quantised), dict(left_float)


def kind_of(node: Any) -> str | None:
    """Return the kind under which an operator is counted, or None."""
    return _KIND.get(operator(node))


def operator(node: Any) -> str:
    """Name the operator of a node without its namespace and overload."""
    schema = getattr(node.target, "_schema", None)
    return str(schema.name if schema else node.target).split("::")[-1]


def _is_activation(node: fx.Node) -> bool:
    return operator(node) in ("relu", "relu_", "hardtanh", "hardtanh_")
