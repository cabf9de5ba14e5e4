"""Rewrites keep the prediction, and leave nothing behind that they should have replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from export import rewrite
from export.pipeline import Pipeline, build
from pocketmood import mel
from pocketmood.mel import MelFrontEnd
from pocketmood.spec import MelSpec
from student.mobilevit import Student
from tests.helpers import export_fixtures as tiny

LIMIT = 1e-5
REWRITES = (rewrite.for_xnnpack, rewrite.for_onnx, rewrite.for_coreml)


def difference(before: Pipeline, after: Pipeline, wave: torch.Tensor) -> float:
    with torch.inference_mode():
        return max(float((a - b).abs().max()) for a, b in zip(before(wave), after(wave), strict=True))


@pytest.mark.parametrize("change", REWRITES)
def test_the_prediction_stays(change: Callable[[Pipeline], Pipeline]) -> None:
    pipeline = tiny.pipeline()
    for wave in (*tiny.waves(2), torch.zeros(1, tiny.SPEC.samples).numpy()):
        assert difference(pipeline, change(pipeline), torch.from_numpy(wave)) < LIMIT


@pytest.mark.slow
def test_the_prediction_of_a_mobilevit_stays() -> None:
    torch.manual_seed(0)
    pipeline = build(Student("mobilevit_xxs"), MelSpec(), 5, 256)
    assert difference(pipeline, rewrite.for_xnnpack(pipeline), torch.from_numpy(tiny.waves(1)[0])) < LIMIT


def test_a_changed_weight_would_be_seen() -> None:
    pipeline = tiny.pipeline()
    changed = rewrite.for_xnnpack(pipeline)
    changed.network.block.norm1.mean_square.weight.data.mul_(1.01)
    assert difference(pipeline, changed, torch.from_numpy(tiny.waves(1)[0])) > LIMIT


def test_xnnpack_gets_no_module_that_it_cannot_take() -> None:
    pipeline = tiny.pipeline()
    left = [type(module).__name__ for module in rewrite.for_xnnpack(pipeline).modules()]
    assert not {"LayerNorm", "Attention", "BatchNorm2d", "BatchNormAct2d", "MelFrontEnd"} & set(left)
    assert {"AveragingLayerNorm", "FoldedAttention", "FlatFrontEnd"} <= set(left)
    assert any(isinstance(module, nn.LayerNorm) for module in pipeline.modules()), "the original was changed"


def test_xnnpack_gets_no_function_that_it_cannot_take() -> None:
    program = torch.export.export(rewrite.for_xnnpack(tiny.pipeline()), (torch.zeros(1, tiny.SPEC.samples),))
    operators = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not [name for name in operators if any(word in name for word in ("softplus", "detach", "matmul", "split"))]
    assert any("aten.bmm" in name for name in operators)


@pytest.mark.parametrize("offset", [-3.0, 0.0, 2.0])
def test_layer_norm_as_products(offset: float) -> None:
    torch.manual_seed(0)
    norm, x = nn.LayerNorm(24), torch.randn(2, 5, 24) * 3 + offset
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    torch.testing.assert_close(rewrite.AveragingLayerNorm(norm)(x), norm(x), rtol=0, atol=LIMIT)


def test_scales_of_norms_move_into_their_readers() -> None:
    """Scale 2 and shift 1 before a weight of 3 and a bias of 5: 3 (2 x + 1) + 5 = 6 x + 8."""
    norm, reader = nn.LayerNorm(1), nn.Linear(1, 1)
    for parameter, value in ((norm.weight, 2.0), (norm.bias, 1.0), (reader.weight, 3.0), (reader.bias, 5.0)):
        nn.init.constant_(parameter, value)
    rewrite._move_affine(norm, reader)
    assert (reader.weight.item(), reader.bias.item()) == (6.0, 8.0)
    assert norm.weight is None and norm.bias is None


def test_scales_of_norms_stay_where_the_reader_is_not_known() -> None:
    changed = rewrite.for_xnnpack(tiny.pipeline()).network
    assert changed.block.norm1.weight is None and changed.block.norm2.weight is None
    assert changed.norm.weight is not None, "the last norm is read by a convolution"


@pytest.mark.parametrize(("stride", "frames"), [(4, 320), (5, 256), (5, 320)])
def test_flat_front_end_cuts_and_pads_as_the_front_end(stride: int, frames: int) -> None:
    front, wave = MelFrontEnd(tiny.SPEC, stride, frames), torch.from_numpy(tiny.waves(1)[0])
    with torch.inference_mode():
        wanted, found = front(wave), rewrite.FlatFrontEnd(front)(wave)
    torch.testing.assert_close(found, wanted, rtol=0, atol=LIMIT)


CONSTANTS = {
    "POWER_FLOOR": lambda floor: 1e3 * floor,
    "_DB_PER_LN": lambda decibels: 1.01 * decibels,
    "mel_filters": lambda filters: lambda spec: 2 * filters(spec),
    "_dft_stages": lambda stages: lambda *sizes: tuple(1.01 * stage for stage in stages(*sizes)),
    "BLOCKS": lambda blocks: blocks + 1,
}
"""What defines the spectrogram in `pocketmood.mel`, and how to change each; the number of blocks changes no value."""


@pytest.mark.parametrize("name", CONSTANTS)
def test_the_exported_spectrogram_moves_with_the_definition(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training's and the phone's spectrogram are one: each constant, changed in one place, changes both alike."""
    # Half of it so soft that it lies at the floor.
    wave = torch.from_numpy(tiny.waves(1)[0]) * torch.linspace(0, 1e-2, tiny.SPEC.samples)
    before = both_spectrograms(wave)
    monkeypatch.setattr(mel, name, CONSTANTS[name](getattr(mel, name)))
    after = both_spectrograms(wave)
    for spectrograms in (before, after):
        torch.testing.assert_close(*spectrograms, rtol=0, atol=LIMIT)
    moved = [float((new - old).abs().max()) for new, old in zip(after, before, strict=True)]
    assert all(difference < LIMIT for difference in moved) if name == "BLOCKS" else min(moved) > 100 * LIMIT


def both_spectrograms(wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the front end's spectrogram and the exported variant's."""
    front = MelFrontEnd(replace(tiny.SPEC, low_db=-120.0), 5, 320)
    with torch.inference_mode():
        return front(wave), rewrite.FlatFrontEnd(front)(wave)


def test_a_changed_window_reaches_the_exported_spectrogram() -> None:
    front, wave = MelFrontEnd(tiny.SPEC, 5, 320), torch.from_numpy(tiny.waves(1)[0])
    with torch.inference_mode():
        before = front(wave)
        front.window.mul_(0.5)  # 6 dB less, of the 100 dB that are 2
        wanted, found = front(wave), rewrite.FlatFrontEnd(front)(wave)
    torch.testing.assert_close(found, wanted, rtol=0, atol=LIMIT)
    assert float((wanted - before).min()) == pytest.approx(-0.1204, abs=1e-3)
