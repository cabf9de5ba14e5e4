"""CoreML: the saved package is read back, checked and run on any system; faults in it are seen."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from export import mil, to_coreml
from export.rewrite import for_coreml
from export.steps import in_torch
from pocketmood.errors import ExportError
from tests import export_fixtures as tiny


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("coreml") / "model.fp32.mlpackage"
    to_coreml.write(for_coreml(tiny.pipeline()), path, tiny.promise())
    return path


@pytest.fixture
def program(written: Path) -> Any:
    return to_coreml.read_program(written)[0]


def error(program: Any) -> float:
    run, ours = mil.evaluator(program), in_torch(tiny.pipeline())
    wave = tiny.waves(1)[0]
    return max(float(np.abs(found - wanted).max()) for found, wanted in zip(run(wave), ours(wave), strict=True))


def test_saved_program_answers_like_pytorch(program: Any) -> None:
    assert error(program) < 1e-5
    facts = mil.describe(program)
    assert facts["operators"] > 20 and facts["weights"] > 100_000


def test_carries_the_contract(written: Path) -> None:
    _, contract = to_coreml.read_program(written)
    assert {name: contract.get(name) for name in tiny.promise()} == {k: str(v) for k, v in tiny.promise().items()}


def test_parts_have_the_same_names_every_time(written: Path) -> None:
    manifest = json.loads((written / "Manifest.json").read_text())
    assert manifest["rootModelIdentifier"] in manifest["itemInfoEntries"]
    names = sorted(manifest["itemInfoEntries"])
    to_coreml._same_names_every_time(written / "Manifest.json")
    assert sorted(json.loads((written / "Manifest.json").read_text())["itemInfoEntries"]) == names


def test_a_flipped_weight_in_the_package_is_seen(written: Path, tmp_path: Path) -> None:
    package = Path(shutil.copytree(written, tmp_path / "flipped.mlpackage"))
    (blob,) = package.rglob("weight.bin")
    head = tiny.pipeline().network.emotion_head.weight.numpy().astype("<f4")
    data = bytearray(blob.read_bytes())
    assert data.count(head.tobytes()) == 1
    data[data.index(head.tobytes()) + 4 * int(np.abs(head).argmax()) + 3] ^= 0x80  # the sign of the largest number
    blob.write_bytes(data)
    assert error(to_coreml.read_program(package)[0]) > 1e-4


def test_an_unknown_operator_is_refused_by_name(program: Any) -> None:
    odd = SimpleNamespace(op_type="scatter_nd")
    main = SimpleNamespace(operations=[odd, *program.functions["main"].operations])
    broken = SimpleNamespace(functions={"main": main})
    with pytest.raises(ExportError, match="scatter_nd"):
        mil.refuse_unknown(broken)


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac can run CoreML programs")
def test_reader_says_that_only_a_mac_runs_it(written: Path) -> None:
    with pytest.raises(ExportError, match="macOS only"):
        to_coreml.read(written)


def test_operators_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    run = mil.OPERATORS
    cases: list[tuple[str, dict[str, Any], list[Any]]] = [
        ("sub", {"x": x, "y": 1.0}, [[0, 1], [2, 3]]),
        ("matmul", {"x": x, "y": x, "transpose_y": True}, [[5, 11], [11, 25]]),
        ("matmul", {"x": x, "y": x, "transpose_x": True}, [[10, 14], [14, 20]]),
        ("pad", {"x": x, "pad": (0, 0, 1, 0)}, [[0, 1, 2], [0, 3, 4]]),
        ("pad", {"x": x, "pad": (1, 0, 0, 0)}, [[0, 0], [1, 2], [3, 4]]),
        ("slice_by_index", {"x": x, "begin": (0, 1), "end": (2, 2), "squeeze_mask": (False, True)}, [2, 4]),
        ("slice_by_index", {"x": x, "begin": (1, 0), "end": (0, 1), "end_mask": (True, False)}, [[3]]),
        ("reduce_mean", {"x": x, "axes": (-1,), "keep_dims": True}, [[1.5], [3.5]]),
        ("clip", {"x": x, "alpha": 2.0, "beta": 3.0}, [[2, 2], [3, 3]]),
        ("layer_norm", {"x": x, "axes": (-1,), "epsilon": 0.0, "gamma": 2.0, "beta": 1.0}, [[-1, 3], [-1, 3]]),
        ("expand_dims", {"x": x[0], "axes": (0,)}, [[1, 2]]),
        ("linear", {"x": x, "weight": torch.tensor([[1.0, 1.0]]), "bias": torch.tensor([0.5])}, [[3.5], [7.5]]),
    ]
    for name, inputs, wanted in cases:
        found = run[name](inputs)
        assert isinstance(found, torch.Tensor)
        np.testing.assert_allclose(found.numpy(), np.array(wanted), rtol=0, atol=1e-6, err_msg=name)
