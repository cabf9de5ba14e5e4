"""Weight compression for CoreML: a float16 network, int8 weights, or 6-bit palettes.

The front end stays in float32 in each of them: a power spectrum overflows float16, and a rounded DFT or mel matrix is
another spectrogram. With compressed weights the network, too, computes in float32: then PyTorch can repeat the package
to the last bits, which proves the stored numbers; what float16 costs is the float16 package's own record.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.config import Precision
from export.coreml.mil import COMPRESSED
from export.pipeline import Pipeline
from pocketmood.errors import ExportError

NETWORK = ("p_network_", "b_network_")
"""How torch.export begins the names of the network's parameters and buffers."""
MIN_NUMBERS = 2048
"""Smaller tensors stay as they are. On the demo's student they are 1 % of the weights, and a palette for each of those
above 512 made the largest error of its predictions four times larger: .046 instead of .011."""
PALETTE = 64
"""Entries of a palette: 6 bits per weight."""
_SUFFIXES = ("_quantized", "_palettized")


def compute_precision(precision: Precision) -> Any:
    """Return what `coremltools.convert` is to compute in."""
    import coremltools as ct

    if precision == "fp16":
        return ct.transform.FP16ComputePrecision(op_selector=BehindFrontEnd())
    return ct.precision.FLOAT32


class BehindFrontEnd:
    """Tells which operators of a program belong to the network: those that its weights have reached."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[Any, bool] = {}

    def __call__(self, operation: Any) -> bool:
        """Tell for one operator; its predecessors are looked at first."""
        # Remembered, because graphs branch and join: without it every path to the input would be walked again.
        if operation not in self._known:
            if operation.op_type == "const":
                self._known[operation] = operation.name.startswith(NETWORK)
            else:
                groups = (entry if isinstance(entry, list | tuple) else [entry] for entry in operation.inputs.values())
                makers = [given.op for group in groups for given in group if given is not None and given.op is not None]
                self._known[operation] = any(self(maker) for maker in makers)
        return self._known[operation]


def compressed(model: Any, precision: Precision) -> Any:
    """Return a converted model with the network's weights in int8 or palettes, or as it is."""
    import coremltools.optimize.coreml as cto

    if precision == "int8":
        linear = cto.OpLinearQuantizerConfig(
            mode="linear_symmetric", dtype="int8", granularity="per_channel", weight_threshold=MIN_NUMBERS
        )
        return cto.linear_quantize_weights(model, _only_network(model, linear))
    if precision == "palette6":
        palettes = cto.OpPalettizerConfig(mode="custom", lut_function=palette, weight_threshold=MIN_NUMBERS)
        return cto.palettize_weights(model, _only_network(model, palettes))
    return model


def palette(weight: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return 64 values and, for each weight, the index of the nearest: k-means on a line (Lloyd 1982).

    It starts with values as dense as the cube root of the weights' density, the optimum for many values (Panter and
    Dite 1951), and needs no random numbers: the same weights give the same bytes.
    """
    # Sorted once, with running sums: the mean of a cell is then two look-ups, and a step costs 64 of them.
    values = np.sort(weight.reshape(-1).astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    counts, edges = np.histogram(values, 1024)
    share = np.concatenate([[0.0], np.cumsum(np.cbrt(counts))])
    centres = np.interp((np.arange(PALETTE) + 0.5) / PALETTE, share / share[-1], edges)
    for _ in range(100):  # normal weights need 20 to 60, and none of it is seen in the error beyond 30
        borders = np.searchsorted(values, (centres[1:] + centres[:-1]) / 2)
        starts, ends = np.concatenate([[0], borders]), np.concatenate([borders, [len(values)]])
        # An empty cell keeps its centre.
        moved = np.where(ends > starts, (sums[ends] - sums[starts]) / np.maximum(ends - starts, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved

    # Indices are made from the table as it is stored, not from the float64 centres: the nearest may be another.
    table = centres.astype(np.float32)
    middles = (table[1:].astype(np.float64) + table[:-1]) / 2
    return table.astype(weight.dtype), np.searchsorted(middles, weight.reshape(-1)).astype(np.uint8)


def with_own_weights(pipeline: Pipeline, program: Any, precision: Precision) -> tuple[Pipeline, int]:
    """Return a copy of a pipeline with the weights that a compressed program stores, and how many tensors these are.

    They are decompressed by coremltools' operators, not by those of `mil_quantised`, so that each proves the other.
    ExportError where a stored weight lies farther from the pipeline's own than compression explains.
    """
    copied = copy.deepcopy(pipeline)
    tensors = {f"p_{name.replace('.', '_')}": tensor for name, tensor in copied.named_parameters()}
    operations = program.functions["main"].operations
    stored = [operation for operation in operations if operation.op_type.startswith(COMPRESSED)]
    for operation in stored:
        name = operation.name
        for suffix in _SUFFIXES:
            name = name.removesuffix(suffix)
        if name not in tensors:
            raise ExportError(f"the CoreML program compresses {operation.name}, which is no weight of the network")

        weight, found = tensors[name].numpy(), np.asarray(operation.materialized_val_inference())
        wrong = int((~(np.abs(found - weight) <= rounding(weight, precision))).sum())  # not a number is wrong, too
        if wrong:
            raise ExportError(f"{wrong} of the {found.size} numbers stored for {name} are not those of the network")
        tensors[name].copy_(torch.from_numpy(found))
    if not stored:
        raise ExportError("the CoreML program holds no compressed weight")
    return copied, len(stored)


def rounding(weight: NDArray[np.float32], precision: Precision) -> NDArray[np.float64]:
    """Return how far a stored weight may lie from the original, number by number: hardly farther than it must."""
    if precision == "int8":
        # Half a step, and a little more for the arithmetic of float32.
        step = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True) / 127
        return np.broadcast_to(0.51 * step.astype(np.float64), weight.shape)
    table, indices = palette(weight)
    nearest: NDArray[np.float64] = np.abs(table[indices].reshape(weight.shape).astype(np.float64) - weight)
    return nearest + 1e-6 * float(np.abs(weight).max())


def _only_network(model: Any, config: Any) -> Any:
    """Apply a compression to the weights of the network and to nothing else."""
    import coremltools.optimize.coreml as cto

    # By name, because `global_config` would compress the front end's matrices, too.
    operations = model._mil_program.functions["main"].operations
    constants = [operation.name for operation in operations if operation.op_type == "const"]
    names = [name for name in constants if name.startswith(NETWORK)]
    return cto.OptimizationConfig(global_config=None, op_name_configs=dict.fromkeys(names, config))
