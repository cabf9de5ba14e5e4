"""A bundle's records as a result to keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.studies import programs
from pocketmood.errors import BundleError
from pocketmood.runs import read_json, write_json

FP32 = {
    "artefact": "model.fp32.pte", "size_bytes": 5_590_000, "verdict": "passed", "against": "fp32 in PyTorch",
    "max_error": 3.9e-7, "limit": 1e-4, "clips": 37, "ccc_songs": 121, "ccc_drop": 0.0, "ccc_drop_low": 0.0,
    "ccc_drop_high": 0.0, "delegated_subgraphs": 1, "undelegated_ops": 0,
}  # fmt: skip
INT8 = FP32 | {
    "artefact": "model.int8.pte", "against": "its quantised graph in float", "fp32_max_error": 5.9e-3,
    "quantised": "36 linear", "left_float": "2 linear", "ccc_drop": 0.0004,
}  # fmt: skip


def test_the_records_become_a_table_and_a_result(tmp_path: Path) -> None:
    write_json(tmp_path / "bundle.json", {"name": "mobilevit_xxs", "parameters": 950_000})
    write_json(tmp_path / "parity.json", [INT8, FP32])
    write_json(tmp_path / "stage.json", {"wall_s": 173.2})
    programs.main(["--bundle", str(tmp_path), "--out", str(tmp_path / "found")])
    text = (tmp_path / "found.md").read_text()
    assert "| model.int8.pte | 5.59 | 3.9e-07 | 1e-04 | 5.9e-03 | +0.0004 [+0.0000, +0.0000] | 1+0 | passed |" in text
    assert "written and proven in 173 s" in text and "37 clips, CCC over 121 songs" in text
    assert "- model.int8.pte: compared with its quantised graph in float; int8: 36 linear; float: 2 linear\n" in text
    kept = {one["name"]: one for one in read_json(tmp_path / "found.json")["programs"]}
    assert kept["model.fp32.pte"]["megabytes"] == pytest.approx(5.59) and kept["model.fp32.pte"]["quantised"] is None


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle\.json, parity\.json, stage\.json in it"):
        programs.collect(tmp_path)
