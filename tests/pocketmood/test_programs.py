"""Programs of every runtime are opened alike: the same call, the same shapes, the same predictions."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from pocketmood.errors import BundleError
from pocketmood.programs import open_executorch, open_method, open_onnx

SAMPLES = 4
WAVE = np.array([[0.1, -0.2, 0.3, 0.4]], np.float32)


def write_onnx(path: Path) -> Path:
    """Write a program whose emotion is the first two samples, and whose interval68 is the last two."""
    from onnx import TensorProto, helper, save

    parts = [
        helper.make_tensor(name, TensorProto.INT64, [1], [at])
        for name, at in (("a", 0), ("b", 2), ("c", 4), ("axis", 1))
    ]
    nodes = [
        helper.make_node("Slice", ["waveform", "a", "b", "axis"], ["emotion"]),
        helper.make_node("Slice", ["waveform", "b", "c", "axis"], ["interval68"]),
    ]
    given = [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, [1, SAMPLES])]
    out = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("emotion", "interval68")]
    graph = helper.make_graph(nodes, "slices", given, out, parts)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_onnx_from_a_file_and_from_bytes(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "model.onnx")
    for source in (path, path.read_bytes()):
        for as_written in (False, True):
            emotion, interval68 = open_onnx(source, threads=1, as_written=as_written)(WAVE)
            np.testing.assert_array_equal(emotion, WAVE[:, :2])
            np.testing.assert_array_equal(interval68, WAVE[:, 2:])


def test_executorch_keeps_what_it_predicted_before(tmp_path: Path) -> None:
    from torch import Tensor, nn

    from export.executorch import to_executorch

    class Halves(nn.Module):
        def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
            return waveform[:, :2] * 2, waveform[:, 2:] + 1

    to_executorch.write(Halves().eval(), (1, SAMPLES), tmp_path / "model.pte", {})
    for source in (tmp_path / "model.pte", (tmp_path / "model.pte").read_bytes()):
        program = open_executorch(source, threads=1)
        first, again = program(WAVE), program(WAVE + 1)
        np.testing.assert_allclose(first[0], 2 * WAVE[:, :2], rtol=0, atol=1e-7)
        np.testing.assert_allclose(first[1], WAVE[:, 2:] + 1, rtol=0, atol=1e-7)
        np.testing.assert_allclose(again[0], 2 * WAVE[:, :2] + 2, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(open_method(source)(WAVE)[0], first[0])


def test_a_missing_executorch_is_said_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "executorch.runtime", None)
    with pytest.raises(
        BundleError, match=r"pip install 'pocketmood\[export\]' .*'\.\[export\]'\), or use --runtime onnxruntime"
    ):
        open_executorch(b"")
