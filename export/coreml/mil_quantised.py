"""Reference definitions of MIL's quantised operators: weights stored in few bits, and int8 activations.

One formula serves all but the palettes: real = scale x (stored - zero point), where scale and zero point are one
number, one per slice of an axis, or one per block.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pocketmood.errors import ExportError

Values = Mapping[str, Any]
"""Inputs of an operator by name: tensors, or plain numbers and tuples where MIL has parameters."""

_RANGES = {"int8": (-128, 127, torch.int8), "uint8": (0, 255, torch.uint8)}
_PALETTES = {2: 1, 4: 2, 16: 4, 64: 6, 256: 8}
"""Bits of an index by the length of its table."""


def affine_dequantize(v: Values) -> Tensor:
    """Return the float32 weights behind `quantized_data`."""
    return _real(v["quantized_data"], v["scale"], v["zero_point"], v["axis"])


def blockwise_shift_scale(v: Values) -> Tensor:
    """Return scale x (data - offset), where both have the rank of `data` and each entry serves an equal block."""
    data, scale, offset = v["data"], v["scale"], v.get("offset")
    for axis, (size, entries) in enumerate(zip(data.shape, scale.shape, strict=True)):
        if size % entries:
            raise ExportError(f"CoreML operator constexpr_blockwise_shift_scale: {entries} scales on axis {axis} of "
                              f"{size} entries")  # fmt: skip
        scale = scale.repeat_interleave(size // entries, axis)
        offset = None if offset is None else offset.repeat_interleave(size // entries, axis)
    shifted = data.float() if offset is None else data.float() - offset.float()
    product: Tensor = shifted * scale
    return product


def lut_to_dense(v: Values) -> Tensor:
    """Look packed indices up in a table; the lowest bits of a byte come first, and an index may cross bytes."""
    table, shape = v["lut"], tuple(v["shape"])
    bits = _PALETTES.get(len(table))
    if bits is None:
        raise ExportError(f"CoreML operator constexpr_lut_to_dense: a table of {len(table)} entries is not defined")
    count = int(np.prod(shape))
    # Bits beyond the last index fill its byte and mean nothing.
    stream = np.unpackbits(v["indices"].numpy(), bitorder="little")[: bits * count].reshape(count, bits)
    indices = stream.astype(np.int64) @ (1 << np.arange(bits))
    dense: Tensor = table[torch.from_numpy(indices)].reshape(shape)
    return dense


def quantize(v: Values) -> Tensor:
    """Return round(input / scale) + zero point in int8 or uint8, cut to its range; halves go to the even neighbour."""
    x = v["input"]
    low, high, dtype = _RANGES[v["output_dtype"]]
    scale, zero_point = _along(v["scale"], v.get("axis"), x.ndim), _along(v.get("zero_point", 0), v.get("axis"), x.ndim)
    # torch.round takes halves to the even neighbour, as MIL does.
    stored: Tensor = (torch.round(x / scale) + zero_point).clamp(low, high).to(dtype)
    return stored


def dequantize(v: Values) -> Tensor:
    """Return scale x (input - zero point) in float32."""
    return _real(v["input"], v["scale"], v.get("zero_point", 0), v.get("axis"))


def _real(stored: Tensor, scale: Any, zero_point: Any, axis: int | None) -> Tensor:
    scale, zero_point = _along(scale, axis, stored.ndim), _along(zero_point, axis, stored.ndim)
    real: Tensor = (stored.float() - zero_point) * scale
    return real


def _along(value: Any, axis: int | None, rank: int) -> Any:
    """Lay a vector along an axis of a tensor of so many axes; one number stays as it is."""
    if not isinstance(value, Tensor) or axis is None:
        return value
    shape = [1] * rank
    shape[axis] = -1
    return value.float().reshape(shape)
