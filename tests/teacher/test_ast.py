"""The audio spectrogram transformers: the baseline from scratch, and the pretrained one's input and pooling."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pocketmood.errors import PocketmoodError
from teacher.ast import Ast
from teacher.config import AST, AST_DEMO, VitConfig
from teacher.pretrained import AUDIO_DEVIATION, AUDIO_MEAN
from teacher.vit import build_teacher
from tests.helpers.tiny_weights import write_weights


def tiny(layers: int = 0, period: int = 4) -> Ast:
    torch.manual_seed(0)
    return Ast(width=8, layers=layers, heads=2, bands=32, period=period, dropout=0.0).eval()


def test_the_baseline_has_six_million_parameters() -> None:
    with torch.device("meta"):
        full, demo = build_teacher(AST), build_teacher(AST_DEMO)
    # By hand, width W = 288: patches 256 W + W, positions (8 + 81) W, token W, final norm 2 W; per layer attention
    # 4 W^2 + 4 W, MLP 8 W^2 + 5 W, norms 4 W; two heads of 2 W values to 2 predictions.
    W = 288
    wanted = 257 * W + 89 * W + W + 2 * W + 6 * (12 * W**2 + 13 * W) + 2 * (2 * W * 2 + 2)
    assert sum(p.numel() for p in full.parameters()) == wanted == 6_097_252
    assert 0.8e6 < sum(p.numel() for p in demo.parameters()) < 0.9e6


def test_tokens_equal_their_slow_twin() -> None:
    network = tiny()
    mel = torch.rand(2, 1, 32, 40) * 2 - 1
    padded = torch.cat([mel, torch.full((2, 1, 32, 8), -1.0)], 3)  # 40 frames are 2.5 patches; silence fills the third
    rows = []
    for clip in padded:
        tokens = [network.token[0, 0]]
        for band in range(2):
            for frame in range(3):
                patch = clip[0, 16 * band : 16 * band + 16, 16 * frame : 16 * frame + 16]
                token = (network.patches.weight[:, 0] * patch).sum((1, 2)) + network.patches.bias
                tokens.append(token + network.frequency[0, :, band, 0] + network.time[0, :, 0, frame])
        normed = torch.stack([network.norm(token) for token in tokens])
        rows.append(torch.cat([normed[0], normed[1:].mean(0)]))
    torch.testing.assert_close(network(mel), torch.stack(rows), rtol=1e-5, atol=1e-5)


def test_time_positions_repeat_after_their_period() -> None:
    network = tiny(period=2)
    nn.init.zeros_(network.patches.weight)
    seen: list[torch.Tensor] = []
    network.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.zeros(1, 1, 32, 80))  # 5 tokens in time
    grid = seen[0][0, 1:].reshape(2, 5, 8) - network.patches.bias - network.frequency[0, :, :, 0].T[:, None]
    positions = network.time[0, :, 0].T  # [2, W]
    torch.testing.assert_close(grid[1], positions[[0, 1, 0, 1, 0]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 64, 250, 1292])
def test_any_length_is_taken_and_a_patch_of_silence_changes_the_clip(frames: int) -> None:
    network = tiny(layers=1)
    mel = torch.rand(1, 1, 32, frames) * 2 - 1
    with torch.no_grad():
        features = network(mel)
        filled = network(nn.functional.pad(mel, (0, -frames % 16), value=-1.0))
        longer = network(nn.functional.pad(mel, (0, -frames % 16 + 16), value=-1.0))
    assert features.shape == (1, network.width) == (1, 16)
    torch.testing.assert_close(features, filled, rtol=0, atol=0)
    assert (features - longer).abs().max() > 1e-4


def test_every_part_of_the_baseline_learns() -> None:
    teacher = build_teacher(VitConfig(size="ast", width=16, layers=2, heads=2, frames=250, period_frames=64)).train()
    output = teacher(torch.rand(2, 1, 128, 250) * 2 - 1)
    (output.emotion.sum() + output.rater_sd.sum()).backward()
    silent = [name for name, p in teacher.named_parameters() if p.grad is None or float(p.grad.abs().max()) == 0]
    assert silent == []


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"period_frames": 100}, "period_frames 100"),
        ({"bands": 100}, "bands 100"),
        ({"width": 30, "heads": 4}, "width 30"),
        ({"layers": 0}, "layers 0"),
    ],
)
def test_geometry_that_cannot_work_is_refused(options: dict[str, int], match: str) -> None:
    with pytest.raises(PocketmoodError, match=match):
        VitConfig(size="ast", **options)
    assert VitConfig(size="ast", frames=1292).frames == 1292  # no multiple of 16: padded


def test_the_pretrained_one_sees_its_own_frames_and_level_and_pools_both_tokens(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "tiny-ast", "ast-base")
    teacher = build_teacher(VitConfig(size="ast-base", stride=1, frames=1292, weights=weights)).eval()
    model = teacher.backbone.backbone
    seen: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["input_values"]), with_kwargs=True)
    band = torch.linspace(-1, 1, 128)
    mel = (AUDIO_MEAN + AUDIO_DEVIATION * band)[None, None, :, None].expand(2, 1, 128, 1292)
    with torch.no_grad():
        features = teacher(mel).features
        states = model(input_values=seen[0]).last_hidden_state
    assert seen[0].shape == (2, 64, 128)
    # Our mean becomes 0 and our deviation .5; constant in time, so resizing changes nothing.
    torch.testing.assert_close(seen[0][1, 33], band / 2, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(features, (states[:, 0] + states[:, 1]) / 2, rtol=1e-5, atol=1e-6)
    assert (states[:, 0] - states[:, 1]).abs().max() > 1e-2


def test_the_pretrained_one_keeps_the_order_of_time(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "tiny-ast", "ast-base")
    teacher = build_teacher(VitConfig(size="ast-base", stride=1, frames=1292, weights=weights)).eval()
    seen: list[torch.Tensor] = []
    teacher.backbone.backbone.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_values"]), with_kwargs=True
    )
    mel = torch.linspace(-1, 1, 256).expand(1, 1, 128, 256)
    with torch.no_grad():
        teacher(mel)
    # 256 frames to 64: bilinear takes the middle of each four, frames 1 and 2.
    wanted = (mel[0, 0, 0, 1::4] + mel[0, 0, 0, 2::4]) / 2
    level = seen[0][0, :, 7] / 0.5 * AUDIO_DEVIATION + AUDIO_MEAN
    torch.testing.assert_close(level, wanted, rtol=1e-5, atol=1e-6)
