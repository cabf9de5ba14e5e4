"""The ARM64 check: its records and gates with faked runs, and one real run under qemu where the tools are here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export import native
from export.executorch import arm64, arm64_tools, kernels
from export.executorch.arm64 import Arm64Config
from export.golden import EMOTIONS, INTERVALS, WAVEFORMS
from pocketmood.errors import BundleError, ConfigError, ExportError
from pocketmood.runs import read_json
from tests.helpers.export_fixtures import write_bundle_json, write_parity

SAMPLES = 6
GOLDEN = np.array([[0.5, -0.5, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]], np.float32)
INT8 = GOLDEN + np.float32(3e-3)
"""What the int8 program predicts, on every machine."""
TOLERANCES = {"model.fp32.pte": 1e-3, "model.int8.pte": 5e-3}
HERE = native.Machine("x86_64", "g++", Path("here"))
PHONE = native.Machine(arm64_tools.PLACE, "cross", Path("there"), ("qemu",))
REPORT = native.Report(
    contract={}, backends=("XnnpackBackend",), predictions=GOLDEN, threads=2, load_ms=8.0, peak_rss_bytes=30_000_000,
    first_ms=50.0, median_ms=20.0, p95_ms=25.0,
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run whose bundle holds two golden pairs and two files for programs."""
    bundle = tmp_path / "run" / "bundle"
    (bundle / "golden").mkdir(parents=True)
    np.linspace(-1, 0.9, 2 * SAMPLES, dtype="<f4").tofile(bundle / "golden" / "waveform.f32")
    GOLDEN[:, :2].astype("<f4").tofile(bundle / "golden" / "emotion.f32")
    GOLDEN[:, 2:].astype("<f4").tofile(bundle / "golden" / "interval68.f32")
    write_bundle_json(bundle, SAMPLES)
    write_parity(bundle, TOLERANCES)
    for precision in ("fp32", "int8"):
        (bundle / f"model.{precision}.pte").write_text(precision)
    return bundle.parent


class Runs:
    """Stands for `native.run`: predictions by machine and precision, and the waveforms that it was given."""

    def __init__(self) -> None:
        self.reports: dict[tuple[str, str], native.Report] = {}
        for machine in (HERE, PHONE):
            self.reports[machine.name, "fp32"] = REPORT
            self.reports[machine.name, "int8"] = replace(REPORT, predictions=INT8)
        self.noise = np.float32(1e-4)
        self.heard: list[np.ndarray] = []

    def __call__(
        self, machine: native.Machine, program: Path, waveforms: Path, repeat: int = 1, threads: int = 0
    ) -> native.Report:
        report = self.reports[machine.name, program.read_text()]
        if program.parent in waveforms.parents:
            return report
        self.heard.append(np.fromfile(waveforms, "<f4"))
        return replace(report, predictions=report.predictions + self.noise)

    def change(self, machine: native.Machine, precision: str, **fields: object) -> None:
        self.reports[machine.name, precision] = replace(self.reports[machine.name, precision], **fields)  # type: ignore[arg-type]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    fake = Runs()
    monkeypatch.setattr(native, "run", fake)
    monkeypatch.setattr(native, "this_machine", lambda: HERE)
    monkeypatch.setattr(arm64_tools, "arm64", lambda: PHONE)
    monkeypatch.setattr(kernels, "operators", lambda program: ["aten::add.out"])
    return fake


def records(run: Path, folder: str = "arm64") -> dict[str, dict[str, object]]:
    return {record["artefact"]: record for record in read_json(run / folder / "parity.json")}


def test_equal_predictions_pass(run: Path, runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert arm64.run(Arm64Config(run=run)) == 0
    found = records(run)
    assert [record["verdict"] for record in found.values()] == ["passed", "passed"]
    fp32, int8 = found["model.fp32.pte"], found["model.int8.pte"]
    assert fp32["place"] == "arm64 (qemu)" and fp32["native_peak_rss_bytes"] == 30_000_000
    assert fp32["operators"] == ["aten::add.out"] and fp32["delegates"] == ["XnnpackBackend"]
    np.testing.assert_allclose([fp32["native_noise"], int8["native_to_golden"]], [1e-4, 3e-3], rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose([fp32["max_error"], int8["max_error"]], [0.0, 3e-3], rtol=1e-3, atol=1e-7)
    assert (fp32["tolerance"], int8["tolerance"], int8["distance_to_native"]) == (1e-3, 5e-3, 0.0)
    assert "passed" in capsys.readouterr().out


def test_noise_is_one_step_of_every_other_sample(run: Path, runs: Runs) -> None:
    arm64.run(Arm64Config(run=run))
    clips = np.fromfile(run / "bundle" / "golden" / "waveform.f32", "<f4")
    moved = runs.heard[0] != clips
    np.testing.assert_array_equal(moved, [True, False] * SAMPLES)
    np.testing.assert_array_equal(runs.heard[0][moved], np.nextafter(clips[moved], np.float32(np.inf)))


@pytest.mark.parametrize(
    ("machine", "precision", "fields", "reason"),
    [
        (PHONE, "fp32", {"predictions": GOLDEN + np.float32(2e-3)}, "model.fp32.pte: largest error 0.002 is beyond"),
        (PHONE, "fp32", {"predictions": GOLDEN[:, ::-1]}, "model.fp32.pte: largest error"),
        (PHONE, "fp32", {"predictions": GOLDEN * np.float32(np.nan)}, "model.fp32.pte: largest error nan"),
        (PHONE, "int8", {"predictions": INT8 + np.float32(3e-3)}, "model.int8.pte: largest error 0.006 is beyond"),
        (PHONE, "int8", {"predictions": GOLDEN - np.float32(6e-3)}, "model.int8.pte: largest error 0.006 is beyond"),
        (PHONE, "int8", {"backends": ("MoodBackend",)}, "model.int8.pte: a phone may lack MoodBackend"),
        (HERE, "int8", {"peak_rss_bytes": 151_000_000}, "model.int8.pte: peak memory of 151 MB is beyond"),
    ],
)
def test_each_fault_closes_the_gate(
    run: Path, runs: Runs, machine: native.Machine, precision: str, fields: dict[str, object], reason: str
) -> None:
    runs.change(machine, precision, **fields)
    with pytest.raises(ExportError, match=reason):
        arm64.run(Arm64Config(run=run))
    assert not (run / "arm64").exists()
    verdicts = {name: record["verdict"] for name, record in records(run, "arm64.part").items()}
    other = {"fp32": "int8", "int8": "fp32"}[precision]
    assert verdicts == {f"model.{precision}.pte": "failed", f"model.{other}.pte": "passed"}


def test_a_kernel_that_phones_lack_closes_the_gate(run: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "operators", lambda program: ["aten::add.out", "aten::_fft_r2c.out"])
    with pytest.raises(ExportError, match=r"a phone may lack aten::_fft_r2c\.out"):
        arm64.run(Arm64Config(run=run))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_changed_tolerance_in_parity_json_changes_the_verdict(run: Path, runs: Runs, precision: str) -> None:
    program = f"model.{precision}.pte"
    off = GOLDEN + np.float32(0.9 * TOLERANCES[program])
    runs.change(PHONE, precision, predictions=off)
    assert arm64.run(Arm64Config(run=run)) == 0
    write_parity(run / "bundle", TOLERANCES | {program: 0.8 * TOLERANCES[program]})
    with pytest.raises(ExportError, match=rf"model\.{precision}\.pte: largest error .* is beyond the tolerance of"):
        arm64.run(Arm64Config(run=run))
    write_parity(run / "bundle", TOLERANCES)
    assert arm64.run(Arm64Config(run=run)) == 0


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_noise_and_the_other_machine_are_told_and_excuse_nothing(run: Path, runs: Runs, precision: str) -> None:
    """The golden pairs decide alone: the same fault on both machines is one, and so is one no larger than noise."""
    runs.noise = np.float32(9e-3)
    for machine in (HERE, PHONE):
        runs.change(machine, precision, predictions=GOLDEN + np.float32(8e-3))
    with pytest.raises(ExportError, match=rf"model\.{precision}\.pte: largest error 0\.008 is beyond the tolerance"):
        arm64.run(Arm64Config(run=run))
    record = records(run, "arm64.part")[f"model.{precision}.pte"]
    assert record["distance_to_native"] == 0.0
    np.testing.assert_allclose([record["native_noise"], record["native_to_golden"]], [9e-3, 8e-3], rtol=1e-3, atol=0)


def test_a_program_without_a_record_is_named(run: Path, runs: Runs) -> None:
    write_parity(run / "bundle", {"model.fp32.pte": 1e-3})
    with pytest.raises(
        BundleError, match=rf"no record of model\.int8\.pte; type `make export RUN={run} CORPUS=deam MUSIC=\S+` first"
    ):
        arm64.run(Arm64Config(run=run))


def test_up_to_date_until_a_program_changes(run: Path, runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    arm64.run(Arm64Config(run=run))
    capsys.readouterr()
    assert arm64.run(Arm64Config(run=run)) == 0
    assert capsys.readouterr().out == "arm64: up to date\n"
    for name in (WAVEFORMS, EMOTIONS, INTERVALS):  # each is part of what is proven
        values = np.fromfile(run / "bundle" / name, "<f4")
        (values + np.float32(1e-6)).tofile(run / "bundle" / name)
        assert arm64.run(Arm64Config(run=run)) == 0
        assert "passed" in capsys.readouterr().out


def test_without_tools_it_is_skipped_by_name_and_tried_again(
    run: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing() -> native.Machine:
        raise arm64_tools.NotHereError("qemu-user-static not installed")

    with monkeypatch.context() as patch:
        patch.setattr(arm64_tools, "arm64", nothing)
        assert arm64.run(Arm64Config(run=run)) == 0
    skipped = records(run)
    assert [record["verdict"] for record in skipped.values()] == ["skipped", "skipped"]
    assert "model.fp32.pte: qemu-user-static not installed" in capsys.readouterr().out
    assert arm64.run(Arm64Config(run=run)) == 0
    assert [record["verdict"] for record in records(run).values()] == ["passed", "passed"]


def test_a_bundle_without_programs_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=rf"holds no \.pte; type `make export RUN={tmp_path} CORPUS=deam MUSIC=\S+` first"
    ):
        arm64.run(Arm64Config(run=tmp_path))


@pytest.mark.parametrize("fields", [{"repeat": 0}, {"threads": 0}, {"memory_limit_mb": 0.0}, {"memory_limit_mb": -1.0}])
def test_numbers_that_prove_nothing_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        Arm64Config(**fields)  # type: ignore[arg-type]


def tools_missing() -> str:
    """Say which tool of the real run is not here, or "" where all are."""
    version, _ = arm64_tools.locked("executorch", arm64_tools.LOCK.read_text())
    wheel = arm64_tools.WHEELS / f"executorch-{version}"
    missing = [name for name in arm64_tools.PACKAGES if not shutil.which(name)]
    missing += [] if wheel.is_dir() else [f"executorch {version} for ARM64"]
    return f"{', '.join(missing)} not here; `make arm64 RUN=...` fetches them" if missing else ""


@pytest.mark.slow
@pytest.mark.skipif(bool(tools_missing()), reason=tools_missing() or "-")
def test_programs_predict_alike_on_arm64(exported_run: Path, tmp_path: Path) -> None:
    shutil.copytree(exported_run / "bundle", tmp_path / "bundle")
    for name in (
        WAVEFORMS,
        EMOTIONS,
        INTERVALS,
    ):  # one pair of the two: qemu takes 3 s for a clip, and more on a busy machine
        os.truncate(tmp_path / "bundle" / name, (tmp_path / "bundle" / name).stat().st_size // 2)
    assert arm64.run(Arm64Config(run=tmp_path, repeat=1)) == 0
    found = records(tmp_path)
    assert {name: record["verdict"] for name, record in found.items()} == {
        "model.fp32.pte": "passed",
        "model.int8.pte": "passed",
    }
    assert [record["delegates"] for record in found.values()] == [["XnnpackBackend"], ["XnnpackBackend"]]
    assert found["model.fp32.pte"]["clips"] == 1

    # Closer than the product's tolerance, which is for every phone: here both processors run one release of kernels.
    assert found["model.fp32.pte"]["max_error"] <= 1e-4  # type: ignore[operator]
    int8 = found["model.int8.pte"]
    assert int8["distance_to_native"] <= max(1e-3, 2 * int8["native_noise"])  # type: ignore[operator,type-var]
