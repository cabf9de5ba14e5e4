"""Localises a fault: the first module whose values in an artefact leave those of PyTorch, in order of computation.

Two comparisons, the first that finds something speaks. The network as it was rewritten for a runtime against the stock
one, both in PyTorch, shows a fault of a rewrite. The program's own values against the rewritten network's show a fault
of a writer or a runtime: ONNX Runtime hands out every value, and so does the evaluator of CoreML programs. An XNNPACK
delegate hands out none, so for a `.pte` the line says how far one could see.

Modules and values are matched by the weights that they hold: a convolution, linear layer or LayerNorm writes the output
of the module after which its weight is named. What ONNX Runtime fuses is not seen, because the program is run as it
is written: one that nowhere diverges and is red all the same has a fault in the runtime's own kernels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from export import rewrite
from export.config import Artefact
from export.pipeline import Pipeline
from pocketmood.onnx_session import open_session
from pocketmood.programs import INPUT_NAME, OUTPUT_NAMES, Array

Values = Mapping[str, Array]
"""Outputs of modules, by path and in order; then the outputs of the program, by name."""

FINE = 1e-3
"""Largest error that rounding explains, as a share of a module's largest value."""
COARSE = 0.1
"""The same for programs of fewer bits."""
_REWRITES = {"onnx": rewrite.for_onnx, "executorch": rewrite.for_xnnpack, "coreml": rewrite.for_coreml}
_HOLDERS = ("Conv", "Gemm", "MatMul", "Add", "LayerNormalization")
_WEIGHT = re.compile(r"(network\.[\w.]+?)\.(?:weight|bias)(?:_\w+)?$")
"""A weight's name in an ONNX program; int8 adds a suffix."""


class Divergence(NamedTuple):
    """The first module whose output is beyond the tolerance, or else the one that is furthest off."""

    module: str
    error: float
    """Largest difference, as a share of the module's largest value."""
    is_beyond: bool


def explain(artefact: Artefact, path: Path, pipeline: Pipeline, wave: Array) -> str:
    """Say in one line where a written program first diverges from a pipeline on one clip [1, S]."""
    rewritten = _REWRITES[artefact.format](pipeline)
    # First in PyTorch alone: a fault of the rewrite would else be blamed on the writer.
    stock, ours = module_values(pipeline, wave), module_values(rewritten, wave)
    comparable = {name: value for name, value in stock.items() if name not in _folded(pipeline)}
    found = first(comparable, ours, FINE)
    if found.is_beyond:
        return f"first diverges at {found.module}: error {found.error:.1e} of its range (rewritten in PyTorch)"
    if artefact.format == "executorch":
        return (
            f"in PyTorch the rewritten network nowhere diverges (most at {found.module}: error {found.error:.1e} of "
            "its range): the fault lies in quantisation, lowering or XNNPACK, whose delegate shows no value inside"
        )

    theirs = onnx_values(path, wave) if artefact.format == "onnx" else coreml_values(path, wave, list(ours))
    found = first(ours, theirs, FINE if artefact.precision == "fp32" else COARSE)
    verb = "first diverges" if found.is_beyond else "nowhere diverges by more than rounding, most"
    return f"{verb} at {found.module}: error {found.error:.1e} of its range"


def first(wanted: Values, found: Values, tolerance: float) -> Divergence:
    """Compare what both hold, in the order of `wanted`; a value that is no number is infinitely far off."""
    most = Divergence("no module that both hold", 0.0, False)
    for name, value in wanted.items():
        # Sizes and not shapes: a rewrite may keep the numbers and not their shape.
        if name not in found or found[name].size != value.size:
            continue
        error = float(np.abs(found[name].reshape(-1).astype(np.float64) - value.reshape(-1)).max())
        # As a share of the module's range, because values grow and shrink along the network.
        share = error / max(float(np.abs(value).max()), 1e-6) if np.isfinite(error) else float("inf")
        if share > tolerance:
            return Divergence(name, share, True)
        if share >= most.error:
            most = Divergence(name, share, False)
    return most


def module_values(pipeline: nn.Module, wave: Array) -> dict[str, Array]:
    """Run a pipeline and keep what each module returned, in the order of computation."""
    values: dict[str, Array] = {}

    def keep(path: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                values[path] = output.detach().clone().numpy()  # the next module may overwrite it

        return hook

    handles = [module.register_forward_hook(keep(path)) for path, module in pipeline.named_modules() if path]
    try:
        with torch.inference_mode():
            outputs = pipeline(torch.from_numpy(wave))
    finally:
        for handle in handles:
            handle.remove()
    return values | {name: output.numpy() for name, output in zip(OUTPUT_NAMES, outputs, strict=True)}


def onnx_values(path: Path, wave: Array) -> dict[str, Array]:
    """Run an ONNX program as it is written, and return the values that belong to modules."""
    import onnx

    model = onnx.load(path)
    places: dict[str, str] = {}
    for node in model.graph.node:
        paths = [found[1] for name in node.input if (found := _WEIGHT.match(name))]
        if node.op_type in _HOLDERS and paths:
            places.setdefault("front", node.input[0])
            places[paths[0]] = node.output[0]  # a linear layer's sum comes after its product

    # ONNX Runtime hands out what the graph declares as an output, and nothing else.
    ends = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in {*places.values()} - ends)
    session = open_session(model.SerializeToString(), as_written=True)
    names = [*places.values(), *OUTPUT_NAMES]
    values = dict(zip(names, session.run(names, {INPUT_NAME: wave}), strict=True))
    return {place: values[name] for place, name in places.items()} | {name: values[name] for name in OUTPUT_NAMES}


def coreml_values(path: Path, wave: Array, modules: Iterable[str]) -> dict[str, Array]:
    """Run a CoreML program in the evaluator, and return the values that belong to these modules."""
    from export.coreml import mil, to_coreml

    program, _ = to_coreml.read_program(path)
    # torch.export calls a parameter `p_` and its path with underscores, and coremltools keeps the name.
    owners = {f"p_{module.replace('.', '_')}": module for module in modules}
    values: dict[str, Array] = {}

    def watch(operation: Any, results: Sequence[Tensor]) -> None:
        weight = operation.inputs.get("weight", operation.inputs.get("gamma"))
        module = owners.get(str(getattr(weight, "name", "")).rpartition("_weight")[0])
        if module is not None:
            values[module] = results[0].numpy()

    outputs = mil.evaluator(program, watch)(wave)
    return values | dict(zip(OUTPUT_NAMES, outputs, strict=True))


def _folded(pipeline: nn.Module) -> set[str]:
    """Return the modules whose own outputs a rewrite changes, by design, because it moves a scale past them.

    These are convolutions, which take over their batch norm, and in a transformer block the norms, whose scale moves
    into the next layer, and the layer that makes the queries, which takes over the scale of their products.
    """
    folded = set()
    for path, module in pipeline.named_modules():
        if isinstance(getattr(module, "bn", None), nn.BatchNorm2d):
            folded.add(f"{path}.conv")
        if type(module).__name__ == "Block":
            folded |= {f"{path}.{name}" for name in ("norm1", "norm2", "attn.qkv")}
    return folded
