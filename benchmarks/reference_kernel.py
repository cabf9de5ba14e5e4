"""The reference kernel: a fixed piece of work that stands for the machine, timed around every call of a row.

Most of it is arithmetic (a matrix product), a part is traffic (a sum over arrays larger than a core's own caches), as
in a network, and it has as many threads as the rows: what slows a network down, a busy neighbour or a lower clock,
slows this down alike. It runs in ONNX Runtime, whose threads can be told to sleep while they wait: OpenMP's spin, and
on a crowded machine the same product in PyTorch took twenty times as long while the rows took ten times as long.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketmood.onnx_session import open_session

SIDE = 576
"""Rows and columns of the matrices: 0.38 billion floating-point operations."""
ARRAY_FLOATS = 500_000
"""2 MB per array. With 8 MB, half of the kernel's time, neighbours that use the memory slowed it down by 8 % more than
they did any network."""


def kernel(threads: int) -> Callable[[], object]:
    """Return the kernel on so many threads."""
    import onnx
    from onnx import TensorProto, helper

    # Two independent results of one graph, so that one call takes both kinds of work.
    shapes = {"left": (SIDE, SIDE), "right": (SIDE, SIDE), "first": (ARRAY_FLOATS,), "second": (ARRAY_FLOATS,)}
    results = {"product": (SIDE, SIDE), "total": (ARRAY_FLOATS,)}
    given, out = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items()]
        for values in (shapes, results)
    )

    nodes = [helper.make_node("MatMul", ["left", "right"], ["product"])]
    nodes.append(helper.make_node("Add", ["first", "second"], ["total"]))
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(helper.make_graph(nodes, "reference", given, out), opset_imports=opset, ir_version=10)
    onnx.checker.check_model(model)

    # Spinning threads would keep the cores from whichever row comes next.
    session = open_session(model.SerializeToString(), threads, spinning=False)

    # Always the same numbers: zeros or denormals would be faster or slower to multiply.
    rng = np.random.default_rng(0)
    values = {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    return lambda: session.run(list(results), values)
