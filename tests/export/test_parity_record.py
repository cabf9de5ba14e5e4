"""Parity records as JSON: flat, the same again when read, and refused where a key is missing or strange."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from export import parity
from export.parity_record import CccChange, DistanceToFp32, Facts, ParityRecord, read_records, tolerances
from pocketmood.errors import BundleError
from tests.helpers.export_fixtures import measured, write_parity


def whole() -> ParityRecord:
    """Return a record that has all of its parts."""
    record = replace(
        measured("model.int8.pte", 2e-3),
        against="its quantised graph in float",
        to_fp32=DistanceToFp32(0.01, 1e-3, 0.0, 40.0),
        ccc=CccChange(40, 0.5, 1e-3, -1e-3, 3e-3),
        facts=Facts(size_bytes=7, left_groups={"stem.conv": "noisy"}, caveat="on x86 only"),
    )
    return parity.judge(record, 5e-3, 0.01, 0.03)


def test_is_one_flat_object_and_the_same_again() -> None:
    values = json.loads(json.dumps(whole().to_json()))
    assert (
        values["artefact"] == "model.int8.pte" and values["verdict"] == "passed" and values["reason"] == "on x86 only"
    )
    assert (values["max_error"], values["ccc_drop"], values["size_bytes"]) == (2e-3, 1e-3, 7)
    assert values["tolerance"] == pytest.approx(5e-3 + 0.01, rel=1e-12, abs=0)
    assert not {"distance", "gates", "facts", "diverges", "opset", "caveat"} & values.keys()
    assert ParityRecord.from_json(values) == whole()
    lost = parity.not_written("a.pte", "no such operator")
    assert ParityRecord.from_json(lost.to_json()) == lost


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"verdict": None}, "model.int8.pte has no verdict"),
        ({"clips": None}, "model.int8.pte has no clips"),
        ({"tolerance": None}, "model.int8.pte has no tolerance"),
        ({"spread_max_error": 0.1}, "model.int8.pte has unknown spread_max_error"),
        ({"limit": None, "device_limit": 0.1}, "model.int8.pte has no limit"),
    ],
)
def test_keys_too_many_or_too_few_are_named(change: dict[str, float | None], complaint: str) -> None:
    values = {name: value for name, value in (whole().to_json() | change).items() if value is not None}
    with pytest.raises(BundleError, match=complaint):
        ParityRecord.from_json(values)


def test_a_record_from_before_the_ccc_had_a_verdict_is_read() -> None:
    values = {name: value for name, value in whole().to_json().items() if name != "ccc_verdict"}
    assert ParityRecord.from_json(values) == replace(whole(), ccc_verdict=None)


def test_tolerances_are_those_of_the_file(tmp_path: Path) -> None:
    write_parity(tmp_path, {"model.fp32.pte": 2e-3, "model.fp32.onnx": 1e-3})
    assert tolerances(tmp_path, ".pte") == {"model.fp32.pte": 2e-3}
    assert [record.artefact for record in read_records(tmp_path)] == ["model.fp32.pte", "model.fp32.onnx"]
    (tmp_path / "parity.json").write_text(json.dumps([parity.not_written("a.pte", "no such operator").to_json()]))
    with pytest.raises(BundleError, match=r"a\.pte has no tolerance"):
        tolerances(tmp_path, ".pte")
    (tmp_path / "parity.json").write_text("{}")
    with pytest.raises(BundleError, match="no list of parity records"):
        read_records(tmp_path)
    (tmp_path / "parity.json").unlink()
    with pytest.raises(BundleError, match=r"parity\.json: missing"):
        read_records(tmp_path)


def test_facts_of_two_are_joined() -> None:
    assert Facts(opset=18, operators=3) | Facts(operators=4, qat_steps=0) == Facts(opset=18, operators=4, qat_steps=0)
