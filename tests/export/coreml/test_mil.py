"""The MIL evaluator on whole packages, against PyTorch, and faults in packages on disk, which parity must see.

All faults go through the gate that a real export goes through: `parity.compare` and `parity.judge`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import coremltools
import numpy as np
import pytest
import torch
from torch import Tensor

from export import parity
from export.coreml import compress, mil, to_coreml
from export.parity_record import FAILED, ParityRecord
from export.pipeline import Pipeline
from export.predict import in_torch, predict_waves
from export.rewrite import for_coreml
from pocketmood.errors import ExportError
from pocketmood.programs import Program
from tests.helpers import export_fixtures as tiny

WAVES = tiny.waves(2)


class Fractions(tiny.TinyStudent):
    """Also holds a difference and a quotient whose operands have the same shape."""

    def forward(self, mel: Tensor) -> tiny.Prediction:
        emotion, interval68, features = super().forward(mel)
        return tiny.Prediction((emotion - interval68) / 2, emotion / (interval68 + 0.5), features)


def pipeline() -> Pipeline:
    return tiny.pipeline(kind=Fractions)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mil") / "model.fp32.mlpackage"
    to_coreml.write(for_coreml(pipeline()), tiny.SPEC.samples, path, tiny.promise())
    return path


@pytest.fixture
def package(written: Path, tmp_path: Path) -> Path:
    """Return a package of the test's own, to be damaged."""
    return Path(shutil.copytree(written, tmp_path / "model.fp32.mlpackage"))


def predict(program: Program) -> parity.Outputs:
    return predict_waves(program, WAVES[:, 0])


def judged(package: Path) -> ParityRecord:
    """Judge a package as the export stage does."""
    found = predict(mil.evaluator(to_coreml.read_program(package)[0]))
    distance = parity.compare(found, predict(in_torch(pipeline())))
    return parity.judge(ParityRecord(package.name, FAILED, distance=distance), 1e-4, None)


def change(package: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Let a function edit a program's operations, given by the name of their first output, and save it again."""
    spec = coremltools.utils.load_spec(str(package))
    main = spec.mlProgram.functions["main"]
    edit({operation.outputs[0].name: operation for operation in main.block_specializations[main.opset].operations})
    (package / "Data" / "com.apple.CoreML" / "model.mlmodel").write_bytes(spec.SerializeToString())


def flip(package: Path, weight: Any, byte: int) -> None:
    """Flip the sign bit of the largest of a weight's numbers in the blob file."""
    (blob,) = package.rglob("weight.bin")
    data, stored = bytearray(blob.read_bytes()), weight.tobytes()
    assert data.count(stored) == 1
    data[data.index(stored) + weight.itemsize * int(np.abs(weight.astype(float)).argmax()) + byte] ^= 0x80
    blob.write_bytes(data)


def test_saved_program_predicts_like_pytorch(written: Path) -> None:
    record = judged(written)
    assert record.passed and record.distance is not None and record.distance.max_error < 1e-5
    facts = mil.describe(to_coreml.read_program(written)[0])
    assert facts.operators and facts.operators > 20 and facts.weights and facts.weights > 100_000
    assert facts.float16_ops == facts.compressed_weights == 0


def test_a_flipped_weight_is_seen(package: Path) -> None:
    flip(package, pipeline().network.emotion_head.weight.numpy(), byte=3)
    assert judged(package).verdict == "failed"


@pytest.mark.parametrize("kind", ["sub", "real_div", "matmul"])
def test_swapped_operands_are_seen(package: Path, kind: str) -> None:
    swapped = []

    def swap(operations: dict[str, Any]) -> None:
        for operation in operations.values():
            x, y = (operation.inputs[name].arguments[0].name for name in "xy") if operation.type == kind else ("", "")
            shapes = [operations[name].outputs[0].type for name in (x, y) if name in operations]
            if kind == operation.type and len(shapes) == 2 and shapes[0] == shapes[1]:
                operation.inputs["x"].arguments[0].name, operation.inputs["y"].arguments[0].name = y, x
                swapped.append(operation.outputs[0].name)

    change(package, swap)
    assert len(swapped) == 1
    record = judged(package)
    assert record.verdict == "failed" and "beyond the limit" in record.reason


@pytest.mark.parametrize("pad", [(0, 0, 0, 1024), (0, 0, 512, 512)])
def test_a_wrong_pad_of_the_waveform_is_seen(package: Path, pad: tuple[int, ...]) -> None:
    def shift(operations: dict[str, Any]) -> None:
        (operation,) = (operation for operation in operations.values() if operation.type == "pad")
        numbers = (
            operations[operation.inputs["pad"].arguments[0].name].attributes["val"].immediateValue.tensor.ints.values
        )
        assert list(numbers) == [0, 0, 1024, 0]
        numbers[:] = pad

    change(package, shift)
    assert judged(package).verdict == "failed"


def test_a_wrong_pad_of_a_convolution_is_seen(package: Path) -> None:
    def shift(operations: dict[str, Any]) -> None:
        first = next(operation for operation in operations.values() if operation.type == "conv")
        numbers = operations[first.inputs["pad"].arguments[0].name].attributes["val"].immediateValue.tensor.ints.values
        before = list(numbers)
        numbers[:] = [before[0] - 1, before[1] + 1, *before[2:]]

    change(package, shift)
    assert judged(package).verdict == "failed"


def test_another_shape_than_declared_is_refused(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mil.OPERATORS, "relu", lambda v: v["x"][..., :1])
    with pytest.raises(ExportError, match=r"operator relu relu: \(1, 8, 33, 1\), the program says \(1, 8, 33, 65\)"):
        judged(written)


def test_an_unknown_operator_is_refused_by_name(written: Path) -> None:
    odd = SimpleNamespace(op_type="scatter_nd")
    main = SimpleNamespace(operations=[odd, *to_coreml.read_program(written)[0].functions["main"].operations])
    with pytest.raises(ExportError, match="holds scatter_nd, which"):
        mil.refuse_unknown(SimpleNamespace(functions={"main": main}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "operator", "part"),
    [
        ("int8", "constexpr_affine_dequantize", "quantized_data"),
        ("int8", "constexpr_affine_dequantize", "scale"),
        ("palette6", "constexpr_lut_to_dense", "indices"),
        ("palette6", "constexpr_lut_to_dense", "lut"),
    ],
)
def test_a_flipped_bit_of_a_compressed_weight_is_seen(
    exported_run: Path, tmp_path: Path, precision: Any, operator: str, part: str
) -> None:
    package = Path(shutil.copytree(exported_run / "bundle" / f"model.{precision}.mlpackage", tmp_path / "damaged"))
    plain = for_coreml(tiny.pipeline())
    program = to_coreml.read_program(package)[0]
    _, count = compress.with_own_weights(plain, program, precision)
    assert count == 4
    weight = next(o for o in program.functions["main"].operations if o.op_type == operator).inputs[part].val
    flip(package, weight, byte=weight.itemsize - 1)
    with pytest.raises(ExportError, match=r"numbers stored for p_network_.* are not those of the network"):
        compress.with_own_weights(plain, to_coreml.read_program(package)[0], precision)


@pytest.mark.slow
def test_float16_rounds_as_pytorch_does(exported_run: Path) -> None:
    program = to_coreml.read_program(exported_run / "bundle" / "model.fp16.mlpackage")[0]
    network = for_coreml(tiny.pipeline())
    front = network.front
    network.network.half()

    def half(wave: Any) -> tuple[Any, Any]:
        with torch.inference_mode():
            prediction = network.network(front(torch.from_numpy(wave)).half())
        return prediction.emotion.float().numpy(), prediction.interval68.float().numpy()

    found = predict(mil.evaluator(program))
    exact = predict(in_torch(tiny.pipeline()))
    # Both round every operator, but not at the same places inside of it: one step of float16 below 1 is 5e-4.
    np.testing.assert_allclose(found, predict(half), rtol=0, atol=5e-4)
    assert 1e-6 < np.abs(found - exact).max() < 2e-3
    assert np.array_equal(found, found.astype(np.float16))  # no prediction holds more than float16 can
