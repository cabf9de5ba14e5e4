"""Rows of a run before they are measured, and the usual recipe that they are compared with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.rows import SHIPPED, artefacts, rows_of, size_of
from pocketmood.data.run_folder import RunFolder
from tests.helpers import benchmark_runs

KINDS = (" 128x256", " 128x256.pte")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(benchmark_runs.make_run(tmp_path / "run", songs=8))


def test_rows_come_in_the_order_of_the_table(run, tmp_path):
    names = [row.name for row in rows_of(run, alternatives="one")]
    assert names == ["perfect listener", "ridge floor", "teacher", "student", *SHIPPED, "librosa + mobilevit_xxs"]
    more = [row.name for row in rows_of(run) if row.name not in names]
    assert more == ["student, torch.compile", *(f"librosa + mobilevit_xxs{kind}" for kind in KINDS)]
    assert rows_of(run, alternatives="none")[-1].name == "model.fp32.mlpackage"


def test_further_artefacts_of_the_bundle_join_in(run):
    (run.folder("bundle") / "model.int8.onnx").write_bytes(b"x")
    assert artefacts(run.folder("bundle"))[:2] == ["model.fp32.onnx", "model.int8.onnx"]


def test_a_missing_artefact_fails_its_row_only(run, tmp_path):
    row = next(row for row in rows_of(run) if row.name == "model.fp32.pte")
    assert row.open is None
    assert row.record.status == "failed" and "does not hold this file" in row.why_not_opened


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
