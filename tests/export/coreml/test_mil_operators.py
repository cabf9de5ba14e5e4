"""Every operator of the MIL evaluator against its definition, written out in numpy, with loops where these are short.

An operator without a case here fails `test_every_operator_has_a_case`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from export.coreml import mil_operators
from pocketmood.errors import ExportError

Case = tuple[dict[str, Any], Any]
"""Inputs by MIL's names, arrays for tensors; what must come out: an array, or a list of arrays."""
CASES: dict[str, list[Case]] = {}
RNG = np.random.default_rng(0)
X = RNG.normal(0, 2, (3, 4)).astype(np.float32)
Y = RNG.uniform(0.5, 2, (3, 4)).astype(np.float32)
IMAGE = RNG.normal(0, 1, (1, 4, 5, 6)).astype(np.float32)
BYTES = RNG.integers(-128, 128, (4, 6)).astype(np.int8)


def each(function: Any, *arrays: Any) -> Any:
    """Apply a function of Python's own floats to every entry."""
    return np.array([function(*map(float, row)) for row in zip(*(a.ravel() for a in arrays), strict=True)]).reshape(
        arrays[0].shape
    )


for name, function in {
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "real_div": lambda x, y: x / y,
}.items():  # fmt: skip
    CASES[name] = [({"x": X, "y": Y}, each(function, X, Y)), ({"x": X, "y": 3.0}, each(lambda x: function(x, 3), X))]  # noqa: B023
for name, function in {
    "square": lambda x: x**2,
    "exp": math.exp,
    "relu": lambda x: max(x, 0),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "tanh": lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x)),
}.items():
    CASES[name] = [({"x": X}, each(function, X))]
CASES["softplus"].append(({"x": np.array([100.0, -100.0], np.float32)}, [100, 0]))  # exp(100) overflows float32
CASES["log"] = [({"x": Y, "epsilon": 0.5}, each(lambda x: math.log(x + 0.5), Y)), ({"x": Y}, each(math.log, Y))]
CASES["clip"] = [({"x": X, "alpha": -1.0, "beta": 0.5}, each(lambda x: min(max(x, -1), 0.5), X))]
CASES["cast"] = [({"x": X, "dtype": "fp32"}, X), ({"x": X, "dtype": "fp16"}, X)]
CASES["reshape"] = [({"x": X, "shape": (2, 6)}, [list(X.ravel()[:6]), list(X.ravel()[6:])])]
CASES["concat"] = [({"values": [X, Y], "axis": 1}, [[*a, *b] for a, b in zip(X, Y, strict=True)])]
CASES["concat"].append(({"values": [X, Y], "axis": 0}, [*X, *Y]))
CASES["expand_dims"] = [({"x": X, "axes": (0, -1)}, X[None, :, :, None])]
CASES["squeeze"] = [({"x": IMAGE[:, :1], "axes": (1,)}, IMAGE[:, 0]), ({"x": IMAGE[:, :1]}, IMAGE[0, 0])]
CASES["split"] = [
    ({"x": X, "axis": 1, "num_splits": 2}, [X[:, :2], X[:, 2:]]),
    ({"x": X, "axis": 1, "split_sizes": (1, 3)}, [X[:, :1], X[:, 1:]]),
]
CASES["transpose"] = [({"x": IMAGE, "perm": (0, 2, 3, 1)}, IMAGE.swapaxes(1, 2).swapaxes(2, 3))]
CASES["pad"] = [
    ({"x": X, "pad": (1, 0, 0, 2)}, [[0] * 6, *([*row, 0, 0] for row in X)]),  # one row above, two columns behind
    ({"x": X, "pad": (2, 1), "mode": "constant", "constant_val": 7.0}, [[7, 7, *row, 7] for row in X]),
]
CASES["slice_by_index"] = [
    ({"x": X, "begin": (1, 0), "end": (3, 4), "stride": (1, 2)}, [[X[1, 0], X[1, 2]], [X[2, 0], X[2, 2]]]),
    ({"x": X, "begin": (0, 1), "end": (3, 2), "squeeze_mask": (False, True)}, [X[0, 1], X[1, 1], X[2, 1]]),
    ({"x": X, "begin": (2, 1), "end": (0, 0), "end_mask": (True, True)}, [[X[2, 1], X[2, 2], X[2, 3]]]),
    ({"x": X, "begin": (2, 1), "end": (1, 4), "begin_mask": (True, False)}, [X[0, 1:]]),
]
CASES["reduce_mean"] = [
    ({"x": X, "axes": (1,), "keep_dims": True}, [[sum(map(float, row)) / 4] for row in X]),
    ({"x": X, "axes": (0,)}, [sum(map(float, column)) / 3 for column in X.T]),
]


def softmax(row: Any) -> list[float]:
    parts = [math.exp(x) for x in row]
    return [part / sum(parts) for part in parts]


CASES["softmax"] = [
    ({"x": X, "axis": -1}, [softmax(row) for row in X]),
    ({"x": X, "axis": 0}, np.transpose([softmax(column) for column in X.T])),
]


def layer_norm(row: Any, epsilon: float) -> list[float]:
    mean = sum(map(float, row)) / len(row)
    variance = sum((float(x) - mean) ** 2 for x in row) / len(row)
    return [(float(x) - mean) / math.sqrt(variance + epsilon) for x in row]


CASES["layer_norm"] = [
    ({"x": X, "axes": (-1,), "epsilon": 0.3, "gamma": Y[0], "beta": Y[1]},
     [[z * g + b for z, g, b in zip(layer_norm(row, 0.3), Y[0], Y[1], strict=True)] for row in X]),
    ({"x": X, "axes": (-1,)}, [layer_norm(row, 1e-5) for row in X]),
]  # fmt: skip


def product(a: Any, b: Any) -> Any:
    """Multiply matrices [N, K] and [K, M] entry by entry."""
    return np.array([[sum(float(p) * float(q) for p, q in zip(r, c, strict=True)) for c in np.transpose(b)] for r in a])


CASES["matmul"] = [
    ({"x": X, "y": Y.T}, product(X, Y.T)),
    ({"x": X, "y": Y, "transpose_y": True}, product(X, Y.T)),
    ({"x": X, "y": Y, "transpose_x": True}, product(X.T, Y)),
    ({"x": np.stack([X, Y]), "y": np.stack([Y.T, X.T])}, np.stack([product(X, Y.T), product(Y, X.T)])),
]
CASES["linear"] = [
    ({"x": X, "weight": Y, "bias": Y[0, :3]}, product(X, Y.T) + Y[0, :3]),
    ({"x": X, "weight": Y}, product(X, Y.T)),
]


def convolve(x: Any, weight: Any, stride: Any = (1, 1), dilation: Any = (1, 1), groups: int = 1) -> Any:
    """Convolve [1, C, H, W] by the definition: one sum per output, over the input channels of its group."""
    outputs, per_group, rows, columns = weight.shape
    height = (x.shape[2] - dilation[0] * (rows - 1) - 1) // stride[0] + 1
    width = (x.shape[3] - dilation[1] * (columns - 1) - 1) // stride[1] + 1
    y = np.zeros((1, outputs, height, width))
    for o, i, j in np.ndindex(outputs, height, width):
        first = o // (outputs // groups) * per_group
        for c, r, s in np.ndindex(per_group, rows, columns):
            value = x[0, first + c, i * stride[0] + r * dilation[0], j * stride[1] + s * dilation[1]]
            y[0, o, i, j] += float(value) * float(weight[o, c, r, s])
    return y


FULL, GROUPED = RNG.normal(0, 1, (2, 4, 3, 2)).astype(np.float32), RNG.normal(0, 1, (4, 2, 2, 2)).astype(np.float32)
PADDED = np.zeros((1, 4, 5 + 1, 6 + 2 + 3), np.float32)
PADDED[:, :, 1:, 2:8] = IMAGE  # one row above, none below, two columns left, three right
CASES["conv"] = [
    ({"x": IMAGE, "weight": FULL, "bias": Y[0, :2]}, convolve(IMAGE, FULL) + Y[0, :2].reshape(1, 2, 1, 1)),
    ({"x": IMAGE, "weight": GROUPED, "groups": 2, "strides": (2, 1), "pad_type": "valid"},
     convolve(IMAGE, GROUPED, stride=(2, 1), groups=2)),
    ({"x": IMAGE, "weight": FULL, "pad_type": "custom", "pad": (1, 0, 2, 3), "dilations": (1, 2)},
     convolve(PADDED, FULL, dilation=(1, 2))),
]  # fmt: skip
HALVES = np.array([[-3.0, -1.0, 1.0, 3.0, 0.8, 600.0, -600.0]], np.float32)  # with scale 2: -1.5, -.5, .5, 1.5, ...
CASES["quantize"] = [  # Python rounds halves to the even neighbour, too
    ({"input": HALVES, "scale": 2.0, "output_dtype": "int8"}, [[-2, 0, 0, 2, 0, 127, -128]]),
    ({"input": HALVES, "scale": 2.0, "zero_point": 100, "output_dtype": "uint8"}, [[98, 100, 100, 102, 100, 255, 0]]),
    ({"input": X, "scale": Y[:, 0], "zero_point": np.array([1, 2, 3], np.int8), "axis": 0, "output_dtype": "int8"},
     [[round(float(x) / float(s)) + z for x in row] for row, s, z in zip(X, Y[:, 0], (1, 2, 3), strict=True)]),
]  # fmt: skip
CASES["dequantize"] = [
    ({"input": BYTES, "scale": 0.25}, BYTES.astype(float) / 4),
    ({"input": BYTES, "scale": 0.25, "zero_point": -128}, (BYTES.astype(float) + 128) / 4),
    ({"input": BYTES, "scale": Y[0], "zero_point": BYTES[:, 0], "axis": -2},
     [[float(s) * (int(b) - int(z)) for b in row] for row, s, z in zip(BYTES, Y[0], BYTES[:, 0], strict=True)]),
]  # fmt: skip
CASES["constexpr_affine_dequantize"] = [
    ({"quantized_data": BYTES, "scale": Y[0], "zero_point": BYTES[:, 0], "axis": 0},
     [[float(s) * (int(b) - int(z)) for b in row] for row, s, z in zip(BYTES, Y[0], BYTES[:, 0], strict=True)]),
    ({"quantized_data": BYTES.view(np.uint8), "scale": 0.5, "zero_point": 200, "axis": 0},
     [[0.5 * (int(b) % 256 - 200) for b in row] for row in BYTES]),
]  # fmt: skip
SCALES, OFFSETS = Y[:2, :3], np.array([[1, 2, 3], [-4, -5, -6]], np.int8)  # blocks of 2 x 2
CASES["constexpr_blockwise_shift_scale"] = [
    ({"data": BYTES, "scale": SCALES, "offset": OFFSETS},
     [[float(SCALES[i // 2, j // 2]) * (int(BYTES[i, j]) - int(OFFSETS[i // 2, j // 2])) for j in range(6)]
      for i in range(4)]),
    ({"data": BYTES, "scale": Y[:, :1][:1]}, BYTES * float(Y[0, 0])),
]  # fmt: skip


def packed(indices: list[int], bits: int) -> Any:
    """Write each index as bits, the lowest first, and cut the stream into bytes, the lowest bit first."""
    stream = "".join(format(index, f"0{bits}b")[::-1] for index in indices)
    parts = (stream[start : start + 8] for start in range(0, len(stream), 8))
    return np.array([int(part[::-1], 2) for part in parts], np.uint8)


TABLE = RNG.normal(0, 1, 64).astype(np.float32)
CASES["constexpr_lut_to_dense"] = [
    # MIL's own example: two bits each, 01 10 11 00 in the first byte, 11 in the second
    ({"indices": np.array([0b01101100, 0b11], np.uint8), "lut": np.array([0, 10, 20, 30], np.float32), "shape": (5,)},
     [0, 30, 20, 10, 30]),
    ({"indices": packed([1, 63, 32, 0, 17, 42], 6), "lut": TABLE, "shape": (2, 3)},
     [[TABLE[1], TABLE[63], TABLE[32]], [TABLE[0], TABLE[17], TABLE[42]]]),
]  # fmt: skip


def tensors(value: Any) -> Any:
    """Turn arrays into tensors, in lists, too."""
    if isinstance(value, list):
        return [tensors(item) for item in value]
    return torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value


def test_every_operator_has_a_case() -> None:
    assert sorted(CASES) == sorted(mil_operators.OPERATORS)


@pytest.mark.parametrize("name", sorted(CASES))
def test_operator(name: str) -> None:
    for inputs, wanted in CASES[name]:
        found = mil_operators.OPERATORS[name]({key: tensors(value) for key, value in inputs.items()})
        results, targets = (found, wanted) if isinstance(found, list) else ([found], [wanted])
        for result, target in zip(results, targets, strict=True):
            assert tuple(result.shape) == np.shape(target), inputs
            assert result.dtype == getattr(torch, inputs.get("output_dtype", "float32"))
            np.testing.assert_allclose(result.numpy(), np.asarray(target), rtol=1e-5, atol=1e-5, err_msg=str(inputs))


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("conv", {"x": IMAGE, "weight": FULL, "pad_type": "same"}, "conv: pad_type same"),
        ("pad", {"x": X, "pad": (1, 1), "mode": "reflect"}, "pad: mode reflect"),
        ("slice_by_index", {"x": X, "begin": (2, 0), "end": (0, 4), "stride": (-1, 1)}, "a negative stride"),
        ("cast", {"x": X, "dtype": "int32"}, "cast: to int32"),
        ("constexpr_lut_to_dense", {"indices": BYTES, "lut": TABLE[:3], "shape": (1,)}, "a table of 3 entries"),
        ("constexpr_blockwise_shift_scale", {"data": BYTES, "scale": Y[:3, :1]}, "3 scales on axis 0 of 4 entries"),
    ],
)
def test_what_has_no_definition_is_refused(name: str, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        mil_operators.OPERATORS[name]({key: tensors(value) for key, value in inputs.items()})
