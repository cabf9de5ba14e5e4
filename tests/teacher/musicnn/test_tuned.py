"""The fine-tuned musicnn: items, layers in their epochs, a killed training, crops against a twin, the stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketmood import standing_warnings
from pocketmood.data.run_folder import RunFolder
from pocketmood.emotion import Emotion
from pocketmood.errors import ConfigError, RunError
from pocketmood.predictions import read_predictions
from pocketmood.spec import MelSpec
from pocketmood.training.checkpoints import load_tensors
from pocketmood.training.history import read_facts
from pocketmood.training.schedule import Schedule
from teacher.company.config import CompanyConfig, published
from teacher.company.members import Task, kind_of
from teacher.company.open import network_folder, open_company, weights_bytes
from teacher.company.record import company_of
from teacher.config import SoftTargetsConfig, TeacherConfig
from teacher.crop_predictions import crop_list
from teacher.musicnn import levels as levels_file
from teacher.musicnn import tuned, windows
from teacher.musicnn.backbone import MusicnnBackbone
from teacher.musicnn.config import FrozenConfig, TunedConfig
from teacher.musicnn.front_end import SPEC, WINDOW_FRAMES, MusicnnFrontEnd, at_16_khz
from teacher.musicnn.levels import Levels, mixed
from teacher.musicnn.network import build
from teacher.musicnn.windows import WindowDataset
from teacher.presets import PRESETS
from teacher.record import FineTuned
from teacher.stage import run
from teacher.unfreezing import begin_epoch, prepare
from teacher.vit import Teacher
from tests.teacher.musicnn.tiny_network import checkpoint as tiny_checkpoint
from tests.teacher.musicnn.tiny_network import tensors, twin, write_weights

SHORT = TunedConfig(
    Schedule(epochs=3, batch_size=3, learning_rate=1e-2, ema_decay=0.9),
    1e-3,
    unfreeze=((1, 0), (2, 2), (3, 5)),
    windows=1,
)


class KillError(Exception):
    """Stands for the kill."""


@pytest.fixture
def config(tmp_path: Path) -> TeacherConfig:
    """Return the smoke preset with a tiny network in the place of the published one."""
    write_weights(tmp_path)
    frozen = FrozenConfig(tmp_path, features=tmp_path / "features")
    return replace(PRESETS["smoke"], synthetic=0, baseline=False, musicnn=frozen, musicnn_tuned=SHORT)


def test_powers_of_mixed_sounds_add_up() -> None:
    # By hand: powers of 9, 99 and 0 units; 2 * 9 + 0.5 * 99 = 67.5, and silence stays silence.
    loud, louder = np.array([[1.0, 0.0]], np.float32), np.array([[2.0, 0.0]], np.float32)
    np.testing.assert_allclose(mixed([(2.0, loud), (0.5, louder)]), np.log10([[68.5, 1.0]]), rtol=1e-6, atol=1e-7)
    # As of the same waveform 6 dB louder, to float32's rounding of the spectrogram.
    wave = torch.rand(1, 8_000, generator=torch.Generator().manual_seed(0)) - 0.5
    plain, doubled = (MusicnnFrontEnd()(part)[0].numpy() for part in (wave, 2 * wave))
    np.testing.assert_allclose(mixed([(4.0, plain)]), doubled, rtol=1e-4, atol=1e-4)


def test_levels_of_a_killed_call_are_kept(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RunFolder(tiny_run).store
    ids = list(store.ids[:3])
    whole = levels_file.write(store, ids, tmp_path / "whole")
    # What a kill leaves: one clip, and a part of the next.
    clip, part = whole.array[0].nbytes, tmp_path / "killed" / "levels.f16.part"
    part.parent.mkdir()
    part.write_bytes(whole.path.read_bytes()[: clip + 1000])
    heard: list[int] = []

    def counted(raw: Any, rate: int) -> Any:
        heard.append(rate)
        return at_16_khz(raw, rate)

    monkeypatch.setattr(levels_file, "at_16_khz", counted)
    killed = levels_file.write(store, ids, part.parent)
    # The first clip tells how long they are; of the three, two were missing.
    assert len(heard) == 3 and not part.exists()
    np.testing.assert_array_equal(whole.array, killed.array)
    assert whole.array.shape == (3, 1876, 96)


def test_an_item_is_cut_mixed_and_masked_by_seed_epoch_and_index(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    songs = rng.uniform(0, 3, (4, 400, 96)).astype(np.float16)
    (tmp_path / "levels.f16").write_bytes(songs.tobytes())
    levels, labels = Levels(tmp_path / "levels.f16", 400), rng.uniform(-1, 1, (4, 2)).astype(np.float32)
    deviations = np.array([[0.2, 0.3], [0.4, np.nan], [0.2, 0.2], [0.1, 0.1]], np.float32)

    bare = WindowDataset(levels, labels, deviations, replace(SHORT, mixup=0, gain_db=0, windows=3), seed=1)
    item = bare[2]
    assert item["windows"].shape == (3, WINDOW_FRAMES, 96) and item["mask"].shape == (3, 4)
    for window in item["windows"]:
        slices = [songs[2, start : start + WINDOW_FRAMES] for start in range(400 - WINDOW_FRAMES + 1)]
        # A level goes to powers and back in float32.
        assert min(np.abs(window - cut).max() for cut in slices) < 1e-5
    np.testing.assert_array_equal(item["labels"], labels[2])

    dataset = WindowDataset(levels, labels, deviations, SHORT, seed=1)
    drawn = [dataset[0] for _ in range(2)]
    np.testing.assert_equal(drawn[0], drawn[1])
    dataset.epoch = 1
    assert not np.array_equal(dataset[0]["windows"], drawn[0]["windows"])
    # Mixed ratings lie on the line between two songs, both axes at the same share.
    for index in range(4):
        found = dataset[index]["labels"]
        shares = [(found - labels[other]) / (labels[index] - labels[other]) for other in range(4) if other != index]
        assert any(abs(v - a) < 1e-4 and 0 <= v <= 1 for v, a in shares) or np.allclose(found, labels[index])
    assert {name: value.dtype for name, value in dataset[0].items()} == {
        "windows": np.float32, "mask": np.int64, "labels": np.float32, "deviations": np.float32
    }  # fmt: skip


def test_layers_learn_from_the_last_one_down() -> None:
    network, states = build(tensors()).requires_grad_(True), []
    teacher = Teacher(MusicnnBackbone(network), 0, 0.0)
    prepare(teacher, SHORT)
    parts = [teacher.emotion, network.dense, *reversed(network.middle), network.blocks, network.input_norm]
    for epoch in range(3):
        words = begin_epoch(teacher, SHORT, epoch)
        states.append([next(part.parameters()).requires_grad for part in parts])
    assert states == [[True] + [False] * 6, [True] * 3 + [False] * 4, [True] * 7]
    assert words == "5 of 5 layers learn"
    # Every number of the network is in one of the layers.
    inside = {id(p) for layer in teacher.backbone.layers for p in layer.parameters()}
    assert inside == {id(p) for p in network.parameters()}
    with pytest.raises(ConfigError, match="windows 0 must be at least 1"):
        TunedConfig(windows=0)


def test_a_killed_training_ends_with_the_same_weights(
    tiny_run: Path, config: TeacherConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, kind = RunFolder(tiny_run), kind_of("musicnn-tuned")
    few = replace(folder.split, train=folder.split.train[:6], validation=folder.split.validation[:2])
    task = Task(folder.store, few, config)
    whole = kind.train(task, tmp_path / "whole")
    calls = iter(range(100))

    def dying(items: Any) -> Any:
        if next(calls) == 3:  # in the second epoch, in which two layers have begun to learn
            raise KillError
        return windows.collate(items)

    with monkeypatch.context() as patch, pytest.raises(KillError):
        patch.setattr(tuned, "collate", dying)
        kind.train(task, tmp_path / "killed")
    assert kind.train(task, tmp_path / "killed") == whole
    ends = [load_tensors(tmp_path / name / tuned.NETWORK_FILE) for name in ("whole", "killed")]
    assert [name for name in ends[0] if not torch.equal(ends[0][name], ends[1][name])] == []
    began = tensors()
    assert not torch.equal(ends[0]["backbone.network.dense.weight"], began["dense.weight"])
    # Statistics of the norms are those of the published training.
    assert torch.equal(ends[0]["backbone.network.dense_norm.mean"], began["dense_norm.mean"])

    facts = read_facts(tmp_path / "whole")
    assert facts is not None and [entry.epoch for entry in facts.learning] == [1, 2, 3]
    assert facts.learning[-1].learning == whole.parameters
    assert whole.warnings == standing_warnings.of_musicnn() and whole.epochs == 3
    kind.tidy(tmp_path / "whole")
    assert not (tmp_path / "whole" / "levels.f16").exists()
    assert kind.open(tmp_path / "whole").parameters == whole.parameters


def test_a_crop_is_what_the_published_graph_makes_of_its_windows(tiny_run: Path, tmp_path: Path) -> None:
    folder, backbone = RunFolder(tiny_run), MusicnnBackbone(build(tensors()))
    draws = torch.Generator().manual_seed(0)
    backbone.standardise_by(torch.randn(9, backbone.width, generator=draws) * 3)
    teacher = Teacher(backbone, 0, 0.5)
    record = FineTuned("none", (), 0, 0, SPEC, SPEC.hash, 0, 0)
    tuned.save(tmp_path / "twin", teacher, tuned.TunedRecord(MelSpec(seconds=30.0), 0.5, record))
    member, asked, id_ = (
        kind_of("musicnn-tuned").open(tmp_path / "twin"),
        SoftTargetsConfig(crops=4),
        folder.split.test[0],
    )
    table = member.crops(folder.store, [id_], asked)

    raw = folder.store.raw[folder.store.index(id_)]
    wave = torch.from_numpy(at_16_khz(raw, 22_050).astype(np.float32) / 32_768)
    levels = MusicnnFrontEnd()(wave[None])[0].numpy().astype(np.float64)
    starts = np.round(np.linspace(0, len(levels) - WINDOW_FRAMES, 10)).astype(int)
    middles = (starts + 93) * 256 / 16_000
    start, frames = crop_list(asked)[2]
    inside = [
        i for i in range(10) if start * 512 / 22_050 <= middles[i] <= (start + (frames - 1) * 5 + 1) * 512 / 22_050
    ]
    seen = [twin(tiny_checkpoint(), levels[starts[i] : starts[i] + WINDOW_FRAMES]) for i in inside]
    mean = np.mean([np.concatenate([window["penultimate"], window["tags"]]) for window in seen], 0)
    standard = np.clip((mean - backbone.centre.numpy()) * backbone.factor.numpy(), -6, 6)
    head = teacher.emotion[1].state_dict()
    expected = np.tanh(head["weight"].double().numpy() @ standard + head["bias"].double().numpy())
    # Windows of float32 through eight layers against float64.
    np.testing.assert_allclose(table["features"][0, 2], standard, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(table["emotion"][0, 2], expected, rtol=0, atol=1e-3)
    assert len(inside) in (2, 3) and (table["rater_sd"] > 0).all()

    emotion, _ = member.whole(folder.store, [id_])
    # Products of one row or of five differ by a rounding.
    np.testing.assert_allclose(table["emotion"][:, 0], emotion, rtol=0, atol=1e-6)
    heard, _ = member.hear(folder.store.waveform(id_))
    np.testing.assert_allclose(heard, Emotion(*emotion[0]), rtol=0, atol=1e-6)
    with pytest.raises(RunError, match="no fine-tuned musicnn here"):
        tuned.load(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("members", [("musicnn-tuned",), ("musicnn-tuned", "musicnn", "vit")])
def test_a_stage_trains_reports_and_opens_it(
    tiny_run: Path, config: TeacherConfig, members: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(config, run=tiny_run, company=CompanyConfig(members, "mean"))
    assert published(config)["musicnn-tuned"].title == "MSD_musicnn"
    run(config)
    printed, folder = capsys.readouterr().out, tiny_run / "teacher"
    assert "musicnn-tuned: epoch 2: 2 of 5 layers learn" in printed
    assert set(standing_warnings.of_musicnn()) <= set(RunFolder(tiny_run).warnings("teacher"))
    alone = len(members) == 1
    assert (folder / "plots" / ("curves.png" if alone else "curves-musicnn-tuned.png")).is_file()
    # Attention is the ViT's alone, and no weights of the tuned network lie where a ViT is looked for.
    assert (folder / "plots" / "attention.png").is_file() != alone
    assert network_folder(folder) == (None if alone else folder / "vit")
    assert not (folder / "model.safetensors").exists() and "2 of 5 layers" not in (folder / "report.html").read_text()
    assert company_of(folder).members[0].out_of_fold is False

    company, store = open_company(folder, on_cpu=True), RunFolder(tiny_run).store
    test = read_predictions(folder / "predictions.csv").only("test")
    heard, _ = company.hear(store.waveform(test.ids[0]))
    np.testing.assert_allclose(heard, test.emotion[0], rtol=0, atol=1e-4)
    assert (weights_bytes(folder) or 0) > 20_000
