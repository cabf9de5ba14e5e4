"""Reference definitions of the MIL operators in our programs, as the specification has them, in torch and float32.

Inputs and results are float32 throughout; where a program says float16, `mil` rounds the result. Attributes that none
of our programs use are refused by name, not guessed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from export.coreml import mil_quantised as quantised
from export.coreml.mil_quantised import Values
from pocketmood.errors import ExportError


def _conv(v: Values) -> Tensor:
    x, pads = v["x"], v.get("pad", (0, 0, 0, 0))
    if v.get("pad_type", "valid") not in ("custom", "valid"):
        raise ExportError(
            f"CoreML operator conv: pad_type {v['pad_type']} is not defined in export/coreml/mil_operators.py"
        )
    if v.get("pad_type", "valid") == "custom":
        # Padded by hand: torch's own padding is symmetric, MIL's has four numbers.
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
            raise ExportError(
                "CoreML operator slice_by_index: a negative stride is not defined in export/coreml/mil_operators.py"
            )
        # An integer drops the axis in torch, which is what MIL's squeeze does.
        if squeezed[axis]:
            cut.append(begin)
        else:
            cut.append(slice(None if begin_mask[axis] else begin, None if end_mask[axis] else end, strides[axis]))
    return x[tuple(cut)]


def _pad(v: Values) -> Tensor:
    """Pad the last axes; MIL lists (before, after) from the first padded axis to the last, torch the other way."""
    if v.get("mode", "constant") != "constant":
        raise ExportError(f"CoreML operator pad: mode {v['mode']} is not defined in export/coreml/mil_operators.py")
    pairs = [v["pad"][i : i + 2] for i in range(0, len(v["pad"]), 2)]
    backwards = [number for pair in reversed(pairs) for number in pair]
    padded: Tensor = functional.pad(v["x"], backwards, value=v.get("constant_val", 0.0))
    return padded


def _layer_norm(v: Values) -> Tensor:
    x, axes = v["x"], v.get("axes")
    # Written out, because MIL's norm takes any axes and torch's only the last ones.
    mean = x.mean(axes, keepdim=True)
    variance = (x - mean).square().mean(axes, keepdim=True)
    normal: Tensor = (x - mean) / torch.sqrt(variance + v.get("epsilon", 1e-5))
    scaled: Tensor = normal * v.get("gamma", 1.0) + v.get("beta", 0.0)
    return scaled


def _split(v: Values) -> list[Tensor]:
    x, axis = v["x"], v["axis"]
    # MIL gives either the sizes or their number.
    sizes = v.get("split_sizes") or (x.shape[axis] // v["num_splits"],) * v["num_splits"]
    return list(torch.split(x, list(sizes), axis))


def _squeeze(v: Values) -> Tensor:
    axes = v.get("axes")
    squeezed: Tensor = v["x"].squeeze() if axes is None else v["x"].squeeze(axes)
    return squeezed


def _expand_dims(v: Values) -> Tensor:
    x: Tensor = v["x"]
    rank = x.ndim + len(v["axes"])
    # In ascending order, so that each place is one of the final tensor, as MIL counts.
    for axis in sorted(axis % rank for axis in v["axes"]):
        x = x.unsqueeze(axis)
    return x


def _cast(v: Values) -> Tensor:
    """Pass floats on: that the result is rounded to float16 is the declared type's doing."""
    if v["dtype"] not in ("fp16", "fp32"):
        raise ExportError(f"CoreML operator cast: to {v['dtype']} is not defined in export/coreml/mil_operators.py")
    cast: Tensor = v["x"].float()
    return cast


OPERATORS: dict[str, Callable[[Values], Tensor | list[Tensor]]] = {
    "add": lambda v: v["x"] + v["y"],
    "sub": lambda v: v["x"] - v["y"],
    "mul": lambda v: v["x"] * v["y"],
    "real_div": lambda v: v["x"] / v["y"],
    "cast": _cast,
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
    # Not torch's softplus, which is linear above a threshold of 20.
    "softplus": lambda v: torch.logaddexp(v["x"], torch.zeros_like(v["x"])),
    "split": _split,
    "squeeze": _squeeze,
    "tanh": lambda v: torch.tanh(v["x"]),
    "transpose": lambda v: v["x"].permute(v["perm"]),
    "quantize": quantised.quantize,
    "dequantize": quantised.dequantize,
    "constexpr_affine_dequantize": quantised.affine_dequantize,
    "constexpr_blockwise_shift_scale": quantised.blockwise_shift_scale,
    "constexpr_lut_to_dense": quantised.lut_to_dense,
}
"""What each operator of our programs computes, by MIL's name."""
