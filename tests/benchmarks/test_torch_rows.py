"""Rows of a run before they are measured, and the usual recipe that they are compared with."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import gate, table
from benchmarks.rows import TEACHER, artefacts, rows_of, size_of
from pocketmood.data.run_folder import SOFT_TARGETS, RunFolder
from pocketmood.mel import MelFrontEnd
from pocketmood.runs import read_json, write_json
from teacher.config import VitConfig
from teacher.soft_targets import Index
from teacher.vit import build_teacher, save_teacher
from tests.helpers import benchmark_runs
from tests.helpers.fine_tuned import fine_tuned

KINDS = (" 128x256", " 128x256.pte")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(benchmark_runs.make_run(tmp_path / "run", songs=8))


def test_rows_come_in_the_order_of_the_table(run, tmp_path):
    names = [row.name for row in rows_of(run, alternatives="one")]
    assert names == [
        "perfect listener",
        "ridge floor",
        "teacher",
        "student",
        *benchmark_runs.SHIPPED,
        "librosa + mobilevit_xxs",
    ]
    more = [row.name for row in rows_of(run) if row.name not in names]
    assert more == ["student, torch.compile", *(f"librosa + mobilevit_xxs{kind}" for kind in KINDS)]
    assert rows_of(run, alternatives="none")[-1].name == "model.fp32.mlpackage"


def test_the_rows_are_what_export_was_asked_for(run):
    bundle = run.folder("bundle")
    (bundle / "model.int8.onnx").write_bytes(b"x")  # left behind by somebody: no program of this bundle
    benchmark_runs.describe_bundle(bundle, benchmark_runs.SPEC, "model.fp32.pte", "model.fp16.mlpackage/Manifest.json")
    about = read_json(bundle / "bundle.json") | {"left_out": {"model.fp32.onnx": "no such operator"}}
    write_json(bundle / "bundle.json", about)
    wanted = ["model.fp32.onnx", "model.fp32.pte", "model.fp16.mlpackage"]
    assert artefacts(RunFolder(run.path).bundle) == wanted
    rows = {row.name: row for row in rows_of(RunFolder(run.path)) if row.name.startswith("model.")}
    assert list(rows) == wanted
    assert rows["model.fp32.onnx"].record.reason == "left out: no such operator"
    assert "does not hold this file" in rows["model.fp32.pte"].why_not_opened  # asked for, passed, and gone since


def test_a_missing_artefact_fails_its_row_only(run, tmp_path):
    row = next(row for row in rows_of(run) if row.name == "model.fp32.pte")
    assert row.open is None
    assert row.record.status == "failed" and "does not hold this file" in row.why_not_opened


def test_what_export_left_out_has_a_row_that_says_why_and_opens_nothing(run):
    about = run.folder("bundle") / "bundle.json"
    write_json(about, read_json(about) | {"left_out": {"model.palette6.mlpackage": "ValueError: no such operator"}})
    row = next(row for row in rows_of(run) if row.name == "model.palette6.mlpackage")
    assert row.open is None and not row.is_artefact and row.record.size_bytes is None
    text = table.plain_text([row.record], "", ["data: made up"])
    assert text.splitlines()[2].split()[0] == row.name and text.splitlines()[2].endswith("left out")
    assert (
        "model.palette6.mlpackage: left out: ValueError: no such operator" in text and "warning: data: made up" in text
    )
    # A gate that asks for it must not turn green because it is gone.
    lines = gate.broken_limits(gate.GateConfig(rows=(row.name,), min_ccc=0), [row.record])
    assert lines[0] == f"{row.name}: left out (ValueError: no such operator)"


def test_verdict_and_delegation_come_from_the_parity_records(run, tmp_path):
    for name in ("model.fp32.pte", "model.int8.pte"):
        (run.folder("bundle") / name).write_bytes(b"1234")
    rows = {row.name: row.record for row in rows_of(run)}
    assert rows["model.fp32.pte"].status == "passed"
    assert (rows["model.fp32.pte"].delegated_subgraphs, rows["model.fp32.pte"].undelegated_ops) == (2, 5)
    assert rows["model.int8.pte"].status == "failed validation" and "0.0071" in rows["model.int8.pte"].reason
    assert rows["model.int8.pte"].precision == "int8" and rows["model.int8.pte"].size_bytes == 4


@pytest.mark.skipif(sys.platform == "darwin", reason="CoreML does predict on macOS")
def test_coreml_says_that_it_needs_macos(run, tmp_path):
    (run.folder("bundle") / "model.fp32.mlpackage").mkdir()
    row = next(row for row in rows_of(run) if row.name == "model.fp32.mlpackage")
    assert row.record.status == "not run: needs macOS" and row.open is None
    assert "macOS only" in row.why_not_scored


def test_no_ceiling_where_nobody_knows_the_truth(tmp_path):
    run = benchmark_runs.make_run(tmp_path / "real", songs=8, synthetic=False)
    row = rows_of(RunFolder(run))[0]
    assert row.record.status == "not run" and "does not tell true scores" in row.why_not_scored


def test_size_of_a_folder_is_that_of_its_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"123")
    (tmp_path / "c").write_bytes(b"4567")
    assert size_of(tmp_path) == 7
    assert size_of(tmp_path / "nothing") is None


@pytest.mark.parametrize(("stride", "frames"), [(1, 22), (2, 11)])
def test_the_teacher_is_shown_what_it_was_trained_on_and_not_what_the_student_sees(run, stride, frames):
    # Half a second has 22 frames; the soft targets of this run speak of 256 at stride 5.
    seen = Index.load(run.folder("teacher") / SOFT_TARGETS)
    assert (seen.stride, seen.frames) == (5, 256)
    own = VitConfig(size="ast", width=16, layers=1, heads=2, stride=stride, frames=frames, period_frames=32)
    training = replace(fine_tuned(), spec=benchmark_runs.SPEC, spec_hash=benchmark_runs.SPEC.hash)
    torch.manual_seed(0)
    model = build_teacher(own).eval()
    save_teacher(run.folder("teacher"), model, own, training)
    wave = np.random.default_rng(0).standard_normal(benchmark_runs.SPEC.samples).astype(np.float32) / 10
    with torch.inference_mode():
        wanted = model(MelFrontEnd(benchmark_runs.SPEC, stride, frames)(torch.from_numpy(wave[None])))

    emotion, width = next(row for row in rows_of(run) if row.name == TEACHER).open(1).predict(wave)
    # The same operations in the same order on the same processor: bit by bit.
    assert tuple(emotion) == tuple(wanted.emotion[0].tolist()) and tuple(width) == tuple(wanted.rater_sd[0].tolist())

    # A bundle whose window is shorter gives less of the clip, which is then repeated, as a shorter file is.
    shorter = wave[:5000]
    again = next(row for row in rows_of(run) if row.name == TEACHER).open(1).predict
    assert again(shorter) == again(np.resize(shorter, len(wave)))
