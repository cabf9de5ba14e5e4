"""The data stage on the miniature of DEAM, from the folder to the pictures, and what it says on the way."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pocketmood import audio
from pocketmood.data import decode, plots, stage
from pocketmood.data.clips import ClipStore, to_int16
from pocketmood.data.run_folder import RunFolder
from pocketmood.data.split import PARTS, Split, refuse_leaks
from pocketmood.data.stage import DataConfig
from pocketmood.errors import ConfigError, DataError
from pocketmood.spec import MelSpec
from tests.helpers import ROOT
from tests.helpers import deam_miniature as miniature
from tests.helpers.deam_miniature import Miniature


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return miniature.make(tmp_path_factory.mktemp("corpora") / "DEAM (copy)")


@pytest.fixture(scope="module")
def more(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of unlabelled music: two songs, one copied out of DEAM, one damaged, one name used twice."""
    folder = tmp_path_factory.mktemp("more music")
    for n, name in enumerate(("one.mp3", "two.mp3")):
        miniature.write_mp3(folder / name, miniature.tone(5000 + n, 44_100, 1.2, 1), 44_100)
    shutil.copy(mini.folders["audio"] / "3.mp3", folder / "copied.mp3")
    (folder / "damaged.ogg").write_bytes(b"OggS and nothing more")
    (folder / "words.txt").write_text("no music")
    (folder / "sub").mkdir()
    shutil.copy(folder / "two.mp3", folder / "sub" / "one.mp3")
    return folder


@pytest.fixture(scope="module")
def run(mini: Miniature, more: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run whose data stage was made without pictures, which take longer than the rest."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "draw", lambda *_: [])
        assert stage.run(DataConfig(folder, (mini.root,), unlabelled=more, workers=1)) == 0
    return folder


def test_the_store_holds_every_good_song_and_the_unlabelled_ones(run: Path, mini: Miniature, more: Path) -> None:
    store = ClipStore.open(run / "data" / "store")
    assert store.ids == [*map(str, miniature.GOOD), "unlabelled-one", "unlabelled-two"]
    assert np.isnan(store.labels(["unlabelled-one"])).all()
    for id_ in ("6", "1005", "2001", "2004"):  # 16 kHz mono, 22.05 kHz, longer than needed, mono
        whole = audio.load(mini.folders["audio"] / f"{id_}.mp3", MelSpec())
        np.testing.assert_array_equal(store.raw[store.index(id_)], to_int16(whole))
    valence, arousal = store.labels(["5"])[0]
    assert [float(arousal), float(valence)] == pytest.approx([(x - 5) / 4 for x in mini.mean[5]], rel=0, abs=1e-6)


def test_rejects_name_every_file_that_was_left_out(run: Path) -> None:
    with (run / "data" / "rejects.csv").open(newline="") as file:
        rejects = {(row["id"], Path(row["file"]).name): row["reason"] for row in csv.DictReader(file)}
    assert rejects["7", "7.mp3"].startswith("cut short: its header promises 1.3 s")
    assert rejects["11", "11.mp3"].startswith("no audio file of this name")
    assert rejects["12", "12.mp3"] == "is empty (0 bytes)"
    assert rejects["1010", miniature.STATIC_1].startswith('valence_mean is "nan"')
    assert rejects["unlabelled-copied", "copied.mp3"] == "sounds exactly like clip 3, which is used"
    assert "cut short" in rejects["unlabelled-damaged", "damaged.ogg"]
    assert rejects["unlabelled-one", "one.mp3"].startswith("second unlabelled file of this name")
    assert len(rejects) == 11 == RunFolder(run).data_record.rejects


def test_the_split_is_honest_and_the_record_says_what_it_is(run: Path) -> None:
    store = ClipStore.open(run / "data" / "store")
    split = Split.load(run / "data" / "split.json")
    refuse_leaks(split, store.clips)
    assert sorted(map(int, split.part_of())) == list(miniature.GOOD)
    record = RunFolder(run).data_record
    assert asdict(record.split) == {part: len(getattr(split, part)) for part in PARTS} | {"by": "artist"}
    assert (record.songs, record.unlabelled, record.label_fix) == (len(miniature.GOOD), 2, "none")
    assert (record.corpus, record.synthetic_labels) == ("DEAM", False)
    assert record.audit.startswith("Audit: valence and arousal look swapped for ids 1-1000")
    assert "look swapped for ids 1-1000" in (run / "data" / "audit.txt").read_text()
    assert not (run / "data" / "truth.csv").exists()


def test_the_same_inputs_are_up_to_date_wherever_they_lie(
    run: Path, mini: Miniature, more: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(mini.root, tmp_path / "moved")
    before = (run / "data" / "stage.json").stat().st_mtime_ns
    assert stage.run(DataConfig(run, (tmp_path / "moved",), unlabelled=more, workers=2)) == 0
    assert capsys.readouterr().out == "data: up to date\n"
    assert (run / "data" / "stage.json").stat().st_mtime_ns == before


def test_another_fix_seed_or_table_is_another_stage(
    mini: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "small"
    root.mkdir()
    for name in (miniature.STATIC_1, miniature.STATIC_2):
        shutil.copy(mini.static(name), root / name)
    for id_ in (3, 5, 8, 1001, 1002):
        shutil.copy(mini.folders["audio"] / f"{id_}.mp3", root)
    (root / "truth.csv").write_text("song_id,true_valence,true_arousal,cue_valence,cue_arousal\n")
    monkeypatch.setattr(plots, "draw", lambda *_: [])
    labels = []
    for config in (
        DataConfig(tmp_path, (root,)),
        DataConfig(tmp_path, (root,), label_fix="swap-2013"),
        DataConfig(tmp_path, (root,)),
    ):
        stage.run(config)
        labels.append(ClipStore.open(tmp_path / "data" / "store").labels(["3", "1001"]))
        with (root / miniature.STATIC_2).open("a") as file:
            file.write("\n")
    assert "up to date" not in (out := capsys.readouterr().out)
    np.testing.assert_array_equal(labels[1], [labels[0][0, ::-1], labels[0][1]])
    np.testing.assert_array_equal(labels[2], labels[0])
    assert "label fix: swap-2013" in out
    assert "Audit of the columns could not run: valence.csv and arousal.csv not found below small." in out
    assert "synthetic labels on rendered music: proves the toolchain, not the taste of a model" in out
    assert (tmp_path / "data" / "truth.csv").read_text().startswith("song_id,true_valence")


def test_other_shares_are_another_stage(
    mini: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plots, "draw", lambda *_: [])
    words = ["--run", str(tmp_path), "--music", str(mini.root), "--workers", "1"]
    sizes = []
    for more in ([], ["--split.train", ".4", "--split.validation", ".3"]):
        assert stage.main([*words, *more]) == 0
        sizes.append(len(RunFolder(tmp_path).split.train))
    assert sizes[1] < sizes[0] and "up to date" not in capsys.readouterr().out


def test_stopped_while_drawing_it_continues_without_decoding_again(
    mini: Miniature, run: Path, more: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> list[str]:
        raise KeyboardInterrupt

    config = DataConfig(tmp_path, (mini.root,), unlabelled=more, workers=1)
    monkeypatch.setattr(plots, "draw", stop)
    with pytest.raises(KeyboardInterrupt):
        stage.run(config)
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(plots, "draw", lambda *_: [])
    monkeypatch.setattr(decode, "_decode", stop)
    stage.run(config)
    for name in ("split.json", "rejects.csv", "audit.txt", "store/clips.i16"):
        assert (tmp_path / "data" / name).read_bytes() == (run / "data" / name).read_bytes()


def test_nothing_usable_is_an_error_that_points_to_the_reasons(mini: Miniature, tmp_path: Path) -> None:
    root = tmp_path / "silent"
    root.mkdir()
    shutil.copy(mini.static(), root)
    with pytest.raises(DataError, match=r"silent: no usable song; \d+ things were left out\. First: .*All: .*rejects"):
        stage.run(DataConfig(tmp_path, (root,)))
    assert "no audio file of this name" in (tmp_path / "data.part" / "rejects.csv").read_text()


def test_wrong_folders_and_words_are_refused_before_work(mini: Miniature, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder of unlabelled music"):
        stage.run(DataConfig(tmp_path, (mini.root,), unlabelled=tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no audio files in or below it"):
        stage.run(DataConfig(tmp_path, (mini.root,), unlabelled=mini.folders["song_level"]))
    with pytest.raises(ConfigError, match='label fix "swap" is unknown'):
        DataConfig(tmp_path, (mini.root,), label_fix="swap")
    assert not (tmp_path / "data.part").exists()


def test_density_is_one_in_all() -> None:
    edge = np.linspace(-2, 2, 201)
    grid = plots.density(np.array([[0.5, -0.5], [0.0, 0.25]]), edge)
    assert grid.sum() * (edge[1] - edge[0]) ** 2 == pytest.approx(1, abs=1e-3)
    row, column = np.unravel_index(plots.density(np.array([[0.5, -0.5]]), edge).argmax(), grid.shape)
    assert (edge[column], edge[row]) == (pytest.approx(0.5), pytest.approx(-0.5))


def test_without_matplotlib_the_pictures_are_left_out_by_name(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    store, split = ClipStore.open(run / "data" / "store"), Split.load(run / "data" / "split.json")
    assert plots.draw(store, split, tmp_path / "plots", MelSpec(), RunFolder(run).data_record) == []
    assert "no plots, because matplotlib is not installed" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_line_makes_everything_with_pictures(mini: Miniature, more: Path, tmp_path: Path) -> None:
    words = ["--run", "run", "--music", str(mini.root), "--unlabelled", str(more), "--seed", "3", "--workers", "2"]
    where = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pocketmood.data.stage", *words]
    done = subprocess.run(command, cwd=tmp_path, env=where, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "split by artist" in done.stdout and "seed 3" in done.stdout
    for name in ("plane.png", "ratings.png", "spectrograms.png", "sound.png"):
        assert (tmp_path / "run" / "data" / "plots" / name).stat().st_size > 10_000
    wrong = [*command, "--label-fix", "swap"]
    failed = subprocess.run(wrong, cwd=tmp_path, env=where, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr == 'error: label fix "swap" is unknown; choose from none, swap-2013\n'
