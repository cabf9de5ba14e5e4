"""Predictions of a student for whole clips."""

from __future__ import annotations

import numpy as np
import torch

from pocketmood.mel import MelFrontEnd
from pocketmood.spec import MelSpec
from student.mobilevit import Student
from student.predict import predict, predict_clips, whole_clip_mels
from student.training_set import TrainingData

SPEC = MelSpec()


def test_predictions_for_whole_clips_do_not_depend_on_the_batch(data: TrainingData) -> None:
    store, split = data.store, data.split
    front = MelFrontEnd(SPEC, stride=5, frames=256)
    mels = whole_clip_mels(store, split.test, front)
    assert mels.shape == (len(split.test), 1, 128, 256)
    student = Student("mobilevit_xxs")
    together, alone = predict(student, mels), predict(student, mels[:1])
    assert np.allclose(together.emotion[:1], alone.emotion, rtol=0, atol=1e-5)
    assert not student.training


def test_clips_are_seen_at_the_students_own_stride_and_frames(data: TrainingData) -> None:
    student, songs = Student("mobilevit_xxs", stride=10, frames=128, layers=1), data.split.test
    found = predict_clips(student, data.store, songs)
    waves = torch.from_numpy(np.stack([data.store.waveform(song) for song in songs]))
    with torch.no_grad():
        expected = student(MelFrontEnd(SPEC, stride=10, frames=128)(waves))
    # all clips at once instead of in batches: float32 sums in another order, of numbers near 1
    assert np.allclose(found.emotion, expected.emotion.numpy(), rtol=0, atol=1e-5)
    assert np.allclose(found.interval68, expected.interval68.numpy(), rtol=0, atol=1e-5)
