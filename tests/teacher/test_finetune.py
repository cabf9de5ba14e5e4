"""Crops and hiding, parameter groups, and a fine-tuning that learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pocketmood.data.clips import ClipStore
from pocketmood.data.split import Split
from pocketmood.errors import DataError
from pocketmood.mel import MelFrontEnd
from pocketmood.metrics import ccc
from pocketmood.runs import read_json
from pocketmood.training.crops import Augment, CropDataset, CropGeometry, apply_mask, collate, spectrogram, whole_mels
from pocketmood.training.history import read_history
from pocketmood.training.schedule import Schedule
from teacher.config import FineTuneConfig, TeacherConfig, VitConfig
from teacher.finetune import FineTune
from teacher.unfreezing import parameter_groups
from teacher.vit import build_teacher, load_teacher

SMALL = VitConfig(width=16, layers=1, heads=2, period_frames=64)


@pytest.fixture
def store(tiny_data: Path) -> ClipStore:
    return ClipStore.open(tiny_data / "data" / "store")


def test_crops_are_slices_of_the_whole_spectrogram(store: ClipStore) -> None:
    crops = [(0, 256), (480, 64)]
    dataset = CropDataset(store, store.ids[:2], CropGeometry(5, 64, tuple(crops)))
    front = MelFrontEnd(stride=5, frames=256)
    ((_, whole),) = whole_mels(store, store.ids[:2], front)
    torch.testing.assert_close(whole, front(torch.from_numpy(store.waveforms(store.ids[:2]))), rtol=1e-5, atol=1e-5)
    seen = set()
    for epoch in range(12):
        dataset.epoch = epoch
        item = dataset[1]
        start, frames = crops[item["crop"]]
        mel = spectrogram(front, torch.from_numpy(item["context"])[None])
        torch.testing.assert_close(mel[0], whole[1, ..., start // 5 : start // 5 + frames], rtol=1e-5, atol=1e-5)
        seen.add(item["crop"])
    assert seen == {0, 1}


def test_items_depend_on_seed_epoch_and_index_only(store: ClipStore) -> None:
    def item(seed: int, epoch: int, index: int) -> np.ndarray:
        dataset = CropDataset(store, store.ids[:3], CropGeometry(5, 16), Augment(2.0, 16, 8), seed=seed)
        dataset.epoch = epoch
        return dataset[index]["context"]

    first = item(0, 0, 1)
    np.testing.assert_array_equal(item(0, 0, 1), first)
    assert not np.array_equal(item(0, 1, 1), first) and not np.array_equal(item(1, 0, 1), first)


def test_gain_is_one_number_per_item_within_its_limit(store: ClipStore) -> None:
    plain = CropDataset(store, store.ids[:1], CropGeometry(5, 16, ((100, 16),)))
    louder = CropDataset(store, store.ids[:1], CropGeometry(5, 16, ((100, 16),)), Augment(gain_db=3.0))
    shifts = []
    for epoch in range(20):
        louder.epoch = epoch
        power = [(data[0]["context"].astype(np.float64) ** 2).mean() for data in (louder, plain)]
        shifts.append(10 * np.log10(power[0] / power[1]))
    assert np.abs(shifts).max() <= 3.0 + 1e-6 and np.ptp(shifts) > 1


def test_a_crop_longer_than_a_clip_is_refused(store: ClipStore) -> None:
    with pytest.raises(DataError, match="260 frames at stride 5"):
        CropDataset(store, store.ids[:1], CropGeometry(5, 260))


def test_hide_covers_the_given_bands_and_frames_with_the_mean() -> None:
    torch.manual_seed(0)
    mel = torch.rand(2, 1, 8, 6)
    mask = torch.tensor([[2, 3, 1, 2], [0, 0, 5, 0]])
    result = apply_mask(mel, mask)
    expected = mel.clone()
    expected[0, 0, 2:5, :] = mel[0].mean()
    expected[0, 0, :, 1:3] = mel[0].mean()
    torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-7)


def test_synthetic_rows_follow_real_ones_in_a_batch(store: ClipStore) -> None:
    rng = np.random.default_rng(0)
    synthetic = SimpleNamespace(
        ids=["synthetic-1"],
        mels=rng.uniform(-1, 1, (1, 1, 128, 1292)).astype(np.float16),
        labels=np.array([[0.25, -0.5]], np.float32),
    )
    dataset = CropDataset(store, store.ids[:2], CropGeometry(5, 32, ((50, 32),)), synthetic=synthetic)
    assert len(dataset) == 3
    batch = collate([dataset[2], dataset[0], dataset[1]])
    assert batch["context"].shape == (2, 31 * 2560 + 2048) and batch["mel"].shape == (1, 1, 128, 32)
    np.testing.assert_array_equal(batch["index"].numpy(), [0, 1, 2])
    np.testing.assert_array_equal(batch["labels"][2].numpy(), [0.25, -0.5])
    assert batch["deviations"][2].isnan().all() and not batch["deviations"][:2].isnan().any()
    np.testing.assert_array_equal(batch["mel"][0].numpy(), synthetic.mels[0, :, :, 50 : 50 + 160 : 5])
    batch.pop("crop")
    terms = FineTune(build_teacher(SMALL), MelFrontEnd(stride=5), FineTuneConfig())(**batch)
    assert torch.isfinite(terms["loss"])


def test_parameters_are_grouped_by_rate_and_decay() -> None:
    teacher = build_teacher(SMALL)
    recipe = FineTuneConfig(Schedule(learning_rate=1e-4, weight_decay=0.05), backbone_learning_rate=1e-5)
    groups = {(group["lr"], group["weight_decay"]): group["params"] for group in parameter_groups(teacher, recipe)}
    assert set(groups) == {(1e-4, 0.05), (1e-4, 0.0), (1e-5, 0.05), (1e-5, 0.0)}
    assert sum(map(len, groups.values())) == len(list(teacher.parameters()))
    assert [id(row) for row in groups[1e-4, 0.05]] == [id(teacher.emotion[-1].weight), id(teacher.rater_sd[-1].weight)]
    assert any(row is teacher.backbone.time for row in groups[1e-5, 0.0])
    teacher.backbone.requires_grad_(False)
    assert len(parameter_groups(teacher, recipe)) == 2  # frozen layers are in no group


def test_the_validation_loss_is_the_trainings_over_all_whole_clips(tiny_data: Path, tmp_path: Path) -> None:
    from teacher import finetune

    store = ClipStore.open(tiny_data / "data" / "store")
    split = Split.load(tiny_data / "data" / "split.json")
    schedule = Schedule(epochs=2, batch_size=8)
    recipe = FineTuneConfig(schedule, crop_frames=32, valence_share=0.6, ccc_weight=0.5, best_by="loss")
    finetune.train(store, split, replace(TeacherConfig(), vit=SMALL, training=recipe), tmp_path)

    losses = [record.validation["loss"] for record in read_history(tmp_path)]
    assert read_json(tmp_path / "best.json") == {
        "epoch": 1 + int(np.argmin(losses)),
        "metric": "loss",
        "value": min(losses),
    }
    # The same terms, written out on the saved teacher's predictions.
    teacher, _ = load_teacher(tmp_path)
    emotion, rater_sd = finetune.predict(teacher, store, split.validation, SMALL)
    labels, deviations = store.labels(split.validation), store.deviations(split.validation)
    moment = deviations**2 + (labels - emotion) ** 2
    likelihood = (np.log(rater_sd) + moment / (2 * rater_sd**2)).mean()
    by_axis = [
        0.5 * (1 - ccc(emotion[:, axis], labels[:, axis])) + ((emotion - labels)[:, axis] ** 2).mean()
        for axis in range(2)
    ]
    # 1e-4: float32 moments against float64 ones, on losses near 1.
    assert 0.6 * by_axis[0] + 0.4 * by_axis[1] + 0.1 * likelihood == pytest.approx(min(losses), rel=0, abs=1e-4)


@pytest.mark.slow
def test_training_learns_what_the_tiny_songs_say(tiny_data: Path, tmp_path: Path) -> None:
    from teacher import finetune

    store = ClipStore.open(tiny_data / "data" / "store")
    split = Split.load(tiny_data / "data" / "split.json")
    recipe = FineTuneConfig(Schedule(epochs=20, batch_size=8, learning_rate=3e-3), crop_frames=32)
    config = replace(TeacherConfig(), vit=replace(SMALL, period_frames=32), training=recipe)
    record = finetune.train(store, split, config, tmp_path)
    assert (record.training_clips, record.synthetic_clips, record.epochs) == (16, 0, 20)
    history = read_history(tmp_path)
    assert history[-1].terms["mse"] < 0.7 * history[0].terms["mse"]
    teacher, _ = load_teacher(tmp_path)
    emotion, rater_sd = finetune.predict(teacher, store, split.validation, config.vit)
    best = max(record.validation["ccc_mean"] for record in history)
    labels = store.labels(split.validation)
    score = np.mean([ccc(emotion[:, axis], labels[:, axis]) for axis in range(2)])
    assert score == pytest.approx(best, rel=0, abs=1e-4)  # the saved teacher is the best epoch's
    assert (rater_sd > 0).all()
