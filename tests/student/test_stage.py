"""The student stage on a run folder of tones: what it writes, continues, refuses, and reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketmood.calibration import conformal_factor
from pocketmood.data.clips import ClipStore
from pocketmood.errors import DataError, RunError
from pocketmood.mel import MelFrontEnd
from pocketmood.predictions import read_predictions
from pocketmood.training.checkpoints import load_tensors
from student import stage
from student.config import PRESETS
from student.mobilevit import load_student
from student.predict import predict, whole_clip_mels
from student.training_set import CropItem, SoftTargetCrops
from tests.helpers import tiny
from tests.helpers.soft_targets import make_teacher

OUTPUTS = {
    "config.json",
    "metrics.json",
    "metrics.jsonl",
    "best.json",
    "training.json",
    "model.safetensors",
    "plots",
    "predictions.csv",
    "stage.json",
}


class KillError(Exception):
    """Stands for the kill."""


@pytest.mark.slow
def test_whole_stage(tiny_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    make_teacher(tiny_run)
    config = replace(PRESETS["smoke"], run=tiny_run)
    with monkeypatch.context() as patch, pytest.raises(KillError):  # killed in the second epoch, then started again
        kill_at_epoch(patch, 1)
        stage.run(config)
    assert not (tiny_run / "student").exists()
    stage.run(config)
    folder = tiny_run / "student"
    assert {path.name for path in folder.iterdir()} == OUTPUTS
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    out = capsys.readouterr().out
    titles = ("floor (ridge)", "teacher", "student (mobilevit_xxs)", "kept of the teacher", "above the floor")
    for words in (*titles, "inside the 68 % interval"):
        assert words in out

    check_predictions(tiny_run)
    metrics = json.loads((folder / "metrics.json").read_text())
    check_intervals(metrics, folder)
    assert metrics["test"]["songs"] == 4 and metrics["test"]["ccc_mean_low"] <= metrics["test"]["ccc_mean_high"]
    record = json.loads((folder / "stage.json").read_text())["record"]
    assert record["metrics"] == metrics and record["warnings"] == [
        "student: mobilevit_xxs started from RANDOM weights (--weights random)"
    ]
    config_json = json.loads((folder / "config.json").read_text())
    assert config_json["labels"] == {
        "label_set": "tones made for tests", "label_fix": "none", "synthetic_labels": True, "label_kind": "ratings",
    }  # fmt: skip

    killed = load_tensors(folder / "model.safetensors")
    second = tiny_run.with_name("second")
    second.mkdir()
    for name in ("data", "teacher"):
        (second / name).symlink_to(tiny_run / name, target_is_directory=True)
    stage.run(replace(config, run=second))
    whole = load_tensors(second / "student" / "model.safetensors")
    assert [name for name in whole if not torch.equal(killed[name], whole[name])] == []
    assert learnt(folder) == learnt(second / "student")

    capsys.readouterr()
    stage.run(config)
    assert capsys.readouterr().out == "student: up to date\n"


def learnt(folder: Path) -> list[dict[str, object]]:
    """Read what each epoch measured: the best weights may be those of before the kill, the last terms are not."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in ("epoch", "step", "terms", "validation")} for line in lines]


def kill_at_epoch(patch: pytest.MonkeyPatch, epoch: int) -> None:
    real = SoftTargetCrops.__getitem__

    def dying(self: SoftTargetCrops, index: int) -> CropItem:
        if self.epoch == epoch:
            raise KillError
        return real(self, index)

    patch.setattr(SoftTargetCrops, "__getitem__", dying)


def check_predictions(run: Path) -> None:
    """The table holds the saved student's predictions for the whole clips of every part."""
    predictions = read_predictions(run / "student" / "predictions.csv")
    assert [predictions.splits.count(part) for part in ("train", "validation", "test")] == [16, 4, 4]
    student, saved = load_student(run / "student")
    front = MelFrontEnd(student.spec, saved.stride, saved.frames)
    store = ClipStore.open(run / "data" / "store")
    some = predictions.only("test")
    again = predict(student, whole_clip_mels(store, some.ids, front))
    assert np.allclose(again.emotion, some.emotion, rtol=0, atol=1e-5)
    assert np.allclose(again.interval68, some.interval68, rtol=0, atol=1e-5)


def check_intervals(metrics: dict[str, Any], folder: Path) -> None:
    """The scale is that of the head's own rater_sd on validation, and the weights, the table and the config agree."""
    student, saved = load_student(folder)
    scale = list(metrics["interval_scale"].values())
    assert student.interval_scale.tolist() == list(saved.interval_scale) == pytest.approx(scale, rel=1e-6, abs=0)
    held = read_predictions(folder / "predictions.csv").only("validation")
    # calibrated already: what is left to scale is 1, to float32
    again = conformal_factor(held.emotion, held.interval68, held.labels)
    assert again == pytest.approx([1, 1], rel=0, abs=1e-5)
    covered = metrics["test"]["coverage"]
    assert 0 < covered["listeners"]["68"]["mean"] < covered["listeners"]["95"]["mean"] <= 1


def test_missing_stages_name_the_command(tiny_run: Path) -> None:
    with pytest.raises(RunError, match=f"make teacher RUN={tiny_run}"):
        stage.run(replace(PRESETS["smoke"], run=tiny_run))


def test_a_split_that_was_edited_is_refused_before_anything_trains(tmp_path: Path) -> None:
    # Data of its own: those of other tests are shared, and would stay edited.
    make_teacher(tiny.make_data(tmp_path))
    split = tmp_path / "data" / "split.json"
    values = json.loads(split.read_text())
    for part in ("validation", "test"):
        split.write_text(json.dumps(values | {part: []}))
        with pytest.raises(DataError, match=f"split: {part} is empty"):
            stage.run(replace(PRESETS["smoke"], run=tmp_path))
    assert not (tmp_path / "student.part").exists()


@pytest.mark.parametrize("file", ["predictions.csv", "floor.csv"])
def test_what_it_is_compared_with_is_read_before_anything_trains(tiny_run: Path, file: str) -> None:
    path = make_teacher(tiny_run) / "teacher" / file
    lines = path.read_text().splitlines(keepends=True)
    for text, match in (("", "the header is ''"), ("".join(lines[:-3]), "no prediction for 3 rated songs")):
        path.write_text(text)
        with pytest.raises(DataError, match=match):
            stage.run(replace(PRESETS["smoke"], run=tiny_run))
    assert not (tiny_run / "student.part").exists()
