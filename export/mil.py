"""Runs a CoreML program anywhere: MIL operators, as their specification defines them, in torch and float32.

It works from the saved package alone (`to_coreml.read_program`), so it proves the program that ships: its operators,
their order and parameters, its weights. It says nothing about Apple's kernels, which only a Mac can run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from export.pipeline import INPUT_NAME, OUTPUT_NAMES
from export.to_onnx import Array, Runner
from pocketmood.errors import ExportError

Values = Mapping[str, Any]
"""Inputs of an operator by name: tensors, or plain numbers and tuples where MIL has parameters."""


def evaluator(program: Any, watch: Callable[[Any, list[Tensor]], None] | None = None) -> Runner:
    """Return a function that runs a MIL program: waveform [1, S] -> (emotion [1, 2], spread [1, 2]).

    watch: is shown every operation that computes, and its results.
    """
    refuse_unknown(program)
    main = program.functions["main"]

    def run(waveform: Array) -> tuple[Array, Array]:
        values: dict[Any, Tensor] = {main.inputs[INPUT_NAME]: torch.from_numpy(np.ascontiguousarray(waveform))}
        with torch.inference_mode():
            for operation in main.operations:
                _step(operation, values)
                if watch is not None and operation.op_type != "const":
                    watch(operation, [values[output] for output in operation.outputs])
        named = {output.name: values[output].numpy() for output in main.outputs}
        emotion, spread = (named[name] for name in OUTPUT_NAMES)
        return emotion, spread

    return run


def describe(program: Any) -> dict[str, Any]:
    """Return facts about a program: operators by type, constants, weights; ExportError if its ends are not ours."""
    main = program.functions["main"]
    ends = ([*main.inputs], [output.name for output in main.outputs])
    if ends != ([INPUT_NAME], list(OUTPUT_NAMES)):
        raise ExportError(f"the CoreML program's inputs and outputs are {ends}")
    shapes = [tuple(output.shape) for output in main.outputs]
    if shapes != [(1, 2), (1, 2)]:
        raise ExportError(f"the CoreML program's outputs have shapes {shapes}")
    census = Counter(operation.op_type for operation in main.operations)
    weights = [o.outputs[0].val for o in main.operations if o.op_type == "const" and np.size(o.outputs[0].val) > 1]
    numbers = [value for value in weights if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
    if not all(np.isfinite(value).all() for value in numbers):
        raise ExportError("a weight of the CoreML program is not finite")
    operators = sum(census.values()) - census.pop("const", 0)
    return {"operators": operators, "operator_types": len(census), "weights": int(sum(v.size for v in numbers))}


def refuse_unknown(program: Any) -> None:
    """Refuse operators that have no definition here, by name."""
    unknown = {o.op_type for o in program.functions["main"].operations if o.op_type != "const"} - set(OPERATORS)
    if unknown:
        raise ExportError(f"the CoreML program holds {', '.join(sorted(unknown))}, which export/mil.py does not define")


def _step(operation: Any, values: dict[Any, Tensor]) -> None:
    """Run one operator and keep its outputs."""
    if operation.op_type == "const":
        return
    inputs = {
        name: [_value(one, values) for one in given] if isinstance(given, list | tuple) else _value(given, values)
        for name, given in operation.inputs.items()
        if given is not None
    }
    result = OPERATORS[operation.op_type](inputs)
    results = result if isinstance(result, list) else [result]
    for output, tensor in zip(operation.outputs, results, strict=True):
        if tuple(output.shape) != tuple(tensor.shape):
            raise ExportError(
                f"CoreML operator {operation.op_type} {output.name}: {tuple(tensor.shape)}, "
                f"the program says {tuple(output.shape)}"
            )
        values[output] = tensor


def _value(variable: Any, values: dict[Any, Tensor]) -> Any:
    """Return a computed tensor or a constant; scalars, strings and index lists become Python's own."""
    if variable in values:
        return values[variable]
    constant = variable.val
    if isinstance(constant, np.ndarray) and constant.dtype.kind == "f":
        return torch.from_numpy(np.array(constant))
    if isinstance(constant, np.ndarray):
        return tuple(constant.tolist())
    return constant.item() if isinstance(constant, np.generic) else constant


def _conv(v: Values) -> Tensor:
    x, pads = v["x"], v.get("pad", (0, 0, 0, 0))
    if v.get("pad_type", "valid") not in ("custom", "valid"):
        raise ExportError(f"CoreML operator conv: pad_type {v['pad_type']} is not defined in export/mil.py")
    if v.get("pad_type", "valid") == "custom":
        top, bottom, left, right = pads
        x = functional.pad(x, (left, right, top, bottom))
    strides, dilations = v.get("strides", (1, 1)), v.get("dilations", (1, 1))
    return functional.conv2d(x, v["weight"], v.get("bias"), strides, 0, dilations, v.get("groups", 1))


def _matmul(v: Values) -> Tensor:
    x = v["x"].transpose(-1, -2) if v.get("transpose_x") else v["x"]
    y = v["y"].transpose(-1, -2) if v.get("transpose_y") else v["y"]
    product: Tensor = torch.matmul(x, y)
    return product


def _slice_by_index(v: Values) -> Tensor:
    """Cut [begin, end) with strides; a mask lets an axis start or end where the tensor does, squeeze drops an axis."""
    x: Tensor = v["x"]
    rank = x.ndim
    nothing = (False,) * rank
    begin_mask, end_mask = v.get("begin_mask") or nothing, v.get("end_mask") or nothing
    strides, squeezed = v.get("stride") or (1,) * rank, v.get("squeeze_mask") or nothing
    cut: list[slice | int] = []
    for axis in range(rank):
        begin, end = v["begin"][axis], v["end"][axis]
        if strides[axis] < 1:
            raise ExportError("CoreML operator slice_by_index: a negative stride is not defined in export/mil.py")
        if squeezed[axis]:
            cut.append(begin)
        else:
            cut.append(slice(None if begin_mask[axis] else begin, None if end_mask[axis] else end, strides[axis]))
    return x[tuple(cut)]


def _pad(v: Values) -> Tensor:
    """Pad the last axes; MIL lists (before, after) from the first padded axis to the last, torch the other way."""
    if v.get("mode", "constant") != "constant":
        raise ExportError(f"CoreML operator pad: mode {v['mode']} is not defined in export/mil.py")
    pairs = [v["pad"][i : i + 2] for i in range(0, len(v["pad"]), 2)]
    backwards = [number for pair in reversed(pairs) for number in pair]
    padded: Tensor = functional.pad(v["x"], backwards, value=v.get("constant_val", 0.0))
    return padded


def _layer_norm(v: Values) -> Tensor:
    x, axes = v["x"], v.get("axes")
    mean = x.mean(axes, keepdim=True)
    variance = (x - mean).square().mean(axes, keepdim=True)
    normal: Tensor = (x - mean) / torch.sqrt(variance + v.get("epsilon", 1e-5))
    scaled: Tensor = normal * v.get("gamma", 1.0) + v.get("beta", 0.0)
    return scaled


def _split(v: Values) -> list[Tensor]:
    x, axis = v["x"], v["axis"]
    sizes = v.get("split_sizes") or (x.shape[axis] // v["num_splits"],) * v["num_splits"]
    return list(torch.split(x, list(sizes), axis))


def _squeeze(v: Values) -> Tensor:
    axes = v.get("axes")
    squeezed: Tensor = v["x"].squeeze() if axes is None else v["x"].squeeze(axes)
    return squeezed


def _expand_dims(v: Values) -> Tensor:
    x: Tensor = v["x"]
    rank = x.ndim + len(v["axes"])
    for axis in sorted(axis % rank for axis in v["axes"]):
        x = x.unsqueeze(axis)
    return x


OPERATORS: dict[str, Callable[[Values], Tensor | list[Tensor]]] = {
    "add": lambda v: v["x"] + v["y"],
    "sub": lambda v: v["x"] - v["y"],
    "mul": lambda v: v["x"] * v["y"],
    "real_div": lambda v: v["x"] / v["y"],
    "square": lambda v: v["x"] * v["x"],
    "clip": lambda v: v["x"].clamp(v["alpha"], v["beta"]),
    "concat": lambda v: torch.cat(v["values"], v["axis"]),
    "conv": _conv,
    "exp": lambda v: torch.exp(v["x"]),
    "expand_dims": _expand_dims,
    "layer_norm": _layer_norm,
    "linear": lambda v: functional.linear(v["x"], v["weight"], v.get("bias")),
    "log": lambda v: torch.log(v["x"] + v.get("epsilon", 1e-45)),
    "matmul": _matmul,
    "pad": _pad,
    "reduce_mean": lambda v: v["x"].mean(v["axes"], keepdim=bool(v.get("keep_dims", False))),
    "relu": lambda v: torch.relu(v["x"]),
    "reshape": lambda v: v["x"].reshape(v["shape"]),
    "sigmoid": lambda v: torch.sigmoid(v["x"]),
    "silu": lambda v: v["x"] * torch.sigmoid(v["x"]),
    "slice_by_index": _slice_by_index,
    "softmax": lambda v: torch.softmax(v["x"], v["axis"]),
    "softplus": lambda v: torch.logaddexp(v["x"], torch.zeros_like(v["x"])),
    "split": _split,
    "squeeze": _squeeze,
    "tanh": lambda v: torch.tanh(v["x"]),
    "transpose": lambda v: v["x"].permute(v["perm"]),
}
"""What each operator of our programs computes."""
