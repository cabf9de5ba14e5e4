"""The training set: the same crop on both sides, items without hidden state, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketmood.data.clips import ClipStore
from pocketmood.errors import DataError, PocketmoodError
from pocketmood.mel import MelFrontEnd
from pocketmood.spec import MelSpec
from pocketmood.training.crops import spectrogram
from pocketmood.training.schedule import Schedule
from student.config import AugmentConfig
from student.losses import Targets, rater_sd_term
from student.training_set import SoftTargetCrops, TrainingData, collate
from tests.helpers.soft_targets import CROPS, FEATURES
from tests.helpers.student_configs import smoke

SPEC = MelSpec()


def test_crop_is_the_very_slice_of_the_whole_clip(data: TrainingData) -> None:
    store, soft_targets = data.store, data.soft_targets
    crops = SoftTargetCrops(store, soft_targets, SPEC, smoke())
    front = MelFrontEnd(SPEC, stride=5, frames=256)
    for index in range(4):
        item = crops[index]
        whole = front(torch.from_numpy(store.waveform(soft_targets.ids[index]))[None])
        seen = front.from_context(torch.from_numpy(item["context"])[None])
        matches = []
        for k, (start_hop, frames) in enumerate(CROPS[1:], 1):
            expected = whole[..., start_hop // 5 : start_hop // 5 + frames]
            if np.array_equal(item["emotion"], soft_targets.emotion[index, k]):
                # equal but for the order in which a matrix product sums: 1e-6 of the range of 2
                assert torch.allclose(seen, expected, rtol=0, atol=2e-6)
                assert np.array_equal(item["features"], soft_targets.features[index, k])
                matches.append(k)
        assert len(matches) == 1


def test_items_follow_from_seed_epoch_and_index(data: TrainingData) -> None:
    store, soft_targets = data.store, data.soft_targets
    config = smoke(draws=3, augment=AugmentConfig(mixup=0.4))
    first, second = (SoftTargetCrops(store, soft_targets, SPEC, config) for _ in range(2))
    assert len(first) == 3 * len(soft_targets.ids)
    a = first[7]
    second[3]  # what was drawn before does not matter
    again = second[7]
    assert a.keys() == again.keys() and all(np.array_equal(a[name], again[name], equal_nan=True) for name in a)
    second.epoch = 1
    drawn = {tuple(second[index]["mask"]) for index in range(7, len(second), len(soft_targets.ids))}
    assert len(drawn) == 3 and tuple(a["mask"]) not in drawn
    other = SoftTargetCrops(store, soft_targets, SPEC, replace(config, seed=1))[7]
    assert not np.array_equal(other["mask"], a["mask"]) and not np.array_equal(other["emotion"], a["emotion"])


def test_last_epochs_may_hear_whole_clips(data: TrainingData) -> None:
    store, soft_targets = data.store, data.soft_targets
    crops = SoftTargetCrops(store, soft_targets, SPEC, smoke(schedule=Schedule(epochs=4), whole_share=0.5))
    lengths = []
    for epoch in range(4):
        crops.epoch = epoch
        lengths.append(len(crops[0]["context"]))
    step = SPEC.hop * 5
    short, long = (frames * step - step + SPEC.n_fft for frames in (64, 256))
    assert lengths == [short, short, long, long]
    assert np.array_equal(crops[0]["emotion"], soft_targets.emotion[0, 0])


@pytest.mark.parametrize(
    ("epochs", "share", "whole"),
    [(6, 0.05, 1), (2, 0.2, 1), (6, 0.25, 2), (1, 0.4, 1), (2.5, 1, 3), (4, 0.5, 2), (10, 0.25, 2), (4, 0, 0)],
)
def test_a_share_of_whole_clips_is_one_epoch_at_least(
    epochs: float, share: float, whole: int, data: TrainingData
) -> None:
    store, soft_targets = data.store, data.soft_targets
    first = SoftTargetCrops(
        store, soft_targets, SPEC, smoke(schedule=Schedule(epochs=epochs), whole_share=share)
    ).first_whole_epoch
    assert first == np.ceil(epochs) - whole


def test_unrated_clips_are_marked_not_invented(data: TrainingData) -> None:
    store, soft_targets = data.store, data.soft_targets
    crops = SoftTargetCrops(store, soft_targets, SPEC, smoke())
    nobody = {name: np.full(2, np.nan, np.float32) for name in ("labels", "deviations")}
    batch = collate([crops[0], {**crops[1], **nobody}])
    assert batch["labelled"].tolist() == [True, False]
    assert torch.isfinite(batch["labels"]).all() and batch["deviations"][1].isnan().all()
    assert batch["features"].shape == (2, FEATURES)


def test_songs_without_any_deviations_teach_the_width_by_misses(data: TrainingData) -> None:
    store, table = data.store, data.soft_targets
    assert SoftTargetCrops(store, table, SPEC, smoke())[0]["deviations"] == pytest.approx([0.3, 0.35], rel=1e-6)
    tags = ClipStore(
        store.folder, [replace(clip, deviation=None) for clip in store.clips], store.samples, SPEC.sample_rate
    )
    item = SoftTargetCrops(tags, table, SPEC, smoke())[0]
    assert item["deviations"].tolist() == [0, 0]
    # Then the likelihood is that of the target, and a width equal to the miss fits best: log s + m^2 / (2 s^2).
    miss = torch.full((1, 2), 0.25)
    targets = Targets(torch.zeros(1, 2), torch.ones(1, dtype=torch.bool), torch.zeros(1, 2), miss, miss, miss)
    at = {width: float(rater_sd_term(torch.full((1, 2), width), miss, targets)) for width in (0.2, 0.25, 0.3)}
    assert min(at, key=lambda width: at[width]) == 0.25


def test_lengths_the_soft_targets_lack_are_refused(data: TrainingData) -> None:
    store, soft_targets = data.store, data.soft_targets
    with pytest.raises(DataError, match=r"have crops of \[64, 256\] frames, none of 128"):
        SoftTargetCrops(store, soft_targets, SPEC, smoke(crop_frames=128))


def test_changes_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(PocketmoodError, match="mixup must not be negative"):
        AugmentConfig(mixup=-0.1)


def test_foreign_tables_are_refused(data: TrainingData) -> None:
    soft_targets, split = data.soft_targets, data.split
    data.refuse_foreign(smoke(), SPEC)
    with pytest.raises(DataError, match="not \\(4, 256"):
        data.refuse_foreign(smoke(stride=4), SPEC)
    leaking = replace(soft_targets, ids=(*soft_targets.ids, split.test[0]))
    with pytest.raises(DataError, match=f"1 held-out clips, first '{split.test[0]}'"):
        data._replace(soft_targets=leaking).refuse_foreign(smoke(), SPEC)
    lacking = replace(soft_targets, ids=soft_targets.ids[1:])
    with pytest.raises(DataError, match=f"lack 1 training clips, first '{soft_targets.ids[0]}'"):
        data._replace(soft_targets=lacking).refuse_foreign(smoke(), SPEC)


def test_gain_reaches_the_spectrogram_in_db(data: TrainingData) -> None:
    store, soft_targets = data.store, data.soft_targets
    front = MelFrontEnd(SPEC, stride=5, frames=256)
    levels = [
        spectrogram(
            front,
            torch.from_numpy(SoftTargetCrops(store, soft_targets, SPEC, smoke(augment=augment))[3]["context"])[None],
        )
        for augment in (AugmentConfig(0, 0, 0), AugmentConfig(6, 0, 0))
    ]
    change = (levels[1] - levels[0]) * (SPEC.high_db - SPEC.low_db) / 2
    inside = (levels[0].abs() < 0.9) & (levels[1].abs() < 0.9)
    assert float(change[inside].std()) < 1e-2 and 0.1 < abs(float(change[inside].mean())) <= 6
