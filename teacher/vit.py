"""The teacher: one class over four backbones, two trained from scratch and two with published weights.

Conventions: input is the front end's spectrogram [B, 1, M, T] in [-1, 1] at the config's frame stride. `emotion` [B, 2]
lies in (-1, 1); `spread` [B, 2] is the standard deviation expected of one listener's rating, above `SPREAD_FLOOR`.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pocketmood.errors import RunError
from teacher.ast import Ast
from teacher.config import VitConfig
from teacher.pretrained import Pretrained, bare_backbone, pretrained_backbone

SPREAD_FLOOR = 0.02
"""Smallest spread a teacher can answer; a rating step is .25."""
_SPREAD_START = 0.45
"""Spread before training: a DEAM listener's typical deviation of 1.8 rating points."""


class TeacherOutput(NamedTuple):
    """What a teacher answers for a batch."""

    emotion: Tensor
    """[B, 2] valence and arousal in (-1, 1)."""
    spread: Tensor
    """[B, 2] standard deviation expected of one listener's rating."""
    features: Tensor
    """[B, F] pooled features, for distillation."""


class StemVit(nn.Module):
    """A transformer behind a convolutional stem that halves both sides per stage; [B, 1, M, T] -> [B, 2 * width].

    On a few hundred songs a transformer on raw patches stays below a ridge regression; with the stem it does not.
    """

    def __init__(self, width: int, layers: int, heads: int, bands: int, period: int, dropout: float) -> None:
        """Four stages of stem; `period` time positions are learnt and repeat, so any length finds trained ones."""
        super().__init__()
        channels = (1, width // 8, width // 4, width // 2, width)
        stages = [_stage(inputs, outputs) for inputs, outputs in pairwise(channels)]
        self.stem = nn.Sequential(*stages).to(memory_format=torch.channels_last)
        self.frequency = nn.Parameter(torch.randn(1, width, bands // 16, 1) * 0.02)
        self.time = nn.Parameter(torch.randn(1, width, 1, period) * 0.02)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.width = 2 * width

    def forward(self, mel: Tensor) -> Tensor:
        """Pool the tokens of a spectrogram: their mean and their maximum, side by side."""
        x = self.stem(mel.contiguous(memory_format=torch.channels_last))  # [B, W, M / 16, T / 16]
        repeats = -(-x.shape[3] // self.time.shape[3])
        x = x + self.frequency + self.time.repeat(1, 1, 1, repeats)[..., : x.shape[3]]
        tokens = x.flatten(2).transpose(1, 2)  # [B, tokens, W]
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return torch.cat([tokens.mean(1), tokens.amax(1)], 1)

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer layers, first to last."""
        return self.blocks

    @property
    def final_norm(self) -> nn.Module:
        """The norm above the last layer."""
        return self.norm


Backbone = StemVit | Ast | Pretrained


class Teacher(nn.Module):
    """A backbone with two heads: where the emotion lies, and how far listeners will spread around it."""

    def __init__(self, backbone: Backbone, hidden: int, dropout: float) -> None:
        """`hidden` units between features and answers; 0 puts the answers right on the features."""
        super().__init__()
        self.backbone = backbone
        self.emotion = _head(backbone.width, hidden, dropout)
        self.spread = _head(backbone.width, hidden, dropout)
        nn.init.constant_(self.spread[-1].bias, math.log(math.expm1(_SPREAD_START)))  # type: ignore[arg-type]

    def forward(self, mel: Tensor) -> TeacherOutput:
        """Answer for spectrograms [B, 1, M, T]."""
        features = self.backbone(mel)
        # The spread must not bend the features: they are judged by the emotion alone.
        spread = SPREAD_FLOOR + nn.functional.softplus(self.spread(features.detach()))
        return TeacherOutput(torch.tanh(self.emotion(features)), spread, features)


def build_teacher(config: VitConfig, architecture: dict[str, Any] | None = None) -> Teacher:
    """Build a teacher to train: random weights for "small" and "ast", the best of three tiers for the other sizes.

    `architecture` (a transformers config as a dict) builds those bare, for weights that are about to be loaded.
    """
    shape = (config.width, config.layers, config.heads, config.bands, config.period_frames // 16, config.dropout)
    backbone: Backbone
    if config.size == "small":
        backbone = StemVit(*shape)
    elif config.size == "ast":
        backbone = Ast(*shape)
    elif architecture is not None:
        backbone = bare_backbone(config.size, architecture)
    else:
        backbone = pretrained_backbone(config.size, config.weights, config.hub_name)
    return Teacher(backbone, config.hidden, config.dropout)


def weights_source(teacher: Teacher) -> str:
    """Say where the backbone's weights came from; "random" also for a network that starts from scratch on purpose."""
    return str(getattr(teacher.backbone, "source", "random"))


def encoder_layers(teacher: Teacher) -> list[nn.Module]:
    """List the transformer layers of the backbone, first (next to the input) to last."""
    return list(teacher.backbone.layers)


def final_norm(teacher: Teacher) -> nn.Module:
    """Return the norm between the last transformer layer and the heads; it learns whenever the last layer does."""
    return teacher.backbone.final_norm


def save_teacher(folder: Path, teacher: Teacher, config: VitConfig, **facts: Any) -> None:
    """Write model.safetensors and config.json (the network's config, its architecture, and `facts` beside them)."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in teacher.state_dict().items()}
    temporary = folder / "model.safetensors.part"
    save_file(state, temporary)
    temporary.replace(folder / "model.safetensors")
    architecture = teacher.backbone.architecture if isinstance(teacher.backbone, Pretrained) else None
    values = {"vit": asdict(config) | {"weights": None}, "architecture": architecture, **facts}
    (folder / "config.json").write_text(json.dumps(values, indent=1, default=str) + "\n", encoding="utf-8")


def load_teacher(folder: Path) -> tuple[Teacher, dict[str, Any]]:
    """Read a teacher (in evaluation mode) and the values of its config.json."""
    path = folder / "config.json"
    if not path.is_file() or not (folder / "model.safetensors").is_file():
        raise RunError(f"{folder}: no trained teacher here; run: python -m teacher --run {folder.parent}")
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    teacher = build_teacher(VitConfig(**values["vit"]), values["architecture"] or {})
    teacher.load_state_dict(load_file(folder / "model.safetensors"))
    return teacher.eval(), values


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    """One stage of the stem: 3x3 convolution at stride 1, batch norm, ReLU, 2x2 maximum.

    ReLU and maximum commute; in this order ReLU has a quarter of the values, and the stem takes 30 % less time.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.MaxPool2d(2), nn.ReLU()
    )


def _head(inputs: int, hidden: int, dropout: float) -> nn.Sequential:
    """Map features to two numbers, through a hidden layer where one is asked for."""
    if hidden == 0:
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, 2))
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, 2))
