"""ONNX: what is written is read back, predicts like PyTorch, says what it is, and holds nothing of this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.onnx import to_onnx
from export.predict import in_torch
from export.rewrite import for_onnx
from tests.helpers import ROOT
from tests.helpers import export_fixtures as tiny


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.fp32.onnx"
    facts = to_onnx.write(for_onnx(tiny.pipeline()), path, tiny.promise())
    assert facts.operators and facts.operators > 10 and facts.opset and facts.opset >= 18
    return path


def test_predicts_like_pytorch(written: Path) -> None:
    ours, theirs = in_torch(tiny.pipeline()), to_onnx.read(written, threads=1)
    for wave in tiny.waves(2):
        for found, wanted in zip(theirs(wave), ours(wave), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_carries_the_contract(written: Path) -> None:
    assert to_onnx.read_contract(written) == {name: str(value) for name, value in tiny.promise().items()}


def test_holds_no_path_and_is_the_same_again(written: Path, tmp_path: Path) -> None:
    data = written.read_bytes()
    assert b"site-packages" not in data and str(ROOT).encode() not in data
    again = tmp_path / "again.onnx"
    to_onnx.write(for_onnx(tiny.pipeline()), again, tiny.promise())
    assert again.read_bytes() == data
