"""Front end and student as one module."""

from __future__ import annotations

import pytest
import torch

from export.pipeline import build
from pocketmood.errors import ExportError
from pocketmood.mel import MelFrontEnd
from tests.helpers import export_fixtures as tiny


def test_is_the_student_after_the_front_end() -> None:
    pipeline, wave = tiny.pipeline(), torch.from_numpy(tiny.waves(1)[0])
    with torch.inference_mode():
        emotion, interval68 = pipeline(wave)
        prediction = pipeline.network(MelFrontEnd(tiny.SPEC, tiny.STRIDE, tiny.FRAMES)(wave))
    assert emotion.shape == interval68.shape == (1, 2)
    assert torch.equal(emotion, prediction.emotion) and torch.equal(interval68, prediction.interval68)


def test_is_ready_to_export() -> None:
    pipeline = tiny.pipeline()
    assert not pipeline.training
    assert not any(parameter.requires_grad for parameter in pipeline.parameters())


@pytest.mark.parametrize("frames", [63, 250])
def test_sizes_that_mobilevit_would_resize_are_refused(frames: int) -> None:
    with pytest.raises(ExportError, match=f"128 bands x {frames} frames.*multiples of 64"):
        build(tiny.TinyStudent(), tiny.SPEC, tiny.STRIDE, frames)
