"""Rows from a phone: what is pushed and run, how predictions are judged, and that other phones' rows stay."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import device
from benchmarks.device import FOLDER, Adb
from benchmarks.record import Record
from benchmarks.rows import device_records, rows_of
from export.golden import EMOTIONS, INTERVALS, WAVEFORMS
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import BundleError, ConfigError, RunError
from pocketmood.runs import read_json, write_json
from pocketmood.spec import MelSpec
from tests.helpers import ROOT, benchmark_runs

SPEC = MelSpec(seconds=0.5)
CLIPS = 2
PROGRAMS = ("model.fp32.pte", "model.int8.pte")
GOLDEN = [[0.1, -0.2, 0.3, 0.4], [0.5, 0.25, 0.3, 0.35]]
SAID: dict[str, Any] = {"load_ms": 12.5, "first_ms": 40.0, "median_ms": 15.0, "p95_ms": 18.0, "threads": 4,
                        "peak_rss_bytes": 60_000_000, "predictions": GOLDEN}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run whose bundle holds two programs of made-up bytes and two golden clips."""
    run = benchmark_runs.make_run(tmp_path / "run", songs=8)
    bundle = run / "bundle"
    (bundle / "golden").mkdir()
    np.zeros((CLIPS, SPEC.samples), "<f4").tofile(bundle / WAVEFORMS)
    for name, columns in ((EMOTIONS, slice(2)), (INTERVALS, slice(2, 4))):
        np.array(GOLDEN, "<f4")[:, columns].tofile(bundle / name)
    for name in PROGRAMS:
        (bundle / name).write_bytes(name.encode())
    benchmark_runs.describe_bundle(bundle, SPEC, *PROGRAMS, WAVEFORMS, EMOTIONS, INTERVALS)
    return run


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """Return the folder of a fake phone whose runner says SAID."""
    (tmp_path / "adb").mkdir()
    (tmp_path / "adb" / "printed.txt").write_text("I 00:00 some log line\n" + json.dumps(SAID))
    return tmp_path / "adb"


def adb_of(phone: Path) -> str:
    return f"{sys.executable} {ROOT / 'tests' / 'helpers' / 'fake_adb.py'} {phone}"


def call(run: Path, phone: Path, *more: str) -> int:
    runner = run / "pte_runner"
    runner.write_text("#!/bin/sh\n")
    return device.main(["--run", str(run), "--runner", str(runner), "--adb", adb_of(phone), *more])


def test_what_is_pushed_run_and_removed(run: Path, phone: Path) -> None:
    assert call(run, phone, "--serial", "T1", "--repeats", "7", "--threads", "4") == 0
    calls = [json.loads(line) for line in (phone / "calls.txt").read_text().splitlines()]
    assert {tuple(words[:2]) for words in calls} == {("-s", "T1")}
    calls = [words[2:] for words in calls]
    pushed = [words[2] for words in calls if words[0] == "push"]
    names = ("pte_runner", "waveform.f32", "model.fp32.pte", "model.int8.pte")
    assert pushed == [f"{FOLDER}/{name}" for name in names]
    lines = [words[1] for words in calls if words[0] == "shell" and words[1].startswith("cd ")]
    assert lines[0] == (
        f"cd {FOLDER} && LD_LIBRARY_PATH=. ./pte_runner model.fp32.pte --waveforms waveform.f32 --repeat 7 --threads 4"
    )
    assert calls[-1] == ["shell", f"rm -rf {FOLDER}"] and not (phone / "phone").exists()


def test_rows_join_the_table_and_other_phones_stay(run: Path, phone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    device.keep(RunFolder(run), [Record("model.fp32.pte on Old", latency_ms_median=90.0)])
    assert call(run, phone) == 0
    printed = capsys.readouterr().out
    assert "model.fp32.pte on Model T" in printed and "model.fp32.pte on Old" in printed
    rows = {record.name: record for record in device_records(RunFolder(run))}
    row = rows["model.int8.pte on Model T"]
    assert (row.runtime, row.precision, row.status) == ("ExecuTorch, arm64-v8a", "int8", "passed")
    assert (row.latency_ms_median, row.latency_ms_p95, row.first_ms, row.load_ms) == (15.0, 18.0, 40.0, 12.5)
    assert row.real_time_factor == pytest.approx(0.015 / 0.5, abs=1e-12)
    assert (row.threads, row.peak_rss_bytes, row.size_bytes) == (4, 60_000_000, len("model.int8.pte"))
    names = [row.name for row in rows_of(RunFolder(run), alternatives="none")]
    assert names[-3:] == ["model.fp32.pte on Old", "model.fp32.pte on Model T", "model.int8.pte on Model T"]


def say(phone: Path, predictions: list[list[Any]]) -> None:
    (phone / "printed.txt").write_text(json.dumps(SAID | {"predictions": predictions}))


def test_predictions_beyond_the_tolerance_are_refuted(run: Path, phone: Path) -> None:
    # both programs differ by 2e-3 in one number: too much for fp32 (1e-3), within what int8 may (7e-3)
    say(phone, [[*GOLDEN[0][:3], GOLDEN[0][3] + 2e-3], GOLDEN[1]])
    assert call(run, phone) == 1
    fp32, int8 = device_records(RunFolder(run))
    assert (fp32.status, int8.status) == ("failed validation", "passed")
    # golden pairs are float32: rounding of .4 and .402 is below 1e-7
    assert fp32.parity_error == pytest.approx(2e-3, abs=1e-7) and "more than 0.001" in fp32.reason
    say(phone, [[None] * 4, GOLDEN[1]])
    assert call(run, phone) == 1
    assert [record.status for record in device_records(RunFolder(run))] == ["failed validation"] * 2


def test_another_tolerance_in_parity_json_changes_the_verdict(run: Path, phone: Path) -> None:
    say(phone, [[*GOLDEN[0][:3], GOLDEN[0][3] + 2e-3], GOLDEN[1]])
    path = run / "bundle" / "parity.json"
    records = read_json(path)
    for tolerance, status in ((1.9e-3, "failed validation"), (2.1e-3, "passed")):
        write_json(path, [{**record, "tolerance": tolerance} for record in records])
        assert call(run, phone) == int(status != "passed")
        assert [record.status for record in device_records(RunFolder(run))] == [status] * 2


def test_without_a_tolerance_nothing_is_called_equal(run: Path, phone: Path) -> None:
    path = run / "bundle" / "parity.json"
    write_json(path, [{key: record[key] for key in record if key != "tolerance"} for record in read_json(path)])
    with pytest.raises(BundleError, match="no tolerance"):
        call(run, phone)
    assert device_records(RunFolder(run)) == []


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("no such operator", "said 'no such operator', no JSON line"),
        (json.dumps(SAID | {"predictions": GOLDEN[:1]}), "1 predictions for 2 golden waveforms"),
    ],
)
def test_a_program_that_breaks_costs_its_row(run: Path, phone: Path, printed: str, reason: str) -> None:
    (phone / "printed.txt").write_text(printed)
    assert call(run, phone) == 1
    assert all(record.status == "failed" and reason in record.reason for record in device_records(RunFolder(run)))


def test_a_phone_that_is_not_ready_is_an_error(run: Path, phone: Path) -> None:
    (phone / "state.txt").write_text("unauthorized")
    with pytest.raises(RunError, match="'unauthorized'; unlock it"):
        call(run, phone)
    with pytest.raises(RunError, match="no-such-adb: not found; install Android's platform tools"):
        Adb("no-such-adb", None).name()
    with pytest.raises(ConfigError, match="build export/executorch/runner for the phone first"):
        device.main(["--run", str(run), "--runner", str(run / "nothing")])
