"""ONNX Runtime sessions on the processor: the one place that opens them, so that all are opened alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_ERRORS_ONLY = 3


def open_session(model: bytes | Path, threads: int = 0, *, as_written: bool = False, spinning: bool = True) -> Any:
    """Return an `onnxruntime.InferenceSession` of a program, given as a file or as its bytes.

    threads: 0 lets the runtime choose. as_written: leave out all graph optimisations, so that every value of the file
    is there to be read. spinning: let idle threads wait in a loop, as ONNX Runtime does unless told otherwise.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Warnings are about operators that stay on the processor, where we want all of them.
    options.log_severity_level = _ERRORS_ONLY
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    program = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(program, options, providers=["CPUExecutionProvider"])
