"""Warnings that stay: what is warned of, each once, in the order of the stages."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pocketmood import standing_warnings as warn
from pocketmood.data.record import CorpusRecord, DataRecord, SplitSizes
from pocketmood.data.run_folder import RunFolder
from pocketmood.runs import Stage

NOISE = CorpusRecord("noise", "Noise", 40, "people", audit="Audit: as named.")


def data(*corpora: CorpusRecord) -> DataRecord:
    return DataRecord(corpora, 0, 0, SplitSizes(20, 10, 10, "song"))


SWAPPED = "Audit: valence and arousal look swapped for ids 1-1000 (r 0.21 < 0.63); kept as shipped."


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        (data(NOISE), []),
        (data(replace(NOISE, synthetic_labels=True)), ["data: synthetic labels"]),
        (data(replace(NOISE, audit=SWAPPED)), [f"data: {SWAPPED}"]),
        (
            data(replace(NOISE, label_fix="swap-2013")),
            ["data: valence and arousal were exchanged by --label-fix swap-2013."],
        ),
    ],
)
def test_labels_that_a_formula_made_or_that_are_exchanged(record: DataRecord, wanted: list[str]) -> None:
    assert len(record.warnings) == len(wanted)
    assert all(found.startswith(start) for found, start in zip(record.warnings, wanted, strict=True))


def test_each_corpus_of_a_mixed_run_is_named_by_what_is_warned_of() -> None:
    found = data(replace(NOISE, synthetic_labels=True), replace(NOISE, name="b", title="B", audit=SWAPPED)).warnings
    assert found[0].startswith("data: Noise: synthetic labels") and found[1:] == (f"data: B: {SWAPPED}",)


def test_clips_of_the_gan_are_told_where_refused_or_forced() -> None:
    assert warn.of_synthetic_clips("ACCEPTED", accepted=True, forced=False) == ()
    assert warn.of_synthetic_clips("FORCED", accepted=True, forced=True) == ("teacher: FORCED",)
    assert warn.of_synthetic_clips("REFUSED", accepted=False, forced=False) == ("teacher: REFUSED",)


def test_a_run_tells_each_once_in_the_order_of_its_stages(tmp_path: Path) -> None:
    start = warn.of_random_start("student", "mobilevit_s", "no route to the hub")
    with (made := Stage(tmp_path, "data", {})).work():
        made.record |= asdict(data(replace(NOISE, synthetic_labels=True)))
    for name, sentences in {"student": [start], "bundle": [start, "bundle: x was left out: y"], "teacher": []}.items():
        with (stage := Stage(tmp_path, name, {})).work():
            stage.record["warnings"] = sentences
    found = RunFolder(tmp_path).warnings()
    assert found[0].startswith("data: synthetic") and found[1:] == (start, "bundle: x was left out: y")
    assert start == "student: mobilevit_s started from RANDOM weights (no route to the hub)"
    assert RunFolder(tmp_path).warnings("teacher", "student") == (start,)
