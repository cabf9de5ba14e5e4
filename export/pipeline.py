"""Front end and student as one module, which every format is made from: waveform in, emotion and interval68 out."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from pocketmood.errors import ExportError
from pocketmood.mel import MelFrontEnd
from pocketmood.spec import MelSpec


class Prediction(Protocol):
    """What a student returns; its features stay behind, because no phone needs them."""

    @property
    def emotion(self) -> Tensor:
        """Valence and arousal [B, 2] in [-1, 1]."""

    @property
    def interval68(self) -> Tensor:
        """Half the width of the 68 % interval of a song's mean rating [B, 2], above 0."""


class Pipeline(nn.Module):
    """Map a waveform [1, S] in [-1, 1] to (emotion [1, 2], interval68 [1, 2])."""

    def __init__(self, front: nn.Module, network: nn.Module, spec: MelSpec) -> None:
        """Join a front end [1, S] -> [1, 1, M, T] and a student [1, 1, M, T] -> Prediction."""
        super().__init__()
        self.front, self.network = front, network
        self.spec = spec

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Predict one clip."""
        prediction: Prediction = self.network(self.front(waveform))
        return prediction.emotion, prediction.interval68


def build(student: nn.Module, spec: MelSpec, stride: int, frames: int) -> Pipeline:
    """Put the front end of `spec`, every `stride`-th frame and `frames` of them, before a student, ready to export.

    MobileViT resizes its maps unless both input sides are multiples of 64, which costs accuracy and leaves operators
    outside of every accelerator: such sizes are refused.
    """
    if spec.bands % 64 or frames % 64:
        raise ExportError(
            f"a student that sees {spec.bands} bands x {frames} frames cannot be exported: both must be multiples of "
            "64. Train it with another number of frames"
        )
    # In eval mode and without gradients: batch norms fold into convolutions, and weights are exported as constants.
    pipeline = Pipeline(MelFrontEnd(spec, stride, frames), student, spec).eval()
    for parameter in pipeline.parameters():
        parameter.requires_grad_(False)
    return pipeline
