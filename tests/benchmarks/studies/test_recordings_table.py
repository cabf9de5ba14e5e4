"""The table on real recordings in small: rows in folds, what is missing by name, a second start that fits nothing."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies import recordings_rows, recordings_stages, recordings_table
from benchmarks.studies.recordings_config import ALL_ROWS, FITTED_ROWS, PRESETS, STAGE_ROWS, RecordingsTableConfig
from pocketmood.data.folds import artist_folds, make_fold
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError, DataError, RunError
from pocketmood.runs import read_json
from pocketmood.training.weights import FirstWeights, Published
from teacher.company.config import CompanyConfig


def write_features(path: Path, run: Path) -> Path:
    """Write features that hold the labels, two that are noise, one that could not be measured, and the label's name."""
    store, rng = RunFolder(run).store, np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["SongID", "F1", "F2", "F3", "F4", "Quadrant"])
        for id_, label in zip(store.ids, store.labels(store.ids), strict=True):
            writer.writerow([id_, *label.tolist(), rng.normal(), "" if id_ == store.ids[0] else rng.normal(), "Q2"])
    return path


def test_every_row_is_known() -> None:
    assert (tuple(recordings_rows.ROWS), tuple(recordings_stages.STAGE_ROWS)) == (FITTED_ROWS, STAGE_ROWS)
    with pytest.raises(ConfigError, match="--rows forest: choose from floor, svm"):
        RecordingsTableConfig(rows=("floor", "forest"))
    with pytest.raises(ConfigError, match="no songs yet; pass --music /path/to/4q"):
        recordings_table.run(RecordingsTableConfig(run=Path("no-such-run")))


def test_rows_in_folds_and_what_is_missing(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings_rows, "_musicnn_weights", lambda: FirstWeights("none"))
    out, features = tmp_path / "found", write_features(tmp_path / "features.csv", tiny_run)
    words = ["--preset", "smoke", "--run", str(tiny_run), "--features", str(features), "--folds", "3"]
    words += ["--rows", *FITTED_ROWS, "--out", str(out)]
    assert recordings_table.main(words) == 0

    found = read_json(out.with_suffix(".json"))
    assert found["songs"] == 24 and list(found["rows"]) == ["floor", "svm"]
    # The labels are among the features: whoever learns anything finds their sign.
    assert found["rows"]["svm"]["arousal"]["auc"]["value"] > 0.9
    assert found["missing"] == {"musicnn-ridge": "no weights of MSD_musicnn here; type `make weights`"}
    text = out.with_suffix(".md").read_text()
    assert "selected on these very songs" in text and "NOT MEASURED: ridge on frozen musicnn" in text
    assert "Not asked for (--rows): AST from scratch" in text

    # A second start reads what the first one kept.
    refit = replace(recordings_rows.ROWS["svm"], fit=lambda *_: pytest.fail("fitted again"))
    monkeypatch.setitem(recordings_rows.ROWS, "svm", refit)
    assert recordings_table.main([*words[:-4], "svm", "--out", str(out)]) == 0
    assert read_json(out.with_suffix(".json"))["rows"]["svm"] == found["rows"]["svm"]


def test_folds_test_every_song_once(tiny_run: Path, tmp_path: Path) -> None:
    config = replace(PRESETS["smoke"], run=tiny_run, rows=("floor",), folds=4, out=tmp_path / "found")
    recordings_table.run(config)
    run = RunFolder(tiny_run)
    folds = [RunFolder(run.beside("folds") / str(number)) for number in range(4)]
    tested = [id_ for part in recordings_table.of_row("floor", config, run, folds) for id_ in part.ids]
    assert sorted(tested) == sorted(run.store.ids)


def test_features_of_other_songs_are_refused(tiny_run: Path, tmp_path: Path) -> None:
    path = write_features(tmp_path / "features.csv", tiny_run)
    config, store = RecordingsTableConfig(features=path), RunFolder(tiny_run).store
    assert recordings_rows.published_features(config, store, store.ids).shape == (24, 4)
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(DataError, match="no features of 1 songs"):
        recordings_rows.published_features(config, store, store.ids)
    path.write_text("Song,F1\n2,1\n")
    with pytest.raises(DataError, match='no column "SongID"'):
        recordings_rows.published_features(config, store, store.ids)


@pytest.mark.slow
def test_stages_make_teacher_and_student_of_a_fold(tiny_run: Path) -> None:
    smoke = PRESETS["smoke"]
    config = replace(smoke, run=tiny_run, apart=replace(smoke.apart, baseline=False))
    run = RunFolder(tiny_run)
    fold = make_fold(run, artist_folds(run.store.clips, 4)[0], run.beside("folds") / "0")
    recordings_stages.make("student", config, fold)
    for name in ("teacher", "student"):
        assert recordings_stages.predictions(name, fold).ids == fold.split.test
    written = {stage: (fold.made(stage) / "stage.json").stat().st_mtime_ns for stage in ("teacher", "student")}
    # Both are up to date now, whichever row asks for them.
    recordings_stages.make("teacher", config, fold)
    recordings_stages.make("student", config, fold)
    assert written == {stage: (fold.made(stage) / "stage.json").stat().st_mtime_ns for stage in written}
    timed = recordings_stages.latencies_ms(dict.fromkeys(("teacher", "student"), fold))
    assert list(timed) == ["teacher", "student"] and min(timed.values()) > 0


@pytest.mark.slow
def test_the_int8_row_is_the_program_that_ships(exported_run: Path) -> None:
    fold = RunFolder(exported_run)
    found = recordings_stages.predictions("int8", fold)
    assert found.ids == fold.split.test
    predict = fold.bundle.predictor("executorch", "int8")
    assert tuple(found.emotion[0]) == tuple(predict(fold.store.waveform(found.ids[0]))[0])


def test_all_rows_are_asked_for_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketmood.training.weights.find", lambda asked: FirstWeights("folder"))
    ours = PRESETS["recordings"]
    assert ours.rows == ALL_ROWS and ours.teacher.synthetic == 0
    without = replace(ours, apart=replace(ours.apart, baseline=False))
    assert (
        recordings_table.lacks("ast", without) == "not trained; there are vit musicnn-tuned (--apart.company.members)"
    )
    assert recordings_table.lacks("ast", ours) == ""
    small = replace(ours, company=replace(ours.company, company=CompanyConfig(("musicnn", "vit"))))
    missing = recordings_table.lacks("musicnn-mtt", small)
    assert missing == "not trained; there are musicnn vit (--company.company.members)"
    assert recordings_table.lacks("musicnn", small) == recordings_table.lacks("company", small) == ""


def test_without_published_weights_the_rows_that_learn_from_them_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(asked: Published) -> FirstWeights:
        raise RunError(f"{asked.title}: its weights are not here; type `make weights`")

    monkeypatch.setattr("pocketmood.training.weights.find", find)
    ours = PRESETS["recordings"]
    for name in ("musicnn", "company", "teacher", "student", "int8", "musicnn-tuned"):
        assert recordings_table.lacks(name, ours) == "MSD_musicnn: its weights are not here; type `make weights`"
    alone = replace(ours, apart=replace(ours.apart, company=CompanyConfig()))
    assert recordings_table.lacks("vit", alone) == ""
    assert recordings_stages.heard_by("company", ours) == ("MSD_musicnn", "MTT_musicnn")
    assert recordings_stages.heard_by("vit", ours) == ()


def test_the_musicnn_row_learns_from_the_teachers_features(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from teacher.musicnn import config, features
    from teacher.musicnn.network import build
    from tests.teacher.musicnn.tiny_network import tensors

    store = RunFolder(tiny_run).store
    listener = features.Listener(build(tensors()))
    monkeypatch.setattr(features.Listener, "open", lambda first: listener)
    monkeypatch.setattr(recordings_rows, "_musicnn_weights", lambda: None)
    monkeypatch.setattr(config, "FEATURES", tiny_run / "features")
    ids = store.ids[:2]
    found = recordings_rows.musicnn_features(RecordingsTableConfig(), store, ids)
    whole = [(0.0, store.samples / store.sample_rate)]
    for row, id_ in zip(found, ids, strict=True):
        wanted = listener.hear(store.raw[store.index(id_)], store.sample_rate).pooled(whole)[0].numpy()
        np.testing.assert_array_equal(row, wanted.astype(np.float64))
    assert not np.array_equal(found[0], found[1])
