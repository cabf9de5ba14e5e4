"""Evaluator of CoreML programs on any system: MIL operators, as their specification defines them, in torch.

It works from the saved package alone (`to_coreml.read_program`), so it proves the program that ships: its operators,
their order and parameters, its weights, also where these are stored in few bits. Arithmetic is float32; where the
program says float16, the result of every operator is rounded to float16. It says nothing about Apple's kernels, which
only a Mac can run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from export.coreml.mil_operators import OPERATORS
from export.parity_record import Facts
from pocketmood.errors import ExportError
from pocketmood.programs import INPUT_NAME, OUTPUT_NAMES, Array, Program

COMPRESSED = "constexpr_"
"""How the names of operators begin that make weights from stored numbers, once, before the program runs."""


def evaluator(program: Any, watch: Callable[[Any, list[Tensor]], None] | None = None) -> Program:
    """Open a MIL program in this evaluator.

    watch: is shown every operation that computes, and its results.
    """
    refuse_unknown(program)
    main = program.functions["main"]
    # Weights are decompressed here, once for all runs.
    constants = _constants(main.operations)
    steps = [operation for operation in main.operations if not _is_constant(operation)]

    def run(waveform: Array) -> tuple[Array, Array]:
        values = constants | {main.inputs[INPUT_NAME]: torch.from_numpy(np.ascontiguousarray(waveform))}
        with torch.inference_mode():
            for operation in steps:
                found = _step(operation, values)
                values |= found
                if watch is not None:
                    watch(operation, [found[output] for output in operation.outputs])
        named = {output.name: values[output].numpy() for output in main.outputs}
        emotion, interval68 = (named[name] for name in OUTPUT_NAMES)
        return emotion, interval68

    return run


def describe(program: Any) -> Facts:
    """Return facts about a program: operators by kind, stored numbers; ExportError if its ends are not ours."""
    main = program.functions["main"]
    ends = ([*main.inputs], [output.name for output in main.outputs])
    if ends != ([INPUT_NAME], list(OUTPUT_NAMES)):
        raise ExportError(f"the CoreML program's inputs and outputs are {ends}")
    kinds = [(tuple(output.shape), _dtype(output)) for output in main.outputs]
    if kinds != [((1, 2), "fp32")] * 2:
        raise ExportError(f"the CoreML program's outputs are {kinds}")

    weights = [o.outputs[0].val for o in main.operations if o.op_type == "const" and np.size(o.outputs[0].val) > 1]
    numbers = [value for value in weights if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
    # A float16 package may hold what became infinite when it was written.
    if not all(np.isfinite(value).all() for value in numbers):
        raise ExportError("a weight of the CoreML program is not finite")

    census = Counter(operation.op_type for operation in main.operations if not _is_constant(operation))
    return Facts(
        operators=sum(census.values()),
        operator_types=len(census),
        weights=sum(value.size for value in numbers),
        compressed_weights=sum(int(np.prod(o.outputs[0].shape)) for o in main.operations if _is_compressed(o)),
        float16_ops=sum(_dtype(o.outputs[0]) == "fp16" for o in main.operations if not _is_constant(o)),
    )


def refuse_unknown(program: Any) -> None:
    """Refuse operators that have no definition here, by name."""
    unknown = {o.op_type for o in program.functions["main"].operations if o.op_type != "const"} - set(OPERATORS)
    if unknown:
        names = ", ".join(sorted(unknown))
        raise ExportError(f"the CoreML program holds {names}, which export/coreml/mil_operators.py does not define")


def _constants(operations: Any) -> dict[Any, Any]:
    """Read all constants of a program and decompress its weights, once for all runs."""
    found: dict[Any, Any] = {}
    for operation in operations:
        if operation.op_type == "const":
            found[operation.outputs[0]] = _constant(operation.outputs[0].val)
        elif _is_compressed(operation):
            found |= _step(operation, found)
    return found


def _constant(value: Any) -> Any:
    """Return weights as tensors; scalars, strings and index lists become Python's own."""
    if not isinstance(value, np.ndarray):
        return value.item() if isinstance(value, np.generic) else value
    if value.dtype.kind == "f":
        return torch.from_numpy(value.astype(np.float32))
    if value.dtype.itemsize == 1 and value.dtype.kind in "iu":  # stored weights, not sizes or axes
        return torch.from_numpy(np.array(value))
    return tuple(value.tolist())


def _step(operation: Any, values: dict[Any, Any]) -> dict[Any, Tensor]:
    """Run one operator and return its outputs, in the type and shape that the program declares."""
    inputs = {
        name: [values[entry] for entry in given] if isinstance(given, list | tuple) else values[given]
        for name, given in operation.inputs.items()
        if given is not None
    }
    result = OPERATORS[operation.op_type](inputs)
    results = result if isinstance(result, list) else [result]

    found = {}
    for output, tensor in zip(operation.outputs, results, strict=True):
        # A wrong definition often shows here first, and by the operator's name.
        if tuple(output.shape) != tuple(tensor.shape):
            raise ExportError(
                f"CoreML operator {operation.op_type} {output.name}: {tuple(tensor.shape)}, "
                f"the program says {tuple(output.shape)}"
            )
        found[output] = tensor.half().float() if _dtype(output) == "fp16" else tensor
    return found


def _dtype(variable: Any) -> str:
    """Return the type that a program declares: fp32, fp16, int8, ..."""
    from coremltools.converters.mil.mil import types

    return str(types.builtin_to_string(variable.dtype))


def _is_compressed(operation: Any) -> bool:
    return str(operation.op_type).startswith(COMPRESSED)


def _is_constant(operation: Any) -> bool:
    return operation.op_type == "const" or _is_compressed(operation)
