"""The teacher's batches: crops alone, or crops and whole clips, each batch of one length."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pocketmood.data.clips import ClipStore
from pocketmood.data.split import Split
from pocketmood.errors import ConfigError
from pocketmood.spec import MelSpec
from pocketmood.training.checkpoints import load_tensors
from pocketmood.training.crops import Augment, CropDataset, collate
from pocketmood.training.schedule import Schedule
from teacher import finetune
from teacher.config import FineTuneConfig, TeacherConfig, VitConfig
from teacher.presets import PRESETS
from teacher.training_set import collate_one_length, heard, training_set

SPEC = MelSpec()
SMALL = VitConfig(width=16, layers=1, heads=2, period_frames=64)
AUGMENT = Augment(2.5, 16, 16)
CONFIG = TeacherConfig(seed=3, vit=SMALL, training=FineTuneConfig(crop_frames=64, whole_batches=0.5))


@pytest.fixture
def store(tiny_data: Path) -> ClipStore:
    return ClipStore.open(tiny_data / "data" / "store")


@pytest.fixture
def split(tiny_data: Path) -> Split:
    return Split.load(tiny_data / "data" / "split.json")


def frames(context: np.ndarray | torch.Tensor) -> int:
    """Return how many frames at stride 5 a waveform's slice makes."""
    return (context.shape[-1] - SPEC.n_fft) // (5 * SPEC.hop) + 1


def test_without_whole_batches_the_set_is_that_of_crops(store: ClipStore, split: Split) -> None:
    plain = replace(CONFIG, training=replace(CONFIG.training, whole_batches=0.0))
    items, stack = training_set(store, split, plain, AUGMENT, None)
    assert isinstance(items, CropDataset) and stack is collate and len(items) == 16


def test_a_batch_holds_whole_clips_if_its_first_item_draws_so(store: ClipStore, split: Split) -> None:
    plain = replace(CONFIG, training=replace(CONFIG.training, whole_batches=0.0))
    crops, _ = training_set(store, split, plain, AUGMENT, None)
    items, stack = training_set(store, split, CONFIG, AUGMENT, None)
    assert stack is collate_one_length and len(items) == 16

    seen = []
    for epoch in (0, 4):
        crops.epoch = items.epoch = epoch
        for first in range(4):
            batch = stack([items[first], items[first + 4], items[first + 8]])
            # By hand: seed, epoch, index, and the stream's number.
            whole = np.random.default_rng([3, epoch, first, 2]).random() < 0.5
            assert frames(batch["context"]) == (256 if whole else 64) and len(batch["context"]) == 3
            seen.append(whole)
            if not whole:  # the very crops that a training without whole batches sees
                assert torch.equal(batch["context"], collate([crops[first + k] for k in (0, 4, 8)])["context"])
    assert {True, False} == set(seen)


def test_the_share_is_that_of_the_draws(store: ClipStore, split: Split) -> None:
    quarter = replace(CONFIG, training=replace(CONFIG.training, whole_batches=0.25))
    items, _ = training_set(store, split, quarter, AUGMENT, None)
    drawn = []
    for epoch in range(25):
        items.epoch = epoch
        drawn += [items[index].draws_whole for index in range(16)]
    # 400 draws: a standard deviation of .022.
    assert np.mean(drawn) == pytest.approx(0.25, abs=0.06)


def test_synthetic_clips_are_whole_in_whole_batches(store: ClipStore, split: Split) -> None:
    mels = np.random.default_rng(0).uniform(-1, 1, (2, 1, 128, 1292)).astype(np.float16)
    drawn = SimpleNamespace(ids=["x", "y"], mels=mels, labels=np.zeros((2, 2), np.float32))
    still = replace(CONFIG, training=replace(CONFIG.training, whole_batches=1.0))
    items, stack = training_set(store, split, still, Augment(), drawn)
    batch = stack([items[17], items[2]])
    assert frames(batch["context"]) == 256
    # 256 frames of every fifth reach over 1276 of the 1292: the start is one of the first 17.
    slices = [mels[1, :, :, start : start + 1276 : 5].astype(np.float32) for start in range(17)]
    assert sum(np.array_equal(batch["mel"][0].numpy(), part) for part in slices) == 1


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=rf"whole_batches {share} must lie in \[0, 1\]"):
        FineTuneConfig(whole_batches=share)


@pytest.mark.slow
def test_a_killed_training_on_both_lengths_ends_with_the_same_weights(
    store: ClipStore, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(CONFIG.training, schedule=Schedule(epochs=2, batch_size=4), mask_frames=8)
    config = replace(CONFIG, training=recipe)
    lengths = []
    real = finetune.spectrogram

    def watched(front: torch.nn.Module, context: torch.Tensor) -> torch.Tensor:
        lengths.append(frames(context))
        if len(lengths) == dies_at:
            raise KeyboardInterrupt
        return real(front, context)

    monkeypatch.setattr(finetune, "spectrogram", watched)
    dies_at = 0
    finetune.train(store, split, config, tmp_path / "whole")
    assert set(lengths) == {64, 256} and len(lengths) == 8

    lengths.clear()
    dies_at = 6  # in the second epoch
    with pytest.raises(KeyboardInterrupt):
        finetune.train(store, split, config, tmp_path / "killed")
    dies_at = 0
    finetune.train(store, split, config, tmp_path / "killed")
    whole, killed = (load_tensors(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert [name for name in whole if not torch.equal(whole[name], killed[name])] == []


def test_a_training_says_what_it_hears() -> None:
    found = {name: heard(preset.vit, preset.training) for name, preset in PRESETS.items()}
    assert found == dict.fromkeys(("full", "streamlined"), "whole clips") | dict.fromkeys(
        ("demo", "recordings", "smoke"), "crops"
    )
    mixed = [heard(SMALL, replace(CONFIG.training, whole_batches=share)) for share in (0.0, 0.5, 1.0)]
    assert mixed == ["crops", "crops and whole clips", "whole clips"]
