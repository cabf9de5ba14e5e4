"""What a network is shown of a spectrogram: means of neighbouring frames, the same in training, scoring and program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.studies.pooled_student import PooledStudent
from export.executorch import to_executorch
from export.pipeline import build
from export.rewrite import for_xnnpack
from pocketmood.errors import DataError
from pocketmood.mel import MelFrontEnd, context
from pocketmood.spec import MelSpec
from student.mobilevit import Student

SPEC = MelSpec()


class Body(nn.Module):
    """Stands for a network: keeps what it was shown, and makes features of the means over time of 16 bands."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.last = nn.Linear(16, width)

    def forward(self, mel: Tensor) -> Tensor:
        if not torch.compiler.is_exporting():
            self.shown = mel
        features: Tensor = self.last(nn.functional.adaptive_avg_pool2d(mel, (16, 1)).flatten(1))
        return features


def pooled_student(frames: int, pooled: int, spec: MelSpec = SPEC) -> PooledStudent:
    torch.manual_seed(0)
    student = PooledStudent(Student("mobilevit_xxs", 1, frames, spec, layers=1), pooled)
    student.body = Body(student.width)
    return student.eval()


def noise(spec: MelSpec = SPEC) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, spec.samples).astype(np.float32)


def test_means_by_hand() -> None:
    student = pooled_student(192, 3)
    mel = torch.zeros(1, 1, 128, 192)
    mel[0, 0, 7, :6] = torch.tensor([1.0, 2.0, 6.0, -1.0, 0.0, -2.0])
    student(mel)
    assert student.body.shown.shape == (1, 1, 128, 64)
    expected = torch.zeros(128, 64)
    expected[7, :2] = torch.tensor([3.0, -1.0])  # (1 + 2 + 6) / 3 and (-1 + 0 - 2) / 3
    assert torch.allclose(student.body.shown[0, 0], expected, rtol=0, atol=1e-6)


def test_weights_are_those_of_the_student_taken_over() -> None:
    plain = Student("mobilevit_xxs", 1, 320, SPEC, layers=1)
    pooled, mel = PooledStudent(plain, 5).eval(), torch.rand(2, 1, 128, 320)
    assert pooled.state_dict().keys() == plain.state_dict().keys()
    with torch.inference_mode():
        assert torch.allclose(pooled(mel).emotion, plain.eval()(mel.reshape(2, 1, 128, 64, 5).mean(-1)).emotion,
                              rtol=0, atol=1e-5)  # fmt: skip


def test_frames_that_make_no_whole_means_are_refused() -> None:
    with pytest.raises(DataError, match="256 frames cannot be shown as means of 5: choose a multiple of 320"):
        PooledStudent(Student("mobilevit_xxs", 1, 256, SPEC, layers=1), 5)


def test_a_training_crop_is_shown_as_a_slice_of_the_whole_clip() -> None:
    student, wave = pooled_student(1280, 5), noise()
    with torch.inference_mode():
        student(MelFrontEnd(SPEC, 1, 1280)(torch.from_numpy(wave)[None]))
        whole = student.body.shown
        crop = torch.from_numpy(context(wave, 90, 640, SPEC))[None]
        student(MelFrontEnd(SPEC, 1, 1280).from_context(crop))
    assert whole.shape == (1, 1, 128, 256) and student.body.shown.shape == (1, 1, 128, 128)
    assert torch.allclose(student.body.shown, whole[..., 18 : 18 + 128], rtol=0, atol=1e-5)  # 90 hops are 18 means


@pytest.mark.slow
def test_a_lowered_program_predicts_as_the_pooled_student(tmp_path: Path) -> None:
    spec = MelSpec(seconds=7.5)  # 323 frames
    student, wave = pooled_student(320, 5, spec), noise(spec)
    mel = MelFrontEnd(spec)(torch.from_numpy(wave)[None])[0, 0].numpy()  # [M, T]
    means = np.stack([mel[:, first : first + 5].mean(1) for first in range(0, 320, 5)], 1)
    with torch.inference_mode():
        features = student.body(torch.from_numpy(means)[None, None])
        expected = torch.tanh(student.emotion_head(features)).numpy()
    pipeline = for_xnnpack(build(student, spec, student.stride, student.frames))
    to_executorch.write(pipeline, (1, spec.samples), tmp_path / "model.fp32.pte", {})
    emotion, _ = to_executorch.read(tmp_path / "model.fp32.pte")(wave[None])
    assert np.allclose(emotion, expected, rtol=0, atol=1e-5)
