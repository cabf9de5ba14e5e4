"""A bundle whose window is shorter than the clips of its run is measured on the middle of each clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks import latency, measure, memory
from benchmarks.accuracy import stored
from benchmarks.config import BenchmarksConfig
from benchmarks.record import Record
from benchmarks.rows import TEACHER, Row
from benchmarks.torch_rows import OpenedRow
from pocketmood.data.clips import ClipStore
from pocketmood.data.run_folder import RunFolder
from pocketmood.spec import MelSpec
from tests.helpers import benchmark_runs

SHORT = MelSpec(seconds=0.2)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run with clips of half a second, and a bundle whose program takes a fifth of one."""
    run = benchmark_runs.make_run(tmp_path / "run", songs=8)
    given = [helper.make_tensor("axes", TensorProto.INT64, [1], [1])]
    nodes = [helper.make_node("ReduceMean", ["waveform", "axes"], ["mean"], keepdims=1)]
    nodes += [helper.make_node("Concat", ["mean", "mean"], [name], axis=1) for name in ("emotion", "interval68")]
    wave = helper.make_tensor_value_info("waveform", TensorProto.FLOAT, [1, SHORT.samples])
    out = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("emotion", "interval68")]
    graph = helper.make_graph(nodes, "mean", [wave], out, given)
    program = run / "bundle" / "model.fp32.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), program)
    benchmark_runs.describe_bundle(run / "bundle", SHORT, program.name)
    return run


def seen_store(run: Path) -> ClipStore:
    folder = RunFolder(run)
    return folder.store_of(folder.bundle.samples)


def test_the_store_is_opened_through_the_bundles_window(run: Path) -> None:
    whole, seen = ClipStore.open(run / "data" / "store"), seen_store(run)
    assert (whole.samples, seen.samples) == (11_025, 4_410)
    np.testing.assert_array_equal(seen.waveform("3"), whole.waveform("3")[3_307 : 3_307 + 4_410])


def test_rows_hear_the_middle_of_each_clip_and_are_timed_on_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []

    def predict(wave: Any) -> tuple[Any, Any]:
        heard.append(wave)
        return (0.0, 0.0), (0.1, 0.1)

    def rows(run: RunFolder, _alternatives: str) -> list[Row]:
        teacher = Row(Record(TEACHER), predictions=lambda ids: stored(run.folder("teacher") / "predictions.csv", ids))
        return [teacher, Row(Record("short"), lambda _threads: OpenedRow(predict, None))]

    monkeypatch.setattr(measure, "rows_of", rows)
    monkeypatch.setattr(latency, "pin_threads", lambda threads: {})  # imports for seconds
    monkeypatch.setattr(latency, "pin_torch", lambda threads: threads)
    config = BenchmarksConfig(
        run=run, warmup=0, repeats=1, bootstrap=20, memory="none", alternatives="none", cpu_time_rounds=0
    )
    record = measure.measure(config, RunFolder(run), run.parent / "work").records[1]
    whole = ClipStore.open(run / "data" / "store")
    np.testing.assert_array_equal(heard[0], whole.waveform("2")[3_307 : 3_307 + 4_410])
    assert len({wave.shape for wave in heard}) == 1
    assert record.status == "measured" and record.ccc_mean is not None and record.latency_ms_median is not None
    assert record.real_time_factor == pytest.approx(record.latency_ms_median / 200, rel=1e-12)


def test_a_fresh_process_weighs_a_program_of_a_shorter_window(run: Path) -> None:
    assert 20e6 < memory.measure_in_process(run, "model.fp32.onnx", 1) < 1e9  # numpy and ONNX Runtime, no torch
