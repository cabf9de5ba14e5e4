"""Predictions of a student for whole clips, in PyTorch; those of exported programs are `export.predict`'s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketmood.data.clips import ClipStore
from pocketmood.mel import MelFrontEnd
from pocketmood.training.crops import whole_mels
from student.mobilevit import Student

CLIPS_PER_BATCH = 16
"""Whole clips that pass through a network together."""


class ClipPredictions(NamedTuple):
    """A student's predictions for N whole clips."""

    emotion: NDArray[np.float32]
    """[N, 2] valence and arousal in (-1, 1)."""
    interval68: NDArray[np.float32]
    """[N, 2] half the width of the 68 % interval of the mean rating; before calibration a `rater_sd`."""


def whole_clip_mels(store: ClipStore, ids: Sequence[str], front: MelFrontEnd) -> Tensor:
    """Compute the spectrograms [N, 1, M, T] of whole clips once, on the CPU, for repeated validation."""
    # On the CPU, where there is room for all: a GPU gets them batch by batch.
    return torch.cat([mels for _, mels in whole_mels(store, ids, front.to("cpu"))])


def predict(student: nn.Module, mels: Tensor) -> ClipPredictions:
    """Predict for whole clips [N, 1, M, T] without gradients; leaves the student in evaluation mode."""
    device = next(student.parameters()).device
    student.eval()
    with torch.no_grad():
        parts = [student(batch.to(device)) for batch in mels.split(CLIPS_PER_BATCH)]
    # float() first: numpy has no bfloat16, which autocast may leave.
    emotion = torch.cat([part.emotion for part in parts]).float().cpu().numpy()
    interval68 = torch.cat([part.interval68 for part in parts]).float().cpu().numpy()
    return ClipPredictions(emotion, interval68)


def predict_clips(student: Student, store: ClipStore, ids: Sequence[str]) -> ClipPredictions:
    """Predict for whole clips of a store, at the stride and frames of the student."""
    return predict(student, whole_clip_mels(store, ids, MelFrontEnd(student.spec, student.stride, student.frames)))
