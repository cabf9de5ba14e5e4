"""ONNX: the writer, and a reader on ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from export.contract import Contract
from export.parity_record import Facts
from export.pipeline import Pipeline
from pocketmood.errors import ExportError
from pocketmood.onnx_session import open_session
from pocketmood.programs import INPUT_NAME, OUTPUT_NAMES, Program, open_onnx
from pocketmood.runs import write_bytes


def write(pipeline: Pipeline, path: Path, contract: Contract) -> Facts:
    """Write a pipeline (see `rewrite.for_onnx`) with the contract as metadata; return facts for the record."""
    import torch

    example = torch.zeros(1, pipeline.spec.samples)
    program = torch.onnx.export(
        pipeline, (example,), dynamo=True, input_names=[INPUT_NAME], output_names=list(OUTPUT_NAMES), verbose=False
    )
    if program is None:
        raise ExportError("torch.onnx.export returned no program")
    model = program.model_proto
    seal(model, path, contract)
    # Other domains have versions of their own.
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    return Facts(opset=opset, operators=len(model.graph.node))


def seal(model: Any, path: Path, contract: Contract) -> None:
    """Write a model's bytes, the same ones for the same model, with the contract for its only metadata."""
    strip_metadata(model.graph)
    for function in model.functions:
        strip_metadata(function)
    del model.metadata_props[:]
    for name, value in contract.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, str(value)
    write_bytes(path, model.SerializeToString(deterministic=True))


def read(path: Path, threads: int = 0, as_written: bool = False) -> Program:
    """Open a program; threads 0 lets ONNX Runtime choose; as_written: every node is computed as it stands, in float."""
    return open_onnx(path, threads, as_written=as_written)


def read_contract(path: Path) -> dict[str, str]:
    """Return the contract a program carries; ExportError if names or shapes of its ends are not ours."""
    session = open_session(path, 1)
    ends = [(end.name, end.shape, end.type) for end in (*session.get_inputs(), *session.get_outputs())]
    # A port is written against these names, and a wrong one shows on a phone only when it runs.
    names = [name for name, _, _ in ends]
    if names != [INPUT_NAME, *OUTPUT_NAMES] or any(kind != "tensor(float)" for _, _, kind in ends):
        raise ExportError(f"{path.name}: its inputs and outputs are {ends}")
    return dict(session.get_modelmeta().custom_metadata_map)


def strip_metadata(graph: Any) -> None:
    """Drop stack traces: they hold paths of the exporting machine and make equal models differ."""
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.value_info, *getattr(graph, "initializer", ())):
        del part.metadata_props[:]
    for end in (*graph.input, *graph.output):
        if not isinstance(end, str):
            del end.metadata_props[:]
