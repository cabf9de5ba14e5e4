"""Opens a program in its runtime: a waveform in, an emotion and its interval out, whatever the runtime.

onnxruntime is enough for ONNX; ExecuTorch needs the extra `export`. CoreML programs, which only macOS runs, are opened
by `export.coreml.to_coreml`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketmood.errors import BundleError
from pocketmood.onnx_session import open_session

Array = NDArray[np.float32]
Program = Callable[[Array], tuple[Array, Array]]
"""An open program: waveform [1, S] in [-1, 1] -> emotion [1, 2] and interval68 [1, 2], valence before arousal."""

INPUT_NAME = "waveform"
OUTPUT_NAMES = ("emotion", "interval68")
"""Each [1, 2]: valence and arousal."""


def open_onnx(model: bytes | Path, threads: int = 0, *, as_written: bool = False) -> Program:
    """Open an ONNX program; threads 0 lets ONNX Runtime choose; as_written: no node is fused with another."""
    session = open_session(model, threads, as_written=as_written)

    def run(waveform: Array) -> tuple[Array, Array]:
        emotion, interval68 = session.run(list(OUTPUT_NAMES), {INPUT_NAME: waveform})
        return emotion, interval68

    return run


def open_executorch(model: bytes | Path, threads: int = 0) -> Program:
    """Open an ExecuTorch program; threads 0 lets the runtime choose (its pool is shared by the whole process)."""
    if threads:
        set_executorch_threads(threads)
    call = open_method(model)

    def run(waveform: Array) -> tuple[Array, Array]:
        emotion, interval68 = call(waveform)
        return emotion, interval68

    return run


def open_method(model: bytes | Path) -> Callable[[Array], list[Array]]:
    """Open an ExecuTorch program of one input, ours or not, and return its method `forward`."""
    _require_executorch()
    import torch
    from executorch.runtime import Runtime

    # Full verification is what `load_program` asks for: release builds of the runtime otherwise check next to nothing.
    program = Runtime.get().load_program(model)
    method = program.load_method("forward")
    if method is None:
        raise BundleError("the program has no method `forward`; is it one of ours?")

    def call(given: Array) -> list[Array]:
        outputs = method.execute([torch.from_numpy(np.ascontiguousarray(given))])
        # Copies, because the runtime uses the same buffers in the next call.
        return [output.numpy().copy() for output in outputs]

    # The method points into the program, which must live as long.
    call.program = program  # type: ignore[attr-defined]
    return call


def set_executorch_threads(threads: int) -> None:
    """Set the size of ExecuTorch's thread pool, for all programs of this process."""
    _require_executorch()
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(threads)


def _require_executorch() -> None:
    try:
        import executorch.runtime  # noqa: F401
    except ImportError as error:
        raise BundleError(
            "the runtime ExecuTorch is not installed: pip install 'pocketmood[export]' (in a checkout: pip install "
            "'.[export]'), or use --runtime onnxruntime"
        ) from error
