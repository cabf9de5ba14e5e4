"""Distillation: the same crop on both sides, items without hidden state, and what is never saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketmood.data.clips import Clip, ClipStore
from pocketmood.data.split import Split
from pocketmood.errors import DataError, PocketmoodError
from pocketmood.mel import MelFrontEnd
from pocketmood.spec import MelSpec
from pocketmood.training.checkpoints import load_tensors
from pocketmood.training.crops import spectrogram
from pocketmood.training.schedule import Schedule
from pocketmood.training.trainer import synchronised
from student.config import PRESETS, AugmentConfig, LossConfig, StudentConfig
from student.distill import (
    Crops,
    Distiller,
    answer,
    collate,
    recalibrate_batch_norm,
    refuse_foreign,
    unsynchronised,
    whole_clips,
)
from student.mobilevit import Student, load_student, save_student
from teacher.soft_targets import SoftTargets, answered_ids
from tests.helpers.soft_targets import CROPS, FEATURES, make_teacher

SPEC = MelSpec()


@pytest.fixture
def parts(tiny_run: Path) -> tuple[ClipStore, SoftTargets, Split]:
    make_teacher(tiny_run)
    data = tiny_run / "data"
    soft_targets = SoftTargets.open(tiny_run / "teacher" / "soft_targets")
    return ClipStore.open(data / "store"), soft_targets, Split.load(data / "split.json")


def smoke(**changes: object) -> StudentConfig:
    return replace(PRESETS["smoke"], **changes)  # type: ignore[arg-type]


def test_crop_is_the_very_slice_of_the_whole_clip(parts: tuple[ClipStore, SoftTargets, Split]) -> None:
    store, soft_targets, _ = parts
    crops = Crops(store, soft_targets, SPEC, smoke())
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


def test_items_follow_from_seed_epoch_and_index(parts: tuple[ClipStore, SoftTargets, Split]) -> None:
    store, soft_targets, _ = parts
    config = smoke(draws=3, augment=AugmentConfig(mixup=0.4))
    first, second = (Crops(store, soft_targets, SPEC, config) for _ in range(2))
    assert len(first) == 3 * len(soft_targets.ids)
    a = first[7]
    second[3]  # what was drawn before does not matter
    again = second[7]
    assert a.keys() == again.keys() and all(np.array_equal(a[name], again[name], equal_nan=True) for name in a)
    second.epoch = 1
    drawn = {tuple(second[index]["mask"]) for index in range(7, len(second), len(soft_targets.ids))}
    assert len(drawn) == 3 and tuple(a["mask"]) not in drawn
    other = Crops(store, soft_targets, SPEC, replace(config, seed=1))[7]
    assert not np.array_equal(other["mask"], a["mask"]) and not np.array_equal(other["emotion"], a["emotion"])


def test_last_epochs_may_hear_whole_clips(parts: tuple[ClipStore, SoftTargets, Split]) -> None:
    store, soft_targets, _ = parts
    crops = Crops(store, soft_targets, SPEC, smoke(schedule=Schedule(epochs=4), whole_share=0.5))
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
    epochs: float, share: float, whole: int, parts: tuple[ClipStore, SoftTargets, Split]
) -> None:
    store, soft_targets, _ = parts
    first = Crops(
        store, soft_targets, SPEC, smoke(schedule=Schedule(epochs=epochs), whole_share=share)
    ).first_whole_epoch
    assert first == np.ceil(epochs) - whole


def test_unrated_clips_are_marked_not_invented(parts: tuple[ClipStore, SoftTargets, Split]) -> None:
    store, soft_targets, _ = parts
    crops = Crops(store, soft_targets, SPEC, smoke())
    nobody = {name: np.full(2, np.nan, np.float32) for name in ("labels", "deviations")}
    batch = collate([crops[0], {**crops[1], **nobody}])
    assert batch["labelled"].tolist() == [True, False]
    assert torch.isfinite(batch["labels"]).all() and batch["deviations"][1].isnan().all()
    assert batch["features"].shape == (2, FEATURES)


def test_music_without_ratings_reaches_the_student_and_teaches_through_the_teacher_only(
    parts: tuple[ClipStore, SoftTargets, Split], tmp_path: Path
) -> None:
    rated, _, split = parts
    ids = split.train[:2]
    clips = [rated.clips[rated.index(id_)] for id_ in ids] + [Clip("unlabelled-x", None, None, None)]
    waves = [rated.waveform(id_) for id_ in (*ids, split.train[2])]
    run = tmp_path / "unlabelled"
    store = ClipStore.write(run / "data" / "store", clips, waves, SPEC)
    answered = answered_ids(store, replace(split, train=ids))
    assert answered == [*ids, "unlabelled-x"]
    rng = np.random.default_rng(0)
    told = {name: rng.normal(0, 0.3, (3, len(CROPS), size)).astype(np.float32) for name, size in
            (("emotion", 2), ("rater_sd", 2), ("features", FEATURES))}  # fmt: skip
    soft_targets = SoftTargets(tuple(answered), tuple(map(tuple, CROPS)), 5, 256, SPEC.hash, "made up", **told)
    crops = Crops(store, soft_targets, SPEC, smoke())
    assert len(crops) == 3
    batch = collate([crops[index] for index in range(3)])
    assert batch["labelled"].tolist() == [True, True, False]
    torch.manual_seed(0)
    distiller = Distiller(Student("mobilevit_xxs", layers=1), FEATURES, LossConfig()).requires_grad_(False)
    terms = distiller(**batch)
    other = {**batch, "labels": batch["labels"].clone(), "deviations": batch["deviations"].clone()}
    other["labels"][2], other["deviations"][2] = 0.9, 0.1  # whatever stands where nobody rated
    again = distiller(**other)
    for name in ("labels", "rater_sd", "response", "features"):
        assert torch.equal(terms[name], again[name]), name
    other = {**batch, "emotion": batch["emotion"].clone(), "features": batch["features"].clone()}
    other["emotion"][2] += 0.5
    other["features"][2] *= -1
    again = distiller(**other)
    assert torch.equal(terms["labels"], again["labels"]) and torch.equal(terms["rater_sd"], again["rater_sd"])
    assert abs(float(terms["response"]) - float(again["response"])) > 1e-3
    assert abs(float(terms["features"]) - float(again["features"])) > 1e-3


def test_lengths_the_teacher_did_not_answer_are_refused(parts: tuple[ClipStore, SoftTargets, Split]) -> None:
    store, soft_targets, _ = parts
    with pytest.raises(DataError, match=r"answered crops of \[64, 256\] frames, none of 128"):
        Crops(store, soft_targets, SPEC, smoke(crop_frames=128))


def test_changes_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(PocketmoodError, match="mixup must not be negative"):
        AugmentConfig(mixup=-0.1)


def test_foreign_tables_are_refused(parts: tuple[ClipStore, SoftTargets, Split], tiny_run: Path) -> None:
    _, soft_targets, split = parts
    refuse_foreign(soft_targets, split, smoke(), SPEC)
    with pytest.raises(DataError, match="not \\(4, 256"):
        refuse_foreign(soft_targets, split, smoke(stride=4), SPEC)
    leaking = replace(soft_targets, ids=(*soft_targets.ids, split.test[0]))
    with pytest.raises(DataError, match=f"1 held-out clips, first '{split.test[0]}'"):
        refuse_foreign(leaking, split, smoke(), SPEC)
    lacking = replace(soft_targets, ids=soft_targets.ids[1:])
    with pytest.raises(DataError, match=f"lack 1 training clips, first '{soft_targets.ids[0]}'"):
        refuse_foreign(lacking, split, smoke(), SPEC)


def test_gain_reaches_the_spectrogram_in_db(parts: tuple[ClipStore, SoftTargets, Split]) -> None:
    store, soft_targets, _ = parts
    front = MelFrontEnd(SPEC, stride=5, frames=256)
    levels = [
        spectrogram(
            front, torch.from_numpy(Crops(store, soft_targets, SPEC, smoke(augment=augment))[3]["context"])[None]
        )
        for augment in (AugmentConfig(0, 0, 0), AugmentConfig(6, 0, 0))
    ]
    change = (levels[1] - levels[0]) * (SPEC.high_db - SPEC.low_db) / 2
    inside = (levels[0].abs() < 0.9) & (levels[1].abs() < 0.9)
    assert float(change[inside].std()) < 1e-2 and 0.1 < abs(float(change[inside].mean())) <= 6


@pytest.mark.parametrize("measure", ["cosine", "relational"])
def test_projector_and_front_end_never_reach_the_saved_student(measure: str, tmp_path: Path) -> None:
    student = Student("mobilevit_xxs", frames=64)
    distiller = Distiller(student, FEATURES, LossConfig(feature_measure=measure))  # type: ignore[arg-type]
    assert any(name.startswith("projector.") for name in distiller.state_dict()) == (measure == "cosine")
    save_student(distiller.student, tmp_path, {})
    saved = load_tensors(tmp_path / "model.safetensors")
    assert saved.keys() == Student("mobilevit_xxs", frames=64).state_dict().keys()
    assert not any("project" in name or "front" in name for name in saved if not name.startswith("body."))
    assert not any(FEATURES in tensor.shape for tensor in saved.values())


@pytest.mark.parametrize("measure", ["cosine", "relational", "distance-correlation"])
def test_a_batch_gives_every_part_a_gradient(measure: str, parts: tuple[ClipStore, SoftTargets, Split]) -> None:
    store, soft_targets, _ = parts
    crops = Crops(store, soft_targets, SPEC, smoke())
    torch.manual_seed(0)
    weights = LossConfig(feature_measure=measure, gate=True)  # type: ignore[arg-type]
    distiller = Distiller(Student("mobilevit_xxs", layers=1), FEATURES, weights)
    terms = distiller(**collate([crops[index] for index in range(4)]))
    terms["loss"].backward()
    assert [name for name, value in distiller.named_parameters() if value.grad is None] == []
    shown = {name for name in terms if "share" not in name}  # what an epoch's line prints
    assert shown == {"loss", "labels", "response", "features", "rater_sd"} and len(terms) == 10


def test_answers_for_whole_clips_do_not_depend_on_the_batch(parts: tuple[ClipStore, SoftTargets, Split]) -> None:
    store, _, split = parts
    front = MelFrontEnd(SPEC, stride=5, frames=256)
    mels = whole_clips(store, split.test, front)
    assert mels.shape == (len(split.test), 1, 128, 256)
    student = Student("mobilevit_xxs")
    together, alone = answer(student, mels), answer(student, mels[:1])
    assert np.allclose(together.emotion[:1], alone.emotion, rtol=0, atol=1e-5)
    assert not student.training


def test_statistics_are_those_of_whole_clips_and_nothing_else_moves() -> None:
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(1)
    network = torch.nn.Sequential(norm, torch.nn.Dropout(0.5), torch.nn.Conv2d(1, 1, 1))
    mels = torch.randn(32, 1, 4, 4) * 3 + 2
    with torch.no_grad():
        network.train()(torch.full((8, 1, 4, 4), 9.0))  # what training left behind
    weights = {name: value.clone() for name, value in network.named_parameters()}
    recalibrate_batch_norm(network, mels)
    assert torch.allclose(norm.running_mean, mels.mean().reshape(1), rtol=0, atol=1e-5)
    expected = (mels[:16].var() + mels[16:].var()) / 2  # torch averages the batches' unbiased variances
    assert torch.allclose(norm.running_var, expected.reshape(1), rtol=1e-5, atol=0)
    assert norm.momentum == 0.1 and not any(module.training for module in network.modules())
    assert all(torch.equal(weights[name], value) for name, value in network.named_parameters())


def test_every_clip_weighs_the_same_in_the_statistics() -> None:
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(1)
    mels = torch.randn(17, 1, 4, 4)
    mels[-1] += 20  # alone in a batch of its own it would be half of the mean, 10 instead of 20 / 17
    recalibrate_batch_norm(torch.nn.Sequential(norm), mels)
    assert torch.allclose(norm.running_mean, mels.mean().reshape(1), rtol=0, atol=1e-5)
    expected = (9 * mels[:9].var() + 8 * mels[9:].var()) / 17
    assert torch.allclose(norm.running_var, expected.reshape(1), rtol=1e-5, atol=0)


def test_synchronised_norms_are_measured_on_a_plain_twin(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = Student("mobilevit_xxs", frames=64, layers=1).eval()
    assert unsynchronised(student) is student
    mel = torch.rand(1, 1, 128, 64)
    with torch.no_grad():
        expected = student(mel)
        converted = synchronised(student)
        assert converted is student and any(isinstance(part, torch.nn.SyncBatchNorm) for part in converted.modules())
        save_student(converted, tmp_path, {})  # type: ignore[arg-type]
        twin = unsynchronised(student).eval()
        assert twin is not student and not any(isinstance(part, torch.nn.SyncBatchNorm) for part in twin.modules())
        # the same network; the twin in another memory layout, which sums in another order
        for other in (converted, twin, load_student(tmp_path)[0]):
            assert torch.allclose(other(mel).emotion, expected.emotion, rtol=0, atol=1e-5)
            assert torch.allclose(other(mel).features, expected.features, rtol=0, atol=1e-5)
