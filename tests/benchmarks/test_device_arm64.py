"""The device benchmark with the real runner: qemu plays the phone's processor. Skipped where its tools are missing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import device
from benchmarks.rows import device_records
from pocketmood.runs import file_hash, write_json
from tests.helpers import fake_adb

native = pytest.importorskip("export.native", reason="export.native: the runner is not part of this checkout")
arm64_tools = pytest.importorskip(
    "export.executorch.arm64_tools", reason="export.executorch.arm64_tools: not part of this checkout"
)
MISSING = [tool for tool in (arm64_tools.COMPILER, arm64_tools.EMULATOR) if not shutil.which(tool)]


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)}: not found; `make arm64` installs what it needs")
def test_the_golden_pairs_on_an_emulated_phone(tmp_path: Path) -> None:
    """A program of one convolution stands for a student: what is tested is the way to the phone and back."""
    from export.contract import contract
    from export.executorch import to_executorch
    from export.rewrite import for_xnnpack
    from tests.helpers.export_fixtures import FRAMES, SPEC, STRIDE, pipeline, waves

    machine = arm64_tools.arm64()
    bundle = tmp_path / "run" / "bundle"
    (bundle / "golden").mkdir(parents=True)
    program = bundle / "model.fp32.pte"
    to_executorch.write(for_xnnpack(pipeline()), (1, SPEC.samples), program, contract(SPEC, STRIDE, FRAMES, {}))
    np.ascontiguousarray(waves(1)[:, 0], "<f4").tofile(bundle / device.WAVES)
    about = {"schema": 2, "spec": SPEC.to_dict(), "spec_hash": SPEC.hash, "input": {"shape": [1, SPEC.samples]}}
    files = {name: file_hash(bundle / name) for name in (program.name, device.WAVES)}
    write_json(bundle / "bundle.json", about | {"files": files})
    phone = tmp_path / "adb"
    phone.mkdir()
    write_json(phone / "runner.json", list(machine.emulator))
    adb = f"{sys.executable} {fake_adb.__file__} {phone}"
    words = ["--run", str(bundle.parent), "--runner", str(native.build(machine)), "--adb", adb, "--repeats", "1"]
    assert device.main(words) == 0
    (row,) = device_records(bundle.parent)
    assert row.name == "model.fp32.pte on Model T" and row.status == "passed"
    assert row.parity_error is not None and row.parity_error <= device.LIMITS["fp32"]
    assert row.latency_ms_median is not None and row.latency_ms_median > 0
    assert row.peak_rss_bytes is not None and row.peak_rss_bytes < 300_000_000  # qemu's own memory is part of it
