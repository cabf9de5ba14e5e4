"""Frozen musicnn networks as members of a company: crops, a waveform, the stage, and what their bundle must say."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketmood import standing_warnings
from pocketmood.data.run_folder import RunFolder
from pocketmood.emotion import Emotion
from pocketmood.errors import RunError
from pocketmood.predictions import read_predictions
from pocketmood.runs import read_stage
from pocketmood.training.weights import FirstWeights
from teacher.company.config import CompanyConfig, published, weights_of
from teacher.company.members import Task, kind_of
from teacher.company.open import open_company, weights_bytes
from teacher.company.record import company_of
from teacher.config import SoftTargetsConfig, TeacherConfig
from teacher.crop_predictions import crop_list
from teacher.musicnn.config import FrozenConfig
from teacher.presets import PRESETS
from teacher.soft_targets import SoftTargets
from teacher.stage import run
from tests.teacher.musicnn.tiny_network import write_weights


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TeacherConfig:
    """Return the smoke preset with tiny networks in the place of the published ones."""
    folder = tmp_path_factory.mktemp("musicnn")
    write_weights(folder / "weights")
    write_weights(folder / "weights", "MTT_musicnn", seed=1)
    heads = FrozenConfig(folder / "weights", folds=3, features=folder / "features")
    return replace(PRESETS["smoke"], synthetic=0, baseline=False, musicnn=heads)


def test_each_kind_asks_for_weights_of_its_own(config: TeacherConfig) -> None:
    asked = published(replace(config, company=CompanyConfig(("musicnn", "musicnn@1", "musicnn-mtt", "vit"))))
    assert {name: weights.title for name, weights in asked.items()} == {
        "musicnn": "MSD_musicnn",
        "musicnn-mtt": "MTT_musicnn",
    }
    # One head above both: the weights of each, and what they are together.
    both = published(replace(config, company=CompanyConfig(("musicnn-both",))))
    assert list(both) == ["musicnn-both: MSD_musicnn", "musicnn-both: MTT_musicnn"]
    first = {name: FirstWeights("folder", digest=name[-11:]) for name in both}
    assert weights_of("musicnn-both", first) == "MSD_musicnn MTT_musicnn" and weights_of("musicnn", first) == ""
    # What training depends on: not where weights and features lie.
    elsewhere = replace(config, musicnn=replace(config.musicnn, weights=Path("w"), features=Path("f")))
    kind = kind_of("musicnn")
    assert kind.settings(elsewhere) == kind.settings(config) != kind_of("musicnn-mtt").settings(config)


def test_a_crop_has_its_windows_and_a_waveform_is_a_test_clip(
    tiny_run: Path, config: TeacherConfig, tmp_path: Path
) -> None:
    folder, kind = RunFolder(tiny_run), kind_of("musicnn")
    learnt = kind.train(Task(folder.store, folder.split, config), tmp_path / "musicnn")
    member = kind.open(tmp_path / "musicnn")
    assert learnt.epochs == 0 and learnt.parameters == member.parameters
    ids = [*folder.split.train[:2], folder.split.test[0]]

    emotion, rater_sd = member.whole(folder.store, ids)
    asked = SoftTargetsConfig(crops=4)
    table = member.crops(folder.store, ids, asked)
    assert {name: array.shape[:2] for name, array in table.items()} == dict.fromkeys(table, (3, 5))
    np.testing.assert_array_equal(table["emotion"][:, 0], emotion)
    np.testing.assert_array_equal(table["rater_sd"][:, 0], rater_sd)
    # By hand: the second crop begins at hop 320 (7.43 s) and has 64 frames of 5 hops, so windows 3 and 4 of the clip.
    start, frames = crop_list(asked)[2]
    teacher = member.teacher  # type: ignore[attr-defined]
    listener = teacher.listeners[0]
    heard = listener.hear(folder.store.raw[folder.store.index(ids[2])], 22_050)
    seconds = np.array([start, start + (frames - 1) * 5 + 1]) * 512 / 22_050
    inside = [row for row, middle in enumerate(heard.middle_s.tolist()) if seconds[0] <= middle <= seconds[1]]
    wanted = heard.features[inside].mean(0)[-listener.named_width :]
    # Sums of a few float32.
    np.testing.assert_allclose(table["features"][2, 2], wanted, rtol=1e-5, atol=1e-5)
    assert len(inside) in (2, 3) and not np.array_equal(table["emotion"][2, 1], table["emotion"][2, 2])

    # Asked for whole clips, every crop has what the whole one has.
    repeated = member.crops(folder.store, ids, replace(asked, ask="whole"))["emotion"]
    np.testing.assert_array_equal(repeated, np.repeat(emotion[:, None], 5, 1))
    alone, _ = member.hear(folder.store.waveform(ids[2]))
    # The head's sums run over one song or several: float64 either way, rounded to float32.
    np.testing.assert_allclose(alone, Emotion(*emotion[2]), rtol=0, atol=1e-6)


def test_one_head_above_two_networks_has_the_features_of_both(
    tiny_run: Path, config: TeacherConfig, tmp_path: Path
) -> None:
    folder, ids = RunFolder(tiny_run), list(RunFolder(tiny_run).split.test[:3])
    members = {}
    for name in ("musicnn", "musicnn-mtt", "musicnn-both"):
        kind_of(name).train(Task(folder.store, folder.split, config), tmp_path / name)
        members[name] = kind_of(name).open(tmp_path / name).teacher  # type: ignore[attr-defined]
    single, other, both = members.values()
    assert both.record.networks == ("MSD_musicnn", "MTT_musicnn") and len(both.record.warnings) == 4
    assert both.head.support.shape[1] == single.head.support.shape[1] + other.head.support.shape[1]
    crops = crop_list(config.soft_targets)
    joined, of_single, of_other = (each.predict(folder.store, ids, crops, 5) for each in (both, single, other))
    np.testing.assert_array_equal(joined.features, np.concatenate([of_single.features, of_other.features], -1))
    alone = both.hear(folder.store.waveform(ids[1])).emotion[0, 0]
    np.testing.assert_allclose(alone, joined.emotion[1, 0], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_company_with_musicnn_is_trained_warned_of_and_opened(
    tiny_run: Path, config: TeacherConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    members = ("musicnn", "vit", "musicnn-mtt")
    config = replace(config, run=tiny_run, company=CompanyConfig(members, "mean"))
    run(config)
    printed, folder = capsys.readouterr().out, tiny_run / "teacher"
    assert "musicnn-mtt: training on 1" in printed and "company of 3" in printed
    record = company_of(folder)
    assert [member.out_of_fold for member in record.members] == [True, False, True]

    # The licence and what was heard stand wherever figures do.
    doubts = {*standing_warnings.of_musicnn(), *standing_warnings.of_musicnn("MTT_musicnn")}
    assert doubts <= set(RunFolder(tiny_run).warnings("teacher"))
    assert all(doubt.partition(": ")[2][:60] in (folder / "report.html").read_text() for doubt in doubts)
    assert "predicted by fits that never saw them" in (folder / "report.html").read_text()

    # Joined by equal weights, table and predictions alike; features are those of the first member.
    parts = [read_predictions(folder / name / "predictions.csv").emotion for name in members]
    np.testing.assert_allclose(
        read_predictions(folder / "predictions.csv").emotion, np.mean(parts, 0), rtol=0, atol=1e-6
    )
    table = SoftTargets.open(folder / "soft_targets")
    assert table.features.shape[2] == 55 and table.disagreement is not None and (table.disagreement > 0).any()

    company, store = open_company(folder, on_cpu=True), RunFolder(tiny_run).store
    test = read_predictions(folder / "predictions.csv").only("test")
    heard, _ = company.hear(store.waveform(test.ids[0]))
    np.testing.assert_allclose(heard, test.emotion[0], rtol=0, atol=1e-4)
    np.testing.assert_allclose(company.whole(store, test.ids)[0], test.emotion, rtol=0, atol=1e-6)
    assert (weights_bytes(folder) or 0) > 20_000 and company.spec.samples == store.samples

    # Where its weights have gone, a run that is finished stays up to date, and nothing else is trained anew.
    began = read_stage(folder / "vit").fingerprint
    run(replace(config, company=CompanyConfig(("musicnn",))))
    run(config)
    assert read_stage(folder / "vit").fingerprint == began
    # The same weights in another folder are the same weights.
    weights = config.musicnn.weights
    assert weights is not None
    shutil.copytree(weights, tiny_run / "weights")
    capsys.readouterr()
    run(replace(config, musicnn=replace(config.musicnn, weights=tiny_run / "weights")))
    assert capsys.readouterr().out == "teacher: up to date\n"


def test_without_weights_it_stops_before_training(
    tiny_run: Path, config: TeacherConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from teacher.musicnn import config as places

    monkeypatch.setattr(places, "FOLDER", tmp_path)
    bare = replace(config, run=tiny_run, musicnn=FrozenConfig(), company=CompanyConfig(("musicnn",)))
    with pytest.raises(RunError, match="type `make weights`, or name a folder"):
        run(bare)
    assert not (tiny_run / "teacher").exists()
