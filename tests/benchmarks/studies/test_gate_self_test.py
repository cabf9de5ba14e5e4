"""A damaged program: same format, a hash that fits, wrong predictions. Only the gate can tell."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import latency, measure
from benchmarks.config import BenchmarksConfig
from benchmarks.gate import GateConfig, broken_limits
from benchmarks.studies import gate_self_test
from pocketmood.bundle import Bundle
from pocketmood.data.clips import Clip, ClipStore
from pocketmood.data.run_folder import RunFolder
from pocketmood.emotion import Emotion
from pocketmood.runs import link_or_copy
from pocketmood.spec import MelSpec
from tests.helpers import benchmark_runs

SPEC = MelSpec(seconds=0.5)
LIMITS = GateConfig(rows=(gate_self_test.DAMAGED,), min_ccc=0.9, max_drop=0.05)


def program() -> onnx.ModelProto:
    """Return a network that hears valence in the first half of a clip and arousal in the second, as levels."""
    weights = np.zeros((2, 1, 1, SPEC.samples), np.float32)
    half = SPEC.samples // 2
    weights[0, ..., :half], weights[1, ..., half:] = 1 / half, 1 / (SPEC.samples - half)
    shapes = {"image": [1, 1, 1, SPEC.samples], "pair": [1, 2]}
    given = [numpy_helper.from_array(weights, "weights")]
    given += [numpy_helper.from_array(np.array(shape, np.int64), name) for name, shape in shapes.items()]
    nodes = [
        helper.make_node("Reshape", ["waveform", "image"], ["picture"]),
        helper.make_node("Conv", ["picture", "weights"], ["map"]),
        helper.make_node("Reshape", ["map", "pair"], ["emotion"]),
        helper.make_node("Abs", ["emotion"], ["interval68"]),
    ]
    wave = helper.make_tensor_value_info("waveform", TensorProto.FLOAT, [1, SPEC.samples])
    out = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("emotion", "interval68")]
    opset = [helper.make_opsetid("", 20)]
    graph = helper.make_graph(nodes, "levels", [wave], out, given)
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run whose songs are two levels, and whose one program predicts them rightly."""
    run = benchmark_runs.make_run(tmp_path / "run", songs=24)
    store = ClipStore.open(run / "data" / "store")
    labels = store.labels(store.ids)
    clips = [Clip(id_, None, Emotion(*map(float, label)), None) for id_, label in zip(store.ids, labels, strict=True)]
    half = SPEC.samples // 2
    shutil.rmtree(run / "data" / "store")
    waves = (np.repeat(label, [half, SPEC.samples - half]).astype(np.float32) for label in labels)
    ClipStore.write(run / "data" / "store", clips, waves, SPEC)
    bundle = run / "bundle"
    onnx.save(program(), bundle / gate_self_test.DAMAGED)
    benchmark_runs.describe_bundle(bundle, SPEC, gate_self_test.DAMAGED)
    return run


def lines(run: Path, work: Path) -> list[str]:
    """Measure a run's program for real, and return what the gate says."""
    config = BenchmarksConfig(
        run=run, warmup=0, repeats=1, bootstrap=20, memory="none", alternatives="none", cpu_time_rounds=0
    )
    return broken_limits(LIMITS, measure.measure(config, RunFolder(run), work).records)


def test_the_gate_is_green_then_red(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "pin_threads", lambda threads: {})  # imports for seconds
    assert lines(run, tmp_path / "healthy") == []
    copy = tmp_path / "copy"
    shutil.copytree(run, copy, copy_function=link_or_copy)
    assert gate_self_test.damage(copy / "bundle") == "weights"
    Bundle.open(copy / "bundle").verify()  # its hash fits: nothing but its predictions is wrong
    red = lines(copy, tmp_path / "damaged")
    assert [line.split(" is ")[0] for line in red] == [
        f"{gate_self_test.DAMAGED}: CCC drop against the teacher", f"{gate_self_test.DAMAGED}: mean CCC"
    ]  # fmt: skip
    Bundle.open(run / "bundle").verify()
    assert lines(run, tmp_path / "again") == []  # the healthy program was not touched through its link
