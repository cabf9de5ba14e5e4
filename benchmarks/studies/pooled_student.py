"""A student that is shown the mean of neighbouring frames, for comparison with one that is shown every n-th frame."""

from __future__ import annotations

from torch import Tensor, nn

from pocketmood.errors import DataError
from student.config import SIDE
from student.mobilevit import Student, StudentOutput


class PooledStudent(Student):
    """A student before whose network each run of `pooled` frames of the spectrogram becomes its mean.

    The mean is that of the values in [-1, 1] that a network sees, so of levels in dB and not of power. `stride` and
    `frames` stay those of the front end, which computes all the frames: training crops, whole clips and an exported
    program are made for them as for any student, and the pooling holds no weights of its own.
    """

    def __init__(self, student: Student, pooled: int) -> None:
        """Take over a student's weights; DataError unless its frames shrink to a multiple of 64."""
        if student.frames % (pooled * SIDE):
            raise DataError(
                f"{student.frames} frames cannot be shown as means of {pooled}: choose a multiple of {pooled * SIDE}"
            )
        super().__init__(student.name, student.stride, student.frames, student.spec, student.layers)
        # Strict, as loading is by default: a pooled student's files are read as those of a plain one.
        self.load_state_dict(student.state_dict())
        self.pooled = pooled

    def forward(self, mel: Tensor) -> StudentOutput:
        """Predict for spectrograms [B, 1, M, T], of which the network sees [B, 1, M, T / pooled]."""
        return super().forward(nn.functional.avg_pool2d(mel, (1, self.pooled)))
