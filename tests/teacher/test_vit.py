"""The teacher network: shapes, its sizes, the three tiers of weights, and the way to disk and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from pocketmood.emotion import RATER_SD_FLOOR
from pocketmood.errors import PocketmoodError, RunError
from pocketmood.training.weights import FirstWeights, find
from teacher.config import HUB_NAMES, VitConfig
from teacher.pretrained import Pretrained, pretrained_backbone
from teacher.vit import (
    StemVit,
    build_teacher,
    encoder_layers,
    final_norm,
    load_teacher,
    save_teacher,
    weights_source,
)
from tests.helpers import fake_hub
from tests.helpers.fine_tuned import fine_tuned
from tests.helpers.tiny_weights import write_weights

SMALL = VitConfig(width=32, layers=1, heads=2, period_frames=64)
TITLES = {"base": "ViT-B/16", "ast-base": "AST"}


@pytest.fixture
def tiny_weights(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "tiny-vit", "base")


def any_size(size: str, folder: Path) -> VitConfig:
    """Return a tiny network of a size; `folder` is where it finds weights, where it takes any."""
    if size in HUB_NAMES:
        weights = write_weights(folder / f"tiny-{size}", size)
        return VitConfig(size=size, stride=1, frames=1292, hidden=8, weights=weights)
    return VitConfig(size=size, width=32, layers=2, heads=2, period_frames=64)


def test_the_demo_network_has_the_measured_size() -> None:
    teacher = build_teacher(VitConfig())
    assert sum(parameter.numel() for parameter in teacher.parameters()) == 365_684
    assert weights_source(teacher) == "random"


@pytest.mark.parametrize("frames", [16, 64, 128, 256])
def test_small_predicts_for_any_multiple_of_16_frames(frames: int) -> None:
    torch.manual_seed(0)
    output = build_teacher(SMALL).eval()(torch.rand(2, 1, 128, frames) * 2 - 1)
    assert output.emotion.shape == output.rater_sd.shape == (2, 2) and output.features.shape == (2, 64)
    assert output.emotion.abs().max() < 1 and output.rater_sd.min() > RATER_SD_FLOOR
    # Before training rater_sd is a listener's typical one, give or take the random head.
    assert 0.2 < output.rater_sd.mean() < 0.9


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


def test_base_sees_a_normalised_picture_and_predicts_through_the_class_token(tiny_weights: Path) -> None:
    config = VitConfig(size="base", stride=1, frames=1292, hidden=8, weights=tiny_weights)
    teacher = build_teacher(config).eval()
    assert weights_source(teacher).startswith("folder tiny-vit, SHA-256 ")
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


def from_folder(size: str, folder: Path) -> Pretrained:
    return pretrained_backbone(size, find(VitConfig(size=size, stride=1, frames=1292, weights=folder).published()))


@pytest.mark.parametrize("size", HUB_NAMES)
def test_first_tier_loads_the_folder_and_refuses_a_missing_one(size: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = write_weights(tmp_path / "tiny", size)
    backbone = from_folder(size, folder)
    stored = load_file(folder / "model.safetensors")
    # The class token keeps its name over versions of transformers; layer names do not.
    (token,) = [value for name, value in stored.items() if name.endswith("cls_token")]
    torch.testing.assert_close(backbone.backbone.embeddings.cls_token, token, rtol=0, atol=0)
    assert backbone.source.startswith("folder tiny, SHA-256 ") and token.abs().max() > 0
    with pytest.raises(RunError, match=r"nowhere: no config\.json"):
        from_folder(size, tmp_path / "nowhere")


def test_a_checkpoint_that_leaves_layers_random_is_refused(tiny_weights: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = tiny_weights / "model.safetensors"
    tensors = {name: value for name, value in load_file(path).items() if "layernorm_before" not in name}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(RunError, match="lacks 4 of the ViT-B/16's tensors"):
        from_folder("base", tiny_weights)


@pytest.mark.parametrize("size", HUB_NAMES)
@pytest.mark.parametrize("name", [None, "someone/some-weights"])
def test_second_tier_fetches_safetensors_from_the_hub(
    size: str, name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = name or HUB_NAMES[size]
    write_weights(tmp_path / "hub" / wanted, size)
    with fake_hub.serve(tmp_path / "hub") as address:
        fake_hub.point_to(monkeypatch, address, tmp_path / "cache")
        teacher = build_teacher(VitConfig(size=size, stride=1, frames=1292, hub=name))
    assert weights_source(teacher).startswith(f"hub {wanted} at 0123456, SHA-256 ")
    assert len(encoder_layers(teacher)) == 2  # those of the hub's network, not the 12 of a random one


@pytest.mark.parametrize("size", HUB_NAMES)
def test_third_tier_is_random_and_cannot_be_missed(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with torch.device("meta"), pytest.warns(UserWarning, match="RANDOM WEIGHTS"):  # the real size, without its memory
        backbone = pretrained_backbone(size, FirstWeights("none", reason="We couldn't connect"))
    assert backbone.source == "random"
    config = backbone.backbone.config
    assert (config.hidden_size, config.num_hidden_layers, config.patch_size) == (768, 12, 16)
    out = capsys.readouterr().out
    assert f"!! {TITLES[size]} STARTS FROM RANDOM WEIGHTS (We couldn't connect)" in out


@pytest.mark.parametrize("size", ["small", "base", "ast", "ast-base"])
def test_saved_and_loaded_teachers_predict_alike(size: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = any_size(size, tmp_path)
    teacher = build_teacher(config).eval()
    save_teacher(tmp_path / "saved", teacher, config, fine_tuned(7))
    again, saved = load_teacher(tmp_path / "saved")
    mel = torch.rand(1, 1, 128, 64) * 2 - 1
    with torch.no_grad():
        for before, after in zip(teacher(mel), again(mel), strict=True):
            torch.testing.assert_close(before, after, rtol=1e-6, atol=1e-6)
    assert saved.training == fine_tuned(7) and saved.vit == replace(config, weights=None) and not again.training
    assert {path.suffix for path in (tmp_path / "saved").iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize("size", ["small", "base", "ast", "ast-base"])
def test_encoder_layers_come_first_to_last_and_the_norm_after_them(size: str, tmp_path: Path) -> None:
    teacher = build_teacher(any_size(size, tmp_path)).train()
    layers, order = encoder_layers(teacher), list[str]()
    assert len(layers) == 2
    for name, module in {"first": layers[0], "second": layers[1], "norm": final_norm(teacher)}.items():
        module.register_forward_hook(lambda *_, name=name: order.append(name))
    teacher(torch.rand(1, 1, 128, 64))
    assert order == ["first", "second", "norm"]
    # Whatever else learns lies below the first layer or above the norm.
    inside = {id(p) for module in (*layers, final_norm(teacher)) for p in module.parameters()}
    rest = [name for name, p in teacher.backbone.named_parameters() if id(p) not in inside]
    words = ("stem.", "patch", "frequency", "time", "token", "position_embeddings")
    assert rest and all(any(word in name for word in words) for name in rest)


def test_weights_for_a_network_from_scratch_are_refused() -> None:
    with pytest.raises(PocketmoodError, match="size 'ast' starts from scratch"):
        VitConfig(size="ast", weights=Path("somewhere"))


def test_no_teacher_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="python -m teacher --run"):
        load_teacher(tmp_path / "teacher")


def test_damaged_weights_are_one_line_with_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "teacher"
    save_teacher(folder, build_teacher(SMALL), SMALL, fine_tuned(7))
    (folder / "model.safetensors").write_bytes(b"no")
    with pytest.raises(
        RunError, match=r"model.safetensors: damaged.*delete .*teacher and run: python -m teacher --run"
    ):
        load_teacher(folder)
