"""The teacher network: shapes, its two sizes, the three tiers of weights, and the way to disk and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pocketmood.errors import RunError
from teacher.config import VitConfig
from teacher.vit import (
    SPREAD_FLOOR,
    StemVit,
    build_teacher,
    load_teacher,
    pretrained_backbone,
    save_teacher,
    weights_source,
)

SMALL = VitConfig(width=32, layers=1, heads=2, period_frames=64)


@pytest.fixture
def tiny_weights(tmp_path: Path) -> Path:
    """Return a folder as `save_pretrained` makes it, of a ViT with 2 layers on 32 x 32 pictures."""
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(1)
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "tiny-vit")
    return tmp_path / "tiny-vit"


def test_the_demo_network_has_the_measured_size() -> None:
    teacher = build_teacher(VitConfig())
    assert sum(parameter.numel() for parameter in teacher.parameters()) == 365_684
    assert weights_source(teacher) == "random"


@pytest.mark.parametrize("frames", [16, 64, 128, 256])
def test_small_answers_for_any_multiple_of_16_frames(frames: int) -> None:
    torch.manual_seed(0)
    output = build_teacher(SMALL).eval()(torch.rand(2, 1, 128, frames) * 2 - 1)
    assert output.emotion.shape == output.spread.shape == (2, 2) and output.features.shape == (2, 64)
    assert output.emotion.abs().max() < 1 and output.spread.min() > SPREAD_FLOOR
    # Before training the spread is a listener's typical one, give or take the random head.
    assert 0.2 < output.spread.mean() < 0.9


def test_stem_reduces_sixteen_fold_and_pooling_is_mean_and_maximum() -> None:
    torch.manual_seed(0)
    network = StemVit(width=16, layers=0, heads=2, bands=128, period=4, dropout=0.0).eval()
    mel = torch.rand(1, 1, 128, 64)
    tokens = network.stem(mel)
    assert tokens.shape == (1, 16, 8, 4)
    tokens = network.norm((tokens + network.frequency + network.time).flatten(2).transpose(1, 2))
    expected = torch.cat([tokens.mean(1), tokens.max(1).values], 1)
    torch.testing.assert_close(network(mel), expected, rtol=1e-5, atol=1e-6)


def test_time_positions_repeat_after_their_period() -> None:
    torch.manual_seed(0)
    network = StemVit(width=16, layers=0, heads=2, bands=128, period=2, dropout=0.0).eval()
    network.stem = nn.AvgPool2d(16)  # type: ignore[assignment]  # tokens of one channel, broadcast over the width
    seen: list[torch.Tensor] = []
    network.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.zeros(1, 1, 128, 80))  # 5 tokens in time
    grid = (seen[0] - network.frequency.expand(1, 16, 8, 5).flatten(2).transpose(1, 2))[0].reshape(8, 5, 16)
    positions = network.time[0, :, 0].T  # [2, W]
    torch.testing.assert_close(grid[3], positions[[0, 1, 0, 1, 0]], rtol=1e-5, atol=1e-6)


def test_base_sees_a_normalised_picture_and_answers_through_the_class_token(tiny_weights: Path) -> None:
    config = VitConfig(size="base", stride=1, frames=1292, hidden=8, weights=tiny_weights)
    teacher = build_teacher(config).eval()
    assert weights_source(teacher) == "folder tiny-vit"
    seen: list[torch.Tensor] = []
    teacher.backbone.backbone.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True
    )
    mel = torch.full((2, 1, 128, 1292), 0.5)
    output = teacher(mel)
    # By hand: 0.5 in [-1, 1] is 0.75 in [0, 1]; red: (0.75 - 0.485) / 0.229.
    assert seen[0].shape == (2, 3, 32, 32)
    torch.testing.assert_close(seen[0][0, :, 5, 5], torch.tensor([1.157205, 1.3125, 1.5288889]), rtol=1e-5, atol=1e-5)
    token = teacher.backbone.backbone(pixel_values=seen[0]).last_hidden_state[:, 0]
    torch.testing.assert_close(output.features, token, rtol=1e-5, atol=1e-6)
    first, _, _, last = teacher.emotion
    expected = torch.tanh(last(nn.functional.gelu(first(token))))
    torch.testing.assert_close(output.emotion, expected, rtol=1e-5, atol=1e-6)


def test_first_tier_loads_the_folder_and_refuses_a_missing_one(tiny_weights: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model, source = pretrained_backbone(tiny_weights, hub="")
    stored = load_file(tiny_weights / "model.safetensors")
    # The class token keeps its name over versions of transformers; layer names do not.
    (token,) = [value for name, value in stored.items() if name.endswith("cls_token")]
    torch.testing.assert_close(model.embeddings.cls_token, token, rtol=0, atol=0)
    assert source == "folder tiny-vit"
    with pytest.raises(RunError, match=r"nowhere: no config\.json"):
        pretrained_backbone(tmp_path / "nowhere", hub="")


def test_a_checkpoint_that_leaves_layers_random_is_refused(tiny_weights: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = tiny_weights / "model.safetensors"
    tensors = {name: value for name, value in load_file(path).items() if "layernorm_before" not in name}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(RunError, match="lacks 4 of the ViT's tensors"):
        pretrained_backbone(tiny_weights, hub="")


def test_second_tier_asks_the_hub_for_safetensors_only(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import ViTModel

    asked: list[tuple[str, dict[str, object]]] = []
    local = ViTModel.from_pretrained

    def fake_hub(name: str, **options: object) -> object:
        asked.append((name, options))
        return local(str(tiny_weights), **options)

    monkeypatch.setattr(ViTModel, "from_pretrained", fake_hub)
    _, source = pretrained_backbone(None, "someone/some-vit")
    assert source == "hub someone/some-vit" and asked[0][0] == "someone/some-vit"
    assert asked[0][1]["use_safetensors"] is True


def test_third_tier_is_random_and_cannot_be_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import transformers

    def unreachable(*args: object, **options: object) -> object:
        raise OSError("We couldn't connect")

    monkeypatch.setattr(transformers.ViTModel, "from_pretrained", unreachable)
    with pytest.warns(UserWarning, match="RANDOM WEIGHTS"):
        model, source = pretrained_backbone(None, "google/vit-base-patch16-224-in21k")
    assert source == "random"
    assert (model.config.hidden_size, model.config.num_hidden_layers, model.config.patch_size) == (768, 12, 16)
    out = capsys.readouterr().out
    assert "!! ViT-B/16 STARTS FROM RANDOM WEIGHTS (We couldn't connect)" in out


@pytest.mark.parametrize("size", ["small", "base"])
def test_saved_and_loaded_teachers_answer_alike(size: str, tmp_path: Path, tiny_weights: Path) -> None:
    torch.manual_seed(0)
    base = VitConfig(size="base", stride=1, frames=1292, hidden=8, weights=tiny_weights)
    config = SMALL if size == "small" else base
    teacher = build_teacher(config).eval()
    save_teacher(tmp_path / "saved", teacher, config, training_clips=7)
    again, values = load_teacher(tmp_path / "saved")
    mel = torch.rand(1, 1, 128, 64) * 2 - 1
    with torch.no_grad():
        for one, other in zip(teacher(mel), again(mel), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    assert values["training_clips"] == 7 and values["vit"]["weights"] is None and not again.training


def test_no_teacher_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="python -m teacher --run"):
        load_teacher(tmp_path / "teacher")
