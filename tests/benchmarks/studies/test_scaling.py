"""Windows and batches: shapes by hand, and that a runtime predicts for a batch as PyTorch does."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.studies import scaling
from benchmarks.studies.scaling import Shape
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import RunError
from pocketmood.spec import MelSpec

SPEC = MelSpec()


@pytest.mark.parametrize(
    ("seconds", "frames", "stride"),
    [
        (30, 256, 5),  # 1292 frames, every fifth: 258, of which 4 * 64 fill a picture; 1292 // 256 = 5
        (60, 512, 5),  # 2584 frames, 516
        (5, 64, 3),  # 216 frames: 64 at least, so every third
        (20, 128, 6),  # 862 frames, 172
    ],
)
def test_shapes_by_hand(seconds: float, frames: int, stride: int) -> None:
    assert scaling.shape_for(seconds, 4, SPEC, 5) == Shape(seconds, 4, frames, stride)


def test_a_window_too_short_for_a_picture_is_refused() -> None:
    with pytest.raises(RunError, match="a window of 1 s has 44 frames"):
        scaling.shape_for(1, 1, SPEC, 5)


@pytest.mark.slow
def test_both_runtimes_take_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from export.pipeline import build
    from tests.helpers.export_fixtures import TinyStudent

    torch.manual_seed(0)
    shape = Shape(5, 3, 64, 3)
    spec = MelSpec(seconds=5)
    monkeypatch.setattr(scaling, "pipeline_for", lambda run, shape: build(TinyStudent().eval(), spec, 3, 64))
    calls = scaling.calls_for(RunFolder(Path()), shape, 1, scaling.RUNTIMES)
    emotion = {name: call()[0] for name, call in calls.items()}  # type: ignore[index]
    assert emotion["ONNX Runtime"].shape == (3, 2)
    torch.testing.assert_close(torch.from_numpy(emotion["ONNX Runtime"]), emotion["PyTorch"], rtol=0, atol=1e-4)
