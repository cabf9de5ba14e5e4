"""ONNX sessions are opened with what was asked for, from a file as from bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from pocketmood.onnx_session import open_session

helper = pytest.importorskip("onnx", reason="the extra `export` is not installed").helper


@pytest.fixture
def program() -> bytes:
    """Return a program that adds 1 and multiplies by 2."""
    ends = [helper.make_tensor_value_info(name, 1, [3]) for name in ("x", "y")]
    constants = [helper.make_tensor(name, 1, [1], [value]) for name, value in (("one", 1.0), ("two", 2.0))]
    nodes = [helper.make_node("Add", ["x", "one"], ["sum"]), helper.make_node("Mul", ["sum", "two"], ["y"])]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def test_a_file_and_its_bytes_are_the_same_program(program: bytes, tmp_path: Path) -> None:
    (tmp_path / "p.onnx").write_bytes(program)
    x = np.array([0, 1, 2], np.float32)
    for model in (program, tmp_path / "p.onnx"):
        for as_written in (False, True):
            session = open_session(model, 1, as_written=as_written)
            np.testing.assert_array_equal(session.run(["y"], {"x": x})[0], [2, 4, 6])


def test_options_are_those_that_were_asked_for(program: bytes) -> None:
    levels = onnxruntime.GraphOptimizationLevel
    plain = open_session(program, 2).get_session_options()
    assert plain.intra_op_num_threads == 2 and plain.graph_optimization_level == levels.ORT_ENABLE_ALL
    with pytest.raises(RuntimeError, match="allow_spinning"):  # not set: ONNX Runtime's own choice stands
        plain.get_session_config_entry("session.intra_op.allow_spinning")
    bare = open_session(program, as_written=True, spinning=False).get_session_options()
    assert bare.intra_op_num_threads == 0 and bare.graph_optimization_level == levels.ORT_DISABLE_ALL
    assert bare.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert open_session(program).get_providers() == ["CPUExecutionProvider"]
