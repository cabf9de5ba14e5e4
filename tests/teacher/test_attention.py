"""Attention rollout: the product by hand, rows that sum to 1, the same predictions, and its picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pocketmood.spec import MelSpec
from teacher import attention_picture
from teacher.attention import attend, rollout
from teacher.attention_picture import Look, draw, examples, look
from teacher.config import VitConfig
from teacher.record import SavedTeacher
from teacher.vit import Teacher, build_teacher
from tests.helpers.fine_tuned import fine_tuned
from tests.helpers.tiny_weights import write_weights

SHAPE = {"width": 16, "layers": 2, "heads": 2, "period_frames": 32, "bands": 32}
GRIDS = {"small": (2, 4), "ast": (2, 5), "base": (4, 4), "ast-base": (12, 5)}
"""Of 32 bands (128 for "ast-base") and 70 frames: the stem drops a rest, AST pads it, the others resize."""


@pytest.fixture(params=list(GRIDS))
def teacher(request: pytest.FixtureRequest, tmp_path: Path) -> Teacher:
    """A teacher of each kind, two layers, random weights."""
    size = request.param
    torch.manual_seed(0)
    if size in ("small", "ast"):
        made = build_teacher(VitConfig(size=size, **SHAPE))  # type: ignore[arg-type]
    else:
        made = build_teacher(VitConfig(size=size, stride=1, weights=write_weights(tmp_path, size)))
    # Ten times the usual first weights: at a deviation of .02 attention is even, and any mistake would pass.
    with torch.no_grad():
        for layer in made.backbone.layers:
            for parameter in layer.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
    return made.eval()


def mels(teacher: Teacher, size: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(3, 1, 128 if size == "ast-base" else 32, 70, generator=generator) * 2 - 1


def test_two_layers_of_three_tokens_by_hand() -> None:
    # Heads (1, 0, 0) and (0, 1, 0) have the mean (.5, .5, 0); the second layer has one row apiece of its own.
    first = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0], [0, 0, 1]]])
    second = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0.5, 0.5, 0]]).expand(2, 3, 3)
    # (A + I) / 2: [[.75, .25, 0], [0, 1, 0], [0, 0, 1]] and [[.5, 0, .5], [.5, .5, 0], [.25, .25, .5]]; second @ first:
    expected = torch.tensor([[0.375, 0.125, 0.5], [0.375, 0.625, 0.0], [0.1875, 0.3125, 0.5]])
    torch.testing.assert_close(rollout([first[None], second[None]])[0], expected, rtol=0, atol=1e-6)
    # Not the other way round: layers do not commute.
    assert (rollout([second[None], first[None]])[0] - expected).abs().max() > 0.05


def test_rows_sum_to_1_whatever_half_precision_made_of_them() -> None:
    torch.manual_seed(0)
    layers = [torch.softmax(2 * torch.randn(2, 4, 7, 7), -1) * scale for scale in (1.0, 1.01, 0.98)]
    torch.testing.assert_close(rollout(layers).sum(2), torch.ones(2, 7), rtol=0, atol=1e-6)
    assert rollout(layers).min() > 0


def test_predictions_are_those_without_the_record(teacher: Teacher, request: pytest.FixtureRequest) -> None:
    size = request.node.callspec.params["teacher"]
    mel = mels(teacher, size)
    with torch.no_grad():
        plain = teacher(mel)  # torch's fused layers, or transformers' fused attention
    seen = attend(teacher, mel)
    for found, expected in zip(seen.output, plain, strict=True):
        # Emotions in [-1, 1], features of order 1: the same products in another order, float32.
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        after = teacher(mel)
    assert all(torch.equal(a, b) for a, b in zip(after, plain, strict=True))  # no hook and no setting stays behind


def test_shares_have_the_grid_of_patches_and_sum_to_1(teacher: Teacher, request: pytest.FixtureRequest) -> None:
    size = request.node.callspec.params["teacher"]
    seen = attend(teacher, mels(teacher, size))
    rows, columns = GRIDS[size]
    special = {"small": 0, "ast": 1, "base": 1, "ast-base": 2}[size]
    tokens = rows * columns + special
    assert [weights.shape for weights in seen.layers] == [(3, 2, tokens, tokens)] * 2
    for weights in seen.layers:
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, tokens), rtol=0, atol=1e-5)
    torch.testing.assert_close(seen.readout.sum(1), torch.ones(3), rtol=0, atol=1e-6)
    relevance = seen.relevance()
    assert relevance.shape == (3, rows, columns) and relevance.min() > 0
    torch.testing.assert_close(relevance.sum((1, 2)), torch.ones(3), rtol=0, atol=1e-5)
    assert relevance.std() > 1e-4  # random weights, but not an even picture


def test_recorded_weights_are_those_that_the_hybrid_mixes_by() -> None:
    torch.manual_seed(0)
    teacher = build_teacher(VitConfig(**SHAPE)).eval()  # type: ignore[arg-type]
    mel = mels(teacher, "small")
    seen = attend(teacher, mel)
    backbone = teacher.backbone
    with torch.no_grad():
        x = backbone.placed(backbone.stem(mel)).flatten(2).transpose(1, 2)
        for layer, weights in zip(backbone.layers, seen.layers, strict=True):
            # A layer written out, with the recorded weights in the place of its own softmax.
            heads, normed = layer.self_attn.num_heads, layer.norm1(x)
            value = nn.functional.linear(
                normed, *(part.chunk(3)[2] for part in (layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias))
            )
            mixed = weights @ value.unflatten(2, (heads, -1)).transpose(1, 2)
            x = x + layer.self_attn.out_proj(mixed.transpose(1, 2).flatten(2))
            x = x + layer.linear2(layer.activation(layer.linear1(layer.norm2(x))))
        tokens = backbone.norm(x)
    features = torch.cat([tokens.mean(1), tokens.amax(1)], 1)
    torch.testing.assert_close(features, seen.output.features, rtol=1e-5, atol=1e-5)

    # The readout: an even share for the mean, and for the maximum the share of values that a token provides.
    slow = np.full(tuple(tokens.shape[:2]), 0.5 / tokens.shape[1])
    for clip in range(len(tokens)):
        for unit in range(tokens.shape[2]):
            slow[clip, int(tokens[clip, :, unit].argmax())] += 0.5 / tokens.shape[2]
    np.testing.assert_allclose(seen.readout.numpy(), slow, rtol=0, atol=1e-6)


def test_a_patch_that_all_look_at_is_the_bright_one() -> None:
    """Attention towards the token of one place is seen at that place: bands are rows, low ones first."""
    torch.manual_seed(0)
    teacher = build_teacher(VitConfig(**SHAPE)).eval()  # type: ignore[arg-type]
    mel = torch.full((1, 1, 32, 64), -1.0)
    mel[..., 16:, 32:48] = 1.0  # high bands, third column
    with torch.no_grad():
        # Tokens of that place become something else than all others, and queries that want just this.
        tokens = teacher.backbone.norm(teacher.backbone.placed(teacher.backbone.stem(mel)).flatten(2).transpose(1, 2))
        odd = tokens[0, 1 * 4 + 2] - tokens[0].mean(0)
        for layer in teacher.backbone.layers:
            width = layer.self_attn.embed_dim
            layer.self_attn.in_proj_weight[:width] = 0
            layer.self_attn.in_proj_bias[:width] = 20 * odd
            layer.self_attn.in_proj_weight[width : 2 * width] = torch.eye(width)
            layer.self_attn.in_proj_bias[width:] = 0
    relevance = attend(teacher, mel).relevance()[0]
    assert divmod(int(relevance.argmax()), 4) == (1, 2)


def test_one_song_per_quadrant_the_furthest_from_both_axes() -> None:
    labels = np.array([[0.9, 0.01], [0.3, 0.4], [-0.2, 0.5], [-0.1, -0.1], [-0.4, -0.3]])
    assert examples(labels) == [1, 2, 4]  # nobody is in the fourth
    assert examples(np.zeros((0, 2))) == []


def test_a_look_has_the_songs_seconds_and_its_prediction() -> None:
    torch.manual_seed(0)
    config = VitConfig(width=16, layers=1, heads=2, period_frames=64)
    teacher, spec = build_teacher(config).eval(), MelSpec()
    wave = np.random.default_rng(0).uniform(-0.1, 0.1, spec.samples).astype(np.float32)
    one = look(teacher, SavedTeacher(config, None, fine_tuned()), wave, "a $song$")
    assert one.mel.shape == (128, 256) and one.relevance.shape == (8, 16)
    assert one.seconds == pytest.approx(256 * 5 * 512 / 22_050, rel=0, abs=1e-9)
    assert one.title.startswith("a $song$\npredicted ") and one.heat.mean() == pytest.approx(1, rel=0, abs=1e-5)


def test_the_picture_has_axes_in_seconds_and_hertz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **how: (figures.append(figure), save(figure, *args, **how))
    )
    relevance = np.full((2, 4), 0.1, np.float32)
    relevance[1, 2] = 0.3
    looks = [Look(f"song {n}", np.zeros((128, 64), np.float32), relevance, 29.7) for n in range(3)]
    draw(looks, tmp_path / "folder" / "a.png")
    assert (tmp_path / "folder" / "a.png").read_bytes().startswith(b"\x89PNG")
    main, by_band, by_time = figures[0].axes[:3]
    assert main.get_xlim() == (0, 29.7) and by_time.get_xlabel() == "s" and main.get_ylabel() == "Hz"
    places = dict(zip([text.get_text() for text in main.get_yticklabels()], main.get_yticks(), strict=True))
    assert places["1 000"] == pytest.approx(15, rel=0, abs=1e-9)  # Slaney's mels: 1 kHz is 15
    assert places["200"] == pytest.approx(3, rel=0, abs=1e-9)
    heat = main.images[1].get_array()
    # The brightest patch is opaque, one with less than an even share cannot be seen; the low band is at the bottom.
    assert heat[1, 2, 3] == pytest.approx(attention_picture._OPAQUE, rel=0, abs=1e-6) and heat[0, 0, 3] == 0
    assert main.images[1].origin == "lower" and by_band.get_title() == "by band"
