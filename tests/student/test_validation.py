"""Validation in training: batch norms measured on whole clips, synchronised ones on a plain twin."""

from __future__ import annotations

from pathlib import Path

import torch

from pocketmood.training.distributed import whole_batch_norms
from student.mobilevit import Student, load_student, save_student
from student.validation import recalibrate_batch_norm, unsynchronised


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
        converted = whole_batch_norms(student)
        assert converted is student and any(isinstance(part, torch.nn.SyncBatchNorm) for part in converted.modules())
        save_student(converted, tmp_path)  # type: ignore[arg-type]
        twin = unsynchronised(student).eval()
        assert twin is not student and not any(isinstance(part, torch.nn.SyncBatchNorm) for part in twin.modules())
        # the same network; the twin in another memory layout, which sums in another order
        for other in (converted, twin, load_student(tmp_path)[0]):
            assert torch.allclose(other(mel).emotion, expected.emotion, rtol=0, atol=1e-5)
            assert torch.allclose(other(mel).features, expected.features, rtol=0, atol=1e-5)
