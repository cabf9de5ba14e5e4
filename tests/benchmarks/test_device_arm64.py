"""The device benchmark with the real runner: qemu plays the phone's processor. Skipped where its tools are missing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import device
from benchmarks.rows import device_records
from export.golden import EMOTIONS, INTERVALS, WAVEFORMS
from pocketmood.data.run_folder import RunFolder
from pocketmood.runs import write_json
from tests.helpers import benchmark_runs, fake_adb

native = pytest.importorskip("export.native", reason="export.native: the runner is not part of this checkout")
arm64_tools = pytest.importorskip(
    "export.executorch.arm64_tools", reason="export.executorch.arm64_tools: not part of this checkout"
)
TOLERANCE = 1e-4
"""Largest difference to PyTorch here, over outputs of about 1: a tenth of what a bundle allows any device."""
MISSING = [tool for tool in (arm64_tools.COMPILER, arm64_tools.EMULATOR) if not shutil.which(tool)]


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)}: not found; `make arm64` installs what it needs")
def test_the_golden_pairs_on_an_emulated_phone(tmp_path: Path) -> None:
    """A program of one convolution stands for a student: what is tested is the way to the phone and back."""
    import torch

    from export.contract import Labels, contract
    from export.executorch import to_executorch
    from export.rewrite import for_xnnpack
    from tests.helpers.export_fixtures import FRAMES, SPEC, STRIDE, pipeline, waves

    machine = arm64_tools.arm64()
    bundle = benchmark_runs.make_run(tmp_path / "run", songs=8) / "bundle"
    (bundle / "golden").mkdir()
    program = bundle / "model.fp32.pte"
    to_executorch.write(for_xnnpack(pipeline()), (1, SPEC.samples), program, contract(SPEC, STRIDE, FRAMES, Labels()))
    clips = waves(1)[:, 0]
    with torch.inference_mode():
        emotion, interval68 = pipeline()(torch.from_numpy(clips))
    for name, values in ((WAVEFORMS, clips), (EMOTIONS, emotion.numpy()), (INTERVALS, interval68.numpy())):
        np.ascontiguousarray(values, "<f4").tofile(bundle / name)
    proof = benchmark_runs.proof(program.name, 0.0, TOLERANCE, TOLERANCE)
    write_json(bundle / "parity.json", [proof.to_json()])
    benchmark_runs.describe_bundle(bundle, SPEC, program.name, WAVEFORMS, EMOTIONS, INTERVALS)
    phone = tmp_path / "adb"
    phone.mkdir()
    write_json(phone / "runner.json", list(machine.emulator))
    adb = f"{sys.executable} {fake_adb.__file__} {phone}"
    words = ["--run", str(bundle.parent), "--runner", str(native.build(machine)), "--adb", adb, "--repeats", "1"]
    assert device.main(words) == 0
    (row,) = device_records(RunFolder(bundle.parent))
    assert row.name == "model.fp32.pte on Model T" and row.status == "passed"
    assert row.parity_error is not None and row.parity_error <= TOLERANCE
    assert row.latency_ms_median is not None and row.latency_ms_median > 0
    assert row.peak_rss_bytes is not None and row.peak_rss_bytes < 300_000_000  # qemu's own memory is part of it
