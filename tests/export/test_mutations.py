"""Faults that programs for phones have had, made on purpose: each closes a gate, which the test names.

Gates: "error" is the largest error against PyTorch (1e-4), "fp32" is how far int8 may lie from fp32 (.03), "contract"
is what a program must say about itself.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from export import parity
from export.config import ExportConfig
from export.int8.quantise import quantise
from export.onnx import to_onnx
from export.parity_record import FAILED, PASSED, ParityRecord
from export.pipeline import Pipeline, build
from export.predict import in_torch, predict_waves
from export.rewrite import for_onnx, for_xnnpack
from export.steps import require_contract
from pocketmood.errors import ExportError
from pocketmood.programs import Array, Program
from tests.helpers import export_fixtures as tiny

CONFIG = ExportConfig()
SONGS = [str(number) for number in range(5)]


@functools.cache
def wanted() -> parity.Outputs:
    return predict(in_torch(tiny.pipeline()))


@functools.cache
def program() -> onnx.ModelProto:
    """Return the fp32 program, made once; copy it before you break it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.fp32.onnx"
        to_onnx.write(for_onnx(tiny.pipeline()), path, tiny.promise())
        return onnx.load(path)


@functools.cache
def clips() -> Array:
    """Return tones [N, 1, S]; the first falls silent, which takes its spectrogram out of the range of levels."""
    waves = tiny.waves(len(SONGS))
    waves[0, :, tiny.SPEC.samples // 2 :] = 0
    return waves


def predict(program: Program) -> parity.Outputs:
    return np.concatenate([np.concatenate(program(wave), 1) for wave in clips()])


def error_gate(program: Program) -> ParityRecord:
    record = ParityRecord("mutant", FAILED, distance=parity.compare(predict(program), wanted()))
    return parity.judge(record, CONFIG.fp32_limit, None)


def broken(change: Callable[[Any], None], folder: Path) -> Program:
    """Break a copy of the ONNX program's graph and open it."""
    model = onnx.ModelProto()
    model.CopyFrom(program())
    change(model.graph)
    onnx.save(model, folder / "mutant.onnx")
    return to_onnx.read(folder / "mutant.onnx", threads=1)


def set_weight(graph: Any, name: str, change: Callable[[Any], Any]) -> None:
    weight = next(tensor for tensor in graph.initializer if tensor.name == name)
    weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(change(numpy_helper.to_array(weight))), name))


def wrong_window(graph: Any) -> None:
    set_weight(graph, "front.window", lambda window: np.hamming(len(window) + 1)[:-1].astype(np.float32))


def shifted_mel_bands(graph: Any) -> None:
    set_weight(graph, "front.bank.filters_2", lambda filters: np.roll(filters, 1, 1))


def transposed_weight(graph: Any) -> None:
    set_weight(graph, "network.last.conv.weight", lambda weight: weight.transpose(1, 0, 2, 3))


def forgotten_bias(graph: Any) -> None:
    set_weight(graph, "network.second.conv.bias", np.zeros_like)


def swapped_outputs(graph: Any) -> None:
    names = {"emotion": "interval68", "interval68": "emotion"}
    for node in graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
        node.input[:] = [names.get(name, name) for name in node.input]


def missing_clamp(graph: Any) -> None:
    """Let levels below the range through, as a front end without its last clamp does."""
    last = [node for node in graph.node if node.op_type == "Clip"][-1]
    for node in graph.node:
        node.input[:] = [last.input[0] if name == last.output[0] else name for name in node.input]


def dropped_layer(graph: Any) -> None:
    """Leave out what the attention adds to its input."""
    sum_ = next(node for node in graph.node if "network.block.attn.proj.bias" in node.input)
    user = next(node for node in graph.node if sum_.output[0] in node.input)
    kept = next(name for name in user.input if name != sum_.output[0])
    for node in graph.node:
        node.input[:] = [kept if name == user.output[0] else name for name in node.input]


FAULTS = [
    wrong_window,
    shifted_mel_bands,
    transposed_weight,
    forgotten_bias,
    swapped_outputs,
    missing_clamp,
    dropped_layer,
]


def test_without_a_fault_the_gate_is_open(tmp_path: Path) -> None:
    assert error_gate(broken(lambda graph: None, tmp_path)).verdict == PASSED


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_error_gate_sees_a_broken_program(fault: Callable[[Any], None], tmp_path: Path) -> None:
    record = error_gate(broken(fault, tmp_path))
    assert record.verdict == FAILED and "largest error" in record.reason


def test_the_error_gate_sees_a_wrong_hop() -> None:
    spec = replace(tiny.SPEC, hop=tiny.SPEC.hop - 1)
    mutant = build(tiny.pipeline().network, spec, tiny.STRIDE, tiny.FRAMES)
    assert error_gate(in_torch(mutant)).verdict == FAILED


def test_the_error_gate_sees_a_wrong_scale() -> None:
    """A phone that hands over its 16-bit numbers divided by 32767 is off by 3e-5, and by 32768 / 32767 dB: allowed."""

    class Scaled(nn.Module):
        def __init__(self, pipeline: Pipeline, scale: float) -> None:
            super().__init__()
            self.pipeline, self.scale = pipeline, scale

        def forward(self, wave: torch.Tensor) -> Any:
            return self.pipeline(wave * self.scale)

    verdicts = [error_gate(in_torch(Scaled(tiny.pipeline(), scale))).verdict for scale in (1.0, 2.0, 32768.0)]
    assert verdicts == [PASSED, FAILED, FAILED]


def test_the_contract_gate_sees_a_wrong_sample_rate() -> None:
    require_contract(tiny.promise(), dict(tiny.promise()), "model.fp32.onnx")
    found = {**tiny.promise(), "sample_rate": 44_100}
    with pytest.raises(ExportError, match=r"model.fp32.onnx: its own contract is wrong in sample_rate"):
        require_contract(tiny.promise(), found, "model.fp32.onnx")


def test_the_fp32_gate_sees_int8_that_was_calibrated_on_noise() -> None:
    """The runtime would do as its graph says, so the error gate stays open: only fp32 tells."""
    pipeline, waves = tiny.pipeline(), tiny.waves(len(SONGS))
    with torch.no_grad():
        pipeline.network.emotion_head.weight.mul_(4)  # predictions as far apart as those of a trained student
    rng = np.random.default_rng(0)
    noise = [torch.from_numpy(rng.normal(0, 1e-5, (1, tiny.SPEC.samples)).astype("f4")) for _ in range(2)]

    def record(program: Program) -> ParityRecord:
        int8, fp32 = (predict_waves(run, waves[:, 0]) for run in (program, in_torch(pipeline)))
        graph = ParityRecord(
            "mutant", FAILED, distance=parity.compare(int8, int8), to_fp32=parity.compare_to_fp32(int8, fp32)
        )
        return parity.judge(graph, CONFIG.int8_limit, None, CONFIG.int8_fp32_limit)

    music, mutant = (
        record(in_torch(quantise(for_xnnpack(pipeline), heard).module))
        for heard in ([torch.from_numpy(wave) for wave in waves], noise)
    )
    assert music.verdict == PASSED
    assert mutant.verdict == FAILED and "largest error to fp32" in mutant.reason
