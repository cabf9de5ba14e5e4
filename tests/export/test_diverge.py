"""Where a program leaves PyTorch: the module with the fault is named, and none where there is no fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export import diverge, rewrite
from export.config import Artefact
from export.onnx import to_onnx
from pocketmood.programs import Array
from tests.helpers import export_fixtures as tiny

ONNX = Artefact("onnx", "fp32", "model.fp32.onnx")


def test_the_first_beyond_the_tolerance_by_hand() -> None:
    wanted = {"a": np.array([4.0]), "b": np.array([-2.0, 1.0]), "c": np.array([1.0]), "d": np.array([1.0])}
    found = {"a": np.array([4.2]), "b": np.array([[-2.0], [0.4]]), "d": np.array([0.0])}
    assert diverge.first(wanted, found, 0.1) == ("b", pytest.approx(0.6 / 2, rel=1e-12, abs=0), True)
    assert diverge.first(wanted, found, 0.4) == ("d", 1.0, True)  # c is not there to be compared
    assert diverge.first(wanted, found, 1.5) == ("d", 1.0, False)
    assert diverge.first(wanted, {"a": np.array([np.nan])}, 0.1)[1:] == (np.inf, True)


def test_rewritten_networks_nowhere_diverge_in_pytorch() -> None:
    line = diverge.explain(Artefact("executorch", "fp32", "model.fp32.pte"), Path("unread"), tiny.pipeline(), wave())
    assert line.startswith("in PyTorch the rewritten network nowhere diverges") and "delegate" in line


def test_a_fault_of_a_rewrite_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unscaled(rewrite.FoldedAttention):
        def __init__(self, attention: object) -> None:
            super().__init__(attention)
            rewrite._scale_outputs(self.qkv, slice(0, self.heads * self.width), 2.0)

    monkeypatch.setattr(rewrite, "FoldedAttention", Unscaled)
    line = diverge.explain(Artefact("executorch", "int8", "model.int8.pte"), Path("unread"), tiny.pipeline(), wave())
    assert line.startswith("first diverges at network.block.attn") and "rewritten in PyTorch" in line


def test_a_fault_of_an_onnx_program_is_named(tmp_path: Path) -> None:
    path = tmp_path / ONNX.file
    to_onnx.write(rewrite.for_onnx(tiny.pipeline()), path, tiny.promise())
    assert diverge.explain(ONNX, path, tiny.pipeline(), wave()).startswith("nowhere diverges")
    model = onnx.load(path)
    for weight in model.graph.initializer:
        if weight.name == "network.second.conv.bias":
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + 1, weight.name))
    onnx.save(model, path)
    assert diverge.explain(ONNX, path, tiny.pipeline(), wave()).startswith("first diverges at network.second.conv:")


@pytest.mark.slow
def test_a_coreml_program_is_followed_to_the_end(exported_run: Path) -> None:
    path = exported_run / "bundle" / "model.fp32.mlpackage"
    ours = diverge.module_values(rewrite.for_coreml(tiny.pipeline()), wave())
    theirs = diverge.coreml_values(path, wave(), ours)
    assert {"network.first.conv", "network.block.attn.qkv", "network.norm", "network.last.conv", "emotion"} <= set(
        theirs
    )
    assert not diverge.first(ours, theirs, 1e-4).is_beyond
    theirs["network.norm"] = theirs["network.norm"] * 1.01
    assert diverge.first(ours, theirs, 1e-4).module == "network.norm"


def wave() -> Array:
    first: Array = tiny.waves(1)[0]
    return first
