"""Distillation: the same crop on both sides, items without hidden state, changes, and what is never saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketmood.checkpoints import load_tensors
from pocketmood.clips import ClipStore
from pocketmood.errors import DataError
from pocketmood.mel import MelFrontEnd
from pocketmood.spec import MelSpec
from pocketmood.split import Split
from student.config import PRESETS, AugmentConfig, LossConfig, StudentConfig
from student.distill import (
    Crops,
    Distiller,
    answer,
    apply_changes,
    collate,
    draw_changes,
    refresh_statistics,
    refuse_foreign,
    whole_clips,
)
from student.mobilevit import Student, save_student
from teacher.answers import Answers
from tests.answers import CROPS, FEATURES, make_teacher

SPEC = MelSpec()


@pytest.fixture
def parts(tiny_run: Path) -> tuple[ClipStore, Answers, Split]:
    make_teacher(tiny_run)
    data = tiny_run / "data"
    answers = Answers.open(tiny_run / "teacher" / "answers")
    return ClipStore.open(data / "store"), answers, Split.load(data / "split.json")


def smoke(**changes: object) -> StudentConfig:
    return replace(PRESETS["smoke"], **changes)  # type: ignore[arg-type]


def test_crop_is_the_very_slice_of_the_whole_clip(parts: tuple[ClipStore, Answers, Split]) -> None:
    store, answers, _ = parts
    crops = Crops(store, answers, SPEC, smoke())
    front = MelFrontEnd(SPEC, stride=5, frames=256)
    for index in range(4):
        draw = crops[index]
        whole = front(torch.from_numpy(store.waveform(answers.ids[index]))[None])
        seen = front.from_context(torch.from_numpy(draw.context)[None])
        matches = []
        for k, (start_hop, frames) in enumerate(CROPS[1:], 1):
            expected = whole[..., start_hop // 5 : start_hop // 5 + frames]
            if expected.shape == seen.shape and torch.equal(draw_answer(answers, index, k), torch.tensor(draw.emotion)):
                # equal but for the order in which a matrix product sums: 1e-6 of the range of 2
                assert torch.allclose(seen, expected, rtol=0, atol=2e-6)
                matches.append(k)
        assert len(matches) == 1


def draw_answer(answers: Answers, clip: int, crop: int) -> torch.Tensor:
    return torch.from_numpy(answers.emotion[clip, crop])


def test_items_follow_from_seed_epoch_and_index(parts: tuple[ClipStore, Answers, Split]) -> None:
    store, answers, _ = parts
    config = smoke(draws=3, augment=AugmentConfig())
    first, second = (Crops(store, answers, SPEC, config) for _ in range(2))
    assert len(first) == 3 * len(answers.ids)
    a = first[7]
    second[3]  # what was drawn before does not matter
    assert all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, second[7], strict=True))
    second.epoch = 1
    drawn = {tuple(second[index].changes) for index in range(7, len(second), len(answers.ids))}
    assert len(drawn) == 3 and tuple(a.changes) not in drawn
    other = Crops(store, answers, SPEC, replace(config, seed=1))
    assert not np.array_equal(other[7].changes, a.changes)


def test_last_epochs_may_hear_whole_clips(parts: tuple[ClipStore, Answers, Split]) -> None:
    store, answers, _ = parts
    crops = Crops(store, answers, SPEC, smoke(epochs=4, whole_share=0.5))
    lengths = []
    for epoch in range(4):
        crops.epoch = epoch
        lengths.append(len(crops[0].context))
    step = SPEC.hop * 5
    short, long = (frames * step - step + SPEC.n_fft for frames in (64, 256))
    assert lengths == [short, short, long, long]
    assert np.array_equal(crops[0].emotion, answers.emotion[0, 0])


def test_unrated_clips_are_marked_not_invented(parts: tuple[ClipStore, Answers, Split]) -> None:
    store, answers, _ = parts
    crops = Crops(store, answers, SPEC, smoke())
    crops.labels[1] = np.nan
    batch = collate([crops[0], crops[1]])
    assert batch["labelled"].tolist() == [True, False]
    assert torch.isfinite(batch["label"]).all()
    assert batch["features"].shape == (2, FEATURES)


def test_lengths_the_teacher_did_not_answer_are_refused(parts: tuple[ClipStore, Answers, Split]) -> None:
    store, answers, _ = parts
    with pytest.raises(DataError, match=r"answered crops of \[64, 256\] frames, none of 128"):
        Crops(store, answers, SPEC, smoke(crop_frames=128))


def test_foreign_tables_are_refused(parts: tuple[ClipStore, Answers, Split], tiny_run: Path) -> None:
    _, answers, split = parts
    refuse_foreign(answers, split, smoke(), SPEC)
    with pytest.raises(DataError, match="not \\(4, 256"):
        refuse_foreign(answers, split, smoke(stride=4), SPEC)
    leaking = replace(answers, ids=(*answers.ids, split.test[0]))
    with pytest.raises(DataError, match=f"1 held-out clips, first '{split.test[0]}'"):
        refuse_foreign(leaking, split, smoke(), SPEC)
    lacking = replace(answers, ids=answers.ids[1:])
    with pytest.raises(DataError, match=f"lack 1 training clips, first '{answers.ids[0]}'"):
        refuse_foreign(lacking, split, smoke(), SPEC)


def test_gain_is_a_change_of_level_in_db() -> None:
    wave = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (1, 30_000)).astype(np.float32))
    front = MelFrontEnd(SPEC)
    changes = torch.tensor([[6.0, 0, 0, 0, 0]])
    louder = front(wave * 10 ** (6 / 20))
    # the same to float32's rounding of a power of about 30 dB, in units of 50 dB
    assert torch.allclose(apply_changes(front(wave), changes, SPEC), louder, rtol=0, atol=1e-5)


def test_hidden_runs_are_where_they_should_be() -> None:
    mel = torch.rand(2, 1, 128, 64, generator=torch.Generator().manual_seed(0))
    changes = torch.tensor([[0.0, 10, 3, 5, 2], [0, 0, 0, 0, 0]])
    changed = apply_changes(mel, changes, SPEC)
    expected = mel.clone()
    expected[0, 0, 10:13] = mel.mean()
    expected[0, 0, :, 5:7] = mel.mean()
    assert torch.equal(changed, expected)


def test_changes_stay_inside() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        gain, band, bands, frame, frames = draw_changes(rng, 128, 64, AugmentConfig(3, 20, 90))
        assert abs(gain) <= 3 and 0 <= band <= 128 - bands and 0 <= frame <= 64 - frames and bands <= 20
    assert not draw_changes(rng, 128, 64, AugmentConfig(0, 0, 0))[[0, 2, 4]].any()


def test_projector_and_front_end_never_reach_the_saved_student(tmp_path: Path) -> None:
    student = Student("mobilevit_xxs", frames=64)
    distiller = Distiller(student, FEATURES, LossConfig())
    assert any(name.startswith("projector.") for name in distiller.state_dict())
    save_student(distiller.student, tmp_path, {})
    saved = load_tensors(tmp_path / "model.safetensors")
    assert saved.keys() == Student("mobilevit_xxs", frames=64).state_dict().keys()
    assert not any("project" in name or "front" in name for name in saved if not name.startswith("body."))
    assert not any(FEATURES in tensor.shape for tensor in saved.values())


def test_a_batch_gives_every_part_a_gradient(parts: tuple[ClipStore, Answers, Split]) -> None:
    store, answers, _ = parts
    crops = Crops(store, answers, SPEC, smoke())
    torch.manual_seed(0)
    distiller = Distiller(Student("mobilevit_xxs"), FEATURES, LossConfig())
    distiller(**collate([crops[index] for index in range(3)]))["loss"].backward()
    without = [name for name, value in distiller.named_parameters() if value.grad is None]
    assert without == []


def test_answers_for_whole_clips_do_not_depend_on_the_batch(parts: tuple[ClipStore, Answers, Split]) -> None:
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
    refresh_statistics(network, mels)
    assert torch.allclose(norm.running_mean, mels.mean().reshape(1), rtol=0, atol=1e-5)
    expected = (mels[:16].var() + mels[16:].var()) / 2  # torch averages the batches' unbiased variances
    assert torch.allclose(norm.running_var, expected.reshape(1), rtol=1e-5, atol=0)
    assert norm.momentum == 0.1 and not any(module.training for module in network.modules())
    assert all(torch.equal(weights[name], value) for name, value in network.named_parameters())
