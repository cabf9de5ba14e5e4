"""A run folder: what finished stages left, read once, and the command for what is missing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pocketmood import presets
from pocketmood.data.run_folder import MAKE_TARGETS, RunFolder
from pocketmood.errors import RunError
from pocketmood.runs import Stage, write_json
from tests.helpers.saved_student import write_student_config


def test_a_finished_data_stage_is_read_once(tiny_run: Path) -> None:
    run = RunFolder(tiny_run)
    assert len(run.store) == 24 and run.store is run.store
    assert run.split is run.split and set(run.split.part_of()) <= set(run.store.ids)
    assert run.fingerprint("data") == run.stage_file("data").fingerprint
    assert run.record("data")["corpora"][0]["songs"] == 24
    assert run.store_of(1_000).samples == 1_000 and run.store.samples > 1_000


@pytest.mark.parametrize(("stage", "target"), MAKE_TARGETS.items())
def test_a_missing_stage_is_one_line_with_the_command(tmp_path: Path, stage: str, target: str) -> None:
    with pytest.raises(RunError, match=rf"Type `make {target} RUN={tmp_path} CORPUS=deam MUSIC=/path/to/deam` first"):
        RunFolder(tmp_path).made(stage)


def test_what_to_type_names_the_preset_of_the_command_line_and_no_music_that_is_there(tiny_run: Path) -> None:
    presets.choose("demo")
    assert RunFolder(tiny_run).command("teacher") == f"make teacher RUN={tiny_run} PRESET=demo"
    assert RunFolder(tiny_run).command("data") == f"make data RUN={tiny_run} CORPUS=deam MUSIC=/path/to/deam"


def test_an_unfinished_stage_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "data" / "store").mkdir(parents=True)
    for read in ("store", "split"):
        with pytest.raises(RunError, match="make data RUN="):
            getattr(RunFolder(tmp_path), read)


def test_the_students_facts(tmp_path: Path) -> None:
    write_json(tmp_path / "student" / "stage.json", {"record": {}})
    saved = write_student_config(tmp_path / "student")
    assert RunFolder(tmp_path).student == saved and saved.stride == 5


def test_an_unknown_stage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no stage called 'teecher'"):
        RunFolder(tmp_path).folder("teecher")


def test_what_lies_beside_the_stages(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.results == tmp_path / "benchmarks" / "results.json"
    assert run.device_results == tmp_path / "device" / "results.json"
    assert run.alternatives == tmp_path / "alternatives"
    assert run.beside("arm64") == tmp_path / "arm64"
    with pytest.raises(RunError, match="'student' is a stage of the run"):
        run.beside("student")


def test_what_others_read_in_the_teachers_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.ridge == tmp_path / "teacher" / "floor" / "ridge.safetensors"
    assert run.vit == tmp_path / "teacher" / "vit"
    with pytest.raises(RunError, match="not been made yet"):
        _ = run.synthetic
    write_json(tmp_path / "teacher" / "stage.json", {})
    assert run.synthetic == tmp_path / "teacher" / "synthetic"


def test_the_data_record_is_typed_and_whole(tiny_run: Path, tmp_path: Path) -> None:
    record = RunFolder(tiny_run).data_record
    assert (record.label_set, record.label_fix, record.synthetic_labels) == ("tones made for tests", "none", True)
    assert record.songs == record.split.train + record.split.validation + record.split.test == 24
    assert record.plots == ()

    values = asdict(record)
    for change in ({"mood": "glad"}, {"split": {"train": 1}}):
        write_stage(tmp_path, "data", values | change)
        with pytest.raises(
            RunError,
            match=r"data/stage.json: the record of a data stage(, split,)? needs exactly .* type `make data RUN=",
        ):
            _ = RunFolder(tmp_path).data_record
    del values["corpora"]
    write_stage(tmp_path, "data", values)
    with pytest.raises(RunError, match="the record of a data stage needs exactly"):
        _ = RunFolder(tmp_path).data_record


def test_a_stage_file_of_another_version_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "teacher" / "stage.json", {"record": {}, "fingerprint": "0"})
    with pytest.raises(RunError, match=r"teacher/stage.json needs exactly \['config', .* run its stage again"):
        RunFolder(tmp_path).fingerprint("teacher")


def write_stage(run: Path, name: str, record: dict[str, Any]) -> None:
    """Write a finished stage that holds nothing but a record."""
    stage = Stage(run, name, {})
    with stage.work():
        stage.record |= record
