"""The C++ runner, built for this machine: predictions worked by hand, the contract, and one line for everything bad."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from export import native
from export.contract import Contract
from export.executorch import to_executorch
from pocketmood.bundle import SCHEMA
from pocketmood.errors import ExportError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("g++"), reason="g++: not here, so the C++ runner cannot be built"),
]
SAMPLES = 4
CLIPS = np.array([[0.1, 0.2, 0.3, 0.4], [-0.5, 0.0, 1.0, 0.25]], "<f4")
PREDICTIONS = [[0.2, 0.4, 1.3, 1.4], [-1.0, 0.0, 2.0, 1.25]]
CONTRACT: Contract = {"schema": SCHEMA, "samples": SAMPLES, "labels": 'Zoë said "a\\b"\n'}


class Sums(nn.Module):
    """Emotion: twice the first two samples; interval68: one more than the others."""

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        return waveform[:, :2] * 2, waveform[:, 2:] + 1


class OneOutput(nn.Module):
    def forward(self, waveform: Tensor) -> Tensor:
        return waveform * 2


def write(folder: Path, name: str, module: nn.Module, contract: Contract) -> Path:
    path = folder / f"{name}.pte"
    to_executorch.write(module.eval(), (1, SAMPLES), path, contract)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of small programs, good and bad, and of clips for them."""
    folder = tmp_path_factory.mktemp("programs")
    good = write(folder, "good", Sums(), CONTRACT)
    write(folder, "newer", Sums(), CONTRACT | {"schema": SCHEMA + 1})
    write(folder, "foreign", Sums(), {"schema": SCHEMA})
    write(folder, "lying", Sums(), CONTRACT | {"samples": 8})
    write(folder, "one_output", OneOutput(), CONTRACT)
    (folder / "cut.pte").write_bytes(good.read_bytes()[:-200])
    (folder / "garbage.pte").write_text("no program")
    CLIPS.tofile(folder / "clips.f32")
    (folder / "odd.f32").write_bytes(CLIPS.tobytes()[:-4])
    (folder / "empty.f32").touch()
    return folder


@pytest.fixture(scope="module")
def machine() -> native.Machine:
    return native.this_machine()


def call(machine: native.Machine, folder: Path, words: str) -> subprocess.CompletedProcess[str]:
    command = [str(native.build(machine)), *words.split()]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_predictions_by_hand(machine: native.Machine, folder: Path) -> None:
    report = native.run(machine, folder / "good.pte", folder / "clips.f32", threads=1)
    np.testing.assert_allclose(report.predictions, PREDICTIONS, rtol=0, atol=1e-7)
    assert report.backends == ("XnnpackBackend",) and report.threads == 1


def test_predicts_what_the_python_runtime_predicts(machine: native.Machine, folder: Path) -> None:
    theirs = to_executorch.read(folder / "good.pte", threads=1)
    wanted = [np.concatenate(theirs(clip[None]), axis=1)[0] for clip in CLIPS]
    report = native.run(machine, folder / "good.pte", folder / "clips.f32", threads=1)
    np.testing.assert_array_equal(report.predictions, wanted)  # the same libraries


def test_reads_the_contract_alone(machine: native.Machine, folder: Path) -> None:
    report = native.run(machine, folder / "good.pte")
    assert report.contract == CONTRACT == to_executorch.read_contract(folder / "good.pte")
    assert report.predictions.shape == (0, 4) and report.median_ms is None


def test_times_and_memory(machine: native.Machine, folder: Path) -> None:
    report = native.run(machine, folder / "good.pte", folder / "clips.f32", repeat=5)
    assert report.first_ms and report.median_ms and report.p95_ms
    assert 0 < report.median_ms <= report.p95_ms and report.load_ms > 0
    assert 1e6 < report.peak_rss_bytes < 50e6  # the runtime's libraries and next to no model


def test_no_number_stays_no_number(machine: native.Machine, folder: Path, tmp_path: Path) -> None:
    np.array([np.nan, 0, 0, 0], "<f4").tofile(tmp_path / "nan.f32")
    report = native.run(machine, folder / "good.pte", tmp_path / "nan.f32")
    np.testing.assert_array_equal(report.predictions, [[np.nan, 0, 1, 1]])


def test_writes_predictions_as_raw_float32(machine: native.Machine, folder: Path, tmp_path: Path) -> None:
    done = call(machine, folder, f"good.pte --waveforms clips.f32 --predictions {tmp_path / 'predictions.f32'}")
    assert done.returncode == 0 and f'"predictions": "{tmp_path}' in done.stdout
    found = np.fromfile(tmp_path / "predictions.f32", "<f4").reshape(-1, 4)
    np.testing.assert_allclose(found, PREDICTIONS, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("", "no program named; see --help"),
        ("none.pte", "none.pte: cannot be read"),
        ("garbage.pte", "garbage.pte: no program, or a damaged one"),
        ("cut.pte", "cut.pte: no program, or a damaged one.*Expected file size"),
        ("newer.pte", "newer.pte: contract of schema 3, this runner reads 2"),
        ("foreign.pte --waveforms clips.f32", "foreign.pte: has no constant method `samples`"),
        ("lying.pte --waveforms clips.f32", "lying.pte: a run failed"),
        ("one_output.pte --waveforms clips.f32", "one_output.pte: gives 1 outputs, not 2"),
        ("good.pte --waveforms none.f32", "none.f32: cannot be read"),
        ("good.pte --waveforms odd.f32", "odd.f32: 28 bytes are no whole number of clips of 4 float32"),
        ("good.pte --waveforms empty.f32", "empty.f32: 0 bytes are no whole number"),
        ("good.pte --waveforms clips.f32 --predictions no/folder", "no/folder: cannot be written"),
        ("good.pte --predictions a.f32", "--predictions: needs --waveforms"),
        ("good.pte --speed 2", "--speed: no such option"),
        ("good.pte --repeat", "--repeat: its value is missing"),
        ("good.pte --repeat 0", "--repeat 0: a whole number of at least 1"),
        ("good.pte --threads 2x", "--threads 2x: a whole number of at least 0"),
        ("good.pte more.pte", "more.pte: one program at a time"),
    ],
)
def test_what_is_wrong_gets_one_line(machine: native.Machine, folder: Path, words: str, complaint: str) -> None:
    done = call(machine, folder, words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    with pytest.raises(ExportError, match=complaint):
        raise ExportError(done.stderr)


def test_python_passes_the_runners_words_on(machine: native.Machine, folder: Path) -> None:
    with pytest.raises(ExportError, match=r"^pte_runner: .*garbage.pte: no program, or a damaged one"):
        native.run(machine, folder / "garbage.pte")


def test_help(machine: native.Machine, folder: Path) -> None:
    done = call(machine, folder, "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: pte_runner PROGRAM") and not done.stderr


def test_is_built_once(machine: native.Machine) -> None:
    first = native.build(machine)
    made = first.stat().st_mtime_ns
    assert native.build(machine) == first and first.stat().st_mtime_ns == made


def test_a_changed_source_is_built_anew_and_its_fault_named(
    machine: native.Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pte_runner.cpp").write_text("int main() { return missing; }\n")
    monkeypatch.setattr(native, "SOURCE", tmp_path / "pte_runner.cpp")
    monkeypatch.setattr(native, "CACHE", tmp_path / "cache")
    with pytest.raises(ExportError, match=r"error: .missing. was not declared"):
        native.build(machine)
    (tmp_path / "pte_runner.cpp").write_text("int main() { return 0; }\n")
    assert native.build(machine).parent.parent == tmp_path / "cache"


def test_no_compiler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ExportError, match="g\\+\\+: not found"):
        native.this_machine()


def test_a_thread_count_is_obeyed(machine: native.Machine, folder: Path) -> None:
    assert [native.run(machine, folder / "good.pte", threads=count).threads for count in (1, 3)] == [1, 3]
