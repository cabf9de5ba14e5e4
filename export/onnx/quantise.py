"""Static int8 quantisation for ONNX Runtime: the fp32 program with QDQ pairs, per channel, calibrated, and counted.

Weights have 7 bits: on x86 without int8 dot products ONNX Runtime adds pairs of products in 16 bits, which saturate
with 8 (signed activations, too, are made unsigned first). With 8 bits the tests' tiny student lay .12 from its own
graph and the demo's 1.9e-2; with 7 the tiny one predicts what its graph does and the demo's lay 3.6e-3 from it, no
further from fp32 than before.

The front end is not touched: its products are no `Conv` and no `Gemm`, and only nodes that hold weights of the
network's blocks are quantised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from export.contract import Contract
from export.int8.quantise import FLOAT_PATHS, group_named
from export.onnx.to_onnx import seal
from pocketmood.errors import ExportError
from pocketmood.programs import INPUT_NAME, Array

KINDS = {"Conv": "convolution", "Gemm": "linear"}
"""What may be int8; the pre-processing makes a `Gemm` of each linear layer."""


class Counts(NamedTuple):
    """What became of the operators that could have been int8, by kind."""

    quantised: dict[str, int]
    left_float: dict[str, int]


def write(source: Path, path: Path, clips: Iterable[Array], left: Collection[str], contract: Contract) -> Counts:
    """Quantise the fp32 program at `source`, but for the groups in `left` (see `quantise.group_of`).

    clips: waveforms [1, S] that set the activation ranges.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # The pre-processing makes the `Gemm` nodes that may be quantised.
    prepared, raw = path.with_suffix(".prepared"), path.with_suffix(".raw")
    quant_pre_process(str(source), str(prepared))

    nodes = {node.name: node for node in onnx.load(prepared).graph.node if node.op_type in KINDS}
    chosen = [name for name, node in nodes.items() if may_be_quantised(node, left)]
    if not chosen:
        raise ExportError(f"{path.name}: none of its {len(nodes)} convolutions and linear layers may be int8")
    quantize_static(
        str(prepared),
        str(raw),
        _Reader(clips),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,  # 7 bits
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=list(KINDS),
        nodes_to_quantize=chosen,
    )
    seal(onnx.load(raw), path, contract)
    for file in (prepared, raw):
        file.unlink()

    quantised = Counter(KINDS[nodes[name].op_type] for name in chosen)
    return Counts(dict(quantised), dict(Counter(KINDS[node.op_type] for node in nodes.values()) - quantised))


def may_be_quantised(node: Any, left: Collection[str]) -> bool:
    """Tell whether a `Conv` or `Gemm` holds weights of a block that is not to stay float."""
    group = group_of(node)
    return group is not None and group not in left


def group_of(node: Any) -> str | None:
    """Name the group of a node, by its weight's or its bias's name; None outside of the network's blocks."""
    # A linear layer's weight may be called `val_145`; then its bias still names the layer.
    paths = [name.rpartition(".")[0] for name in node.input if name.startswith("network.")]
    if not paths or paths[0] in FLOAT_PATHS or node.op_type not in KINDS:
        return None
    return group_named(paths[0], KINDS[node.op_type])


class _Reader:
    """Hands ONNX Runtime's calibration one clip after the other."""

    def __init__(self, clips: Iterable[Array]) -> None:
        self.clips: Iterator[Array] = iter(clips)

    def get_next(self) -> dict[str, Array] | None:
        """Return the next input, or None at the end."""
        clip = next(self.clips, None)
        return None if clip is None else {INPUT_NAME: clip}
