"""CoreML: the writer, a reader for macOS, and `read_program` for everywhere else (see `mil`)."""

from __future__ import annotations

import json
import logging
import os
import sys
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from export.config import Precision
from export.contract import Contract
from export.coreml.compress import compressed, compute_precision
from export.coreml.package import refuse_escapes
from export.parity_record import Facts
from pocketmood.errors import ExportError
from pocketmood.programs import INPUT_NAME, OUTPUT_NAMES, Array, Program
from pocketmood.runs import write_bytes

_PROGRAM = Path("Data", "com.apple.CoreML", "model.mlmodel")
_WEIGHTS = Path("Data", "com.apple.CoreML", "weights")
_DEBUG_NAMES = "executorch_debug_handle_mapping.json"
"""coremltools leaves it beside the package's parts: 150 kB of operator names for a debugger of another runtime."""


def write(module: nn.Module, samples: int, path: Path, contract: Contract, precision: Precision = "fp32") -> Facts:
    """Write a module (see `rewrite.for_coreml`, `quantise`) as an ML program with the contract as metadata.

    `precision` says what becomes of the network (see `compress`); a quantised graph brings its own int8, as "w8a8". The
    front end is float32 always: CoreML's default, float16, overflows in the power spectrum.
    """
    with _quiet():
        import coremltools as ct

        # Through torch.export: converting a trace fails at the front end. Saving needs no Mac, loading does, and
        # converting would load the model unless told to skip it.
        model = ct.convert(
            torch.export.export(module, (torch.zeros(1, samples),)).run_decompositions({}),
            inputs=[ct.TensorType(name=INPUT_NAME, shape=(1, samples))],
            outputs=[ct.TensorType(name=name, dtype=np.float32) for name in OUTPUT_NAMES],
            minimum_deployment_target=ct.target.iOS17,
            compute_precision=compute_precision(precision),
            skip_model_load=True,
        )
        model = compressed(model, precision)
        for name, value in contract.items():
            model.user_defined_metadata[name] = str(value)
        model.save(str(path))
        # coremltools writes the program's maps in an order that changes from process to process.
        ordered = ct.utils.load_spec(str(path)).SerializeToString(deterministic=True)

    write_bytes(path / _PROGRAM, ordered)
    (path / _DEBUG_NAMES).unlink(missing_ok=True)
    _same_names_every_time(path / "Manifest.json")
    return Facts(operators=len(model._mil_program.functions["main"].operations))


def read(path: Path, threads: int = 0) -> Program:
    """Open a program with Apple's runtime, which exists on macOS only and chooses its own threads."""
    del threads
    refuse_escapes(path)
    if sys.platform != "darwin":
        raise ExportError(
            f"{path.name}: CoreML runs on macOS only; elsewhere `read_program` and `mil` check the program"
        )
    with _quiet():
        import coremltools as ct

        # On the processor alone, so that every Mac computes the same.
        model = ct.models.MLModel(str(path), compute_units=ct.ComputeUnit.CPU_ONLY)

    def run(waveform: Array) -> tuple[Array, Array]:
        outputs = model.predict({INPUT_NAME: waveform})
        emotion, interval68 = (np.asarray(outputs[name], np.float32) for name in OUTPUT_NAMES)
        return emotion, interval68

    return run


def read_program(path: Path) -> tuple[Any, dict[str, str]]:
    """Read a saved package back: its MIL program with all weights, and its user-defined metadata.

    BundleError for a package that names anything outside of itself.
    """
    refuse_escapes(path)
    with _quiet():
        import coremltools as ct
        from coremltools.converters.mil.frontend.milproto.load import load

        spec = ct.utils.load_spec(str(path))
        program = load(spec, spec.specificationVersion, str(path / _WEIGHTS))
    return program, dict(spec.description.metadata.userDefined)


def _same_names_every_time(manifest: Path) -> None:
    """Replace the random names of a package's parts by names that follow from their paths."""
    text = manifest.read_text()
    for name, entry in json.loads(text)["itemInfoEntries"].items():
        text = text.replace(name, str(uuid.uuid5(uuid.NAMESPACE_URL, entry["path"])).upper())
    manifest.write_text(text)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings that nobody can act on: an untested torch version, Apple's libraries missing on Linux."""
    logger = logging.getLogger("coremltools")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
