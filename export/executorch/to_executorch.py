"""ExecuTorch: the writer (through XNNPACK), and a reader on the runtime in the Python wheel."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.fx import traceback

from export.contract import Contract
from export.parity_record import Facts
from pocketmood.programs import Program, open_executorch
from pocketmood.runs import write_bytes


def write(module: nn.Module, shape: Sequence[int], path: Path, contract: Contract) -> Facts:
    """Write a module of one input (see `rewrite.for_xnnpack`, `quantise`) with the contract as constant methods.

    Returns facts for the record: delegated subgraphs, the operators left outside of them, planned memory.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.devtools.backend_debug import get_delegation_info
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    with _lean_lowering():
        # The contract travels as constant methods, which Python, Kotlin and C++ can all execute.
        edge = to_edge_transform_and_lower(
            torch.export.export(module, (torch.zeros(*shape),)),
            partitioner=[XnnpackPartitioner()],
            constant_methods=dict(contract),
            # The verifier retraces the program several times; parity checks the result more strictly.
            compile_config=EdgeCompileConfig(_check_ir_validity=False),
        )
        info = get_delegation_info(edge.exported_program().graph_module)
        program = edge.to_executorch()
    write_bytes(path, bytes(program.buffer))

    outside = {
        name: counts.non_delegated
        for name, counts in sorted(info.delegation_by_operator.items())
        if counts.non_delegated and name != "getitem"  # taking one of a delegate's outputs computes nothing
    }
    plan = program.executorch_program.execution_plan[0]
    return Facts(
        delegated_subgraphs=info.num_delegated_subgraphs,
        undelegated_ops=sum(outside.values()),
        left_outside=", ".join(f"{count} {name}" for name, count in outside.items()),
        planned_bytes=sum(plan.non_const_buffer_sizes),
    )


def read(path: Path, threads: int = 0) -> Program:
    """Open a program; threads 0 lets the runtime choose (its pool is shared by all programs of the process)."""
    return open_executorch(path, threads)


def read_contract(path: Path) -> dict[str, Any]:
    """Return what the constant methods of a program say."""
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(path)
    methods = {name: program.load_method(name) for name in sorted(program.method_names) if name != "forward"}
    return {name: method.execute([])[0] for name, method in methods.items() if method is not None}


@contextmanager
def _lean_lowering() -> Iterator[None]:
    """Leave out what makes lowering slow and its result no better, while it lasts.

    Every pass deep-copies each node's history of earlier passes; sharing these read-only records saves
    time, and the garbage collector finds nothing in graphs that are all alive.
    """
    source: Any = traceback.NodeSource
    source.__deepcopy__ = lambda self, _memo: self
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        del source.__deepcopy__
        if collecting:
            gc.enable()
