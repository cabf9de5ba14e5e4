"""Backbones with published weights: ViT-B/16 on a picture, and an audio spectrogram transformer (AST).

Both map the front end's spectrogram [B, 1, M, T] in [-1, 1] to features [B, width]. Where their weights come from is
found out by `pocketmood.training.weights`; here they are read from a folder: safetensors only, a pickle runs code when
read.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from pocketmood.errors import RunError
from pocketmood.training.weights import FirstWeights
from teacher.config import TITLES

_IMAGE_MEAN, _IMAGE_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
AUDIO_MEAN, AUDIO_DEVIATION = -0.47, 0.38
"""Of all values of our spectrograms, measured on 64 training songs of the stand-in corpus:

    mels = torch.cat([mel for _, mel in whole_mels(store, split.train[:64], MelFrontEnd())])
    mels.mean(), mels.std()  # -0.469, 0.381; halves of them differ by .01 and .002
"""
_AST_DEVIATION = 0.5
"""Deviation of the inputs that the published AST was trained on; their mean is 0."""


class Pretrained(nn.Module):
    """A model of `transformers` with what our own backbones have: `width`, `layers`, `final_norm`."""

    title: ClassVar[str]
    """What people call the network."""
    model_name: ClassVar[str]
    config_name: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    """For the model's constructor."""

    def __init__(self, backbone: nn.Module, source: str = "random") -> None:
        """Wrap a model; `source` says where its weights came from."""
        super().__init__()
        self.backbone, self.source = backbone, source
        self.config = cast("Any", backbone.config)
        self.width: int = self.config.hidden_size

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer layers, first to last."""
        return cast("nn.ModuleList", self.backbone.layers)

    @property
    def final_norm(self) -> nn.Module:
        """The norm above the last layer."""
        return cast("nn.Module", self.backbone.layernorm)

    @property
    def architecture(self) -> dict[str, Any]:
        """All numbers of the model, from which `bare_backbone` builds it again."""
        # use_diff=False: with differences only, another version's defaults would build another network.
        values: dict[str, Any] = json.loads(self.config.to_json_string(use_diff=False))
        return values


class ImageVit(Pretrained):
    """A vision transformer that sees the spectrogram as a picture; its features are the CLS token."""

    title = TITLES["base"]
    model_name, config_name = "ViTModel", "ViTConfig"
    # Features are the CLS token: a pooling layer behind it would only be there to stay random.
    options: ClassVar[dict[str, Any]] = {"add_pooling_layer": False}

    def __init__(self, backbone: nn.Module, source: str = "random") -> None:
        """Wrap a `transformers.ViTModel`."""
        super().__init__(backbone, source)
        self.size: int = self.config.image_size
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor(_IMAGE_MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(_IMAGE_DEVIATION).reshape(1, 3, 1, 1))

    def forward(self, mel: Tensor) -> Tensor:
        """Resize, bring [-1, 1] to the pixel range [0, 1], repeat to three channels, normalise as ImageNet was."""
        image = nn.functional.interpolate(mel, (self.size, self.size), mode="bilinear", align_corners=False)
        image = ((image + 1) / 2 - self.mean) / self.deviation  # [B, 3, size, size]
        states: Tensor = self.backbone(pixel_values=image).last_hidden_state
        return states[:, 0]


class AudioAst(Pretrained):
    """A pretrained AST; its features are the mean of CLS and distillation token, which the published head reads.

    What it was trained on is not our spectrogram: Kaldi's filterbank of 16 kHz audio (windows of 25 ms every 10 ms,
    natural log, HTK mels up to 8 kHz), 10.24 s in 1024 frames. Here 30 s are squeezed into as many, our bands reach
    11 kHz, and one fixed affine map brings levels to the mean and deviation it knows. So it must be fine-tuned: its
    features as they are mean little.
    """

    title = TITLES["ast-base"]
    model_name, config_name = "ASTModel", "ASTConfig"

    def forward(self, mel: Tensor) -> Tensor:
        """Resize to the model's frames (and its bands, where it has other than ours), then scale the level."""
        size = (self.config.num_mel_bins, self.config.max_length)
        image = nn.functional.interpolate(mel, size, mode="bilinear", align_corners=False)[:, 0]  # [B, M, 1024]
        values = (image - AUDIO_MEAN) * (_AST_DEVIATION / AUDIO_DEVIATION)
        features: Tensor = self.backbone(input_values=values.transpose(1, 2)).pooler_output
        return features


_KINDS: dict[str, type[Pretrained]] = {"base": ImageVit, "ast-base": AudioAst}


def bare_backbone(size: str, architecture: dict[str, Any] | None = None) -> Pretrained:
    """Build a backbone with random weights: as published, or by the numbers of `architecture`."""
    import transformers

    kind = _KINDS[size]
    config = getattr(transformers, kind.config_name).from_dict(architecture or {})
    return kind(getattr(transformers, kind.model_name)(config, **kind.options))


def pretrained_backbone(size: str, first: FirstWeights) -> Pretrained:
    """Build a backbone with the weights that were found, or with random ones and a loud warning.

    The result's `source` says which, in a phrase.
    """
    kind = _KINDS[size]
    if first.place:
        return kind(_from_pretrained(kind, str(Path(first.place).parent)), str(first))
    _shout(f"{kind.title} STARTS FROM RANDOM WEIGHTS ({first.reason})")
    return bare_backbone(size)


def _from_pretrained(kind: type[Pretrained], folder: str) -> nn.Module:
    """Load safetensors weights only, and refuse a checkpoint that leaves part of the network random."""
    import transformers

    try:
        model, report = getattr(transformers, kind.model_name).from_pretrained(
            folder, **kind.options, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, TypeError, RuntimeError) as error:  # numbers that make no network, or another one
        raise RunError(f"{folder}: config.json and weights do not fit together as a {kind.title} ({error})") from error
    if report["missing_keys"]:
        raise RunError(f"{folder}: the checkpoint lacks {len(report['missing_keys'])} of the {kind.title}'s tensors")
    return cast("nn.Module", model)


def _shout(message: str) -> None:
    """Warn twice: a box on standard output for people, and a Python warning for programs."""
    lines = [message, "Trained from scratch on a few hundred songs, it will hardly beat the ridge floor."]
    bar = "!" * (max(map(len, lines)) + 6)
    print("\n".join([bar, *(f"!! {line.ljust(len(bar) - 6)} !!" for line in lines), bar]), flush=True)
    warnings.warn(message, stacklevel=4)
