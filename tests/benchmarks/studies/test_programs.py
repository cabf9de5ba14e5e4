"""A bundle's records as a result to keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.studies import programs
from export.parity_record import CccChange, Distance, DistanceToFp32, Facts, Gates, ParityRecord
from pocketmood.errors import BundleError
from pocketmood.runs import read_json, write_json
from tests.helpers.export_fixtures import write_bundle_json
from tests.helpers.stage_files import write_stage_file

FACTS = Facts(size_bytes=5_590_000, delegated_subgraphs=1, undelegated_ops=0)
FP32 = ParityRecord(
    "model.fp32.pte", "passed", against="fp32 in PyTorch", facts=FACTS, gates=Gates(1e-4, 1e-3),
    distance=Distance(37, 3.9e-7, 3e-7, 1e-7, 0.0, 120.0, 3.9e-7, 1e-7, 0.0, 110.0),
    ccc=CccChange(121, 0.6, 0.0, 0.0, 0.0),
)  # fmt: skip
INT8 = replace(
    FP32, artefact="model.int8.pte", against="its quantised graph in float",
    to_fp32=DistanceToFp32(5.9e-3, 1e-3, 0.0, 40.0), ccc=CccChange(121, 0.6, 0.0004, 0.0, 0.0),
    facts=replace(FACTS, quantised="36 linear", left_float="2 linear"),
)  # fmt: skip


def test_the_records_become_a_table_and_a_result(tmp_path: Path) -> None:
    write_bundle_json(tmp_path, samples=1_000)
    about = read_json(tmp_path / "bundle.json")
    write_json(tmp_path / "bundle.json", about | {"name": "mobilevit_xxs", "parameters": 950_000})
    write_json(tmp_path / "parity.json", [INT8.to_json(), FP32.to_json()])
    write_stage_file(tmp_path, {}, wall_s=173.2)
    programs.main(["--bundle", str(tmp_path), "--out", str(tmp_path / "found")])
    text = (tmp_path / "found.md").read_text()
    assert "| model.int8.pte | 5.59 | 3.9e-07 | 1e-04 | 5.9e-03 | +0.0004 [+0.0000, +0.0000] | 1+0 | passed |" in text
    assert "written and proven in 173 s" in text and "37 clips, CCC over 121 songs" in text
    assert "- model.int8.pte: compared with its quantised graph in float; int8: 36 linear; float: 2 linear\n" in text
    kept = {program["name"]: program for program in read_json(tmp_path / "found.json")["programs"]}
    assert kept["model.fp32.pte"]["megabytes"] == pytest.approx(5.59) and kept["model.fp32.pte"]["quantised"] is None


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle\.json, parity\.json, stage\.json in it"):
        programs.collect(tmp_path)
