"""Configuration of the teacher stage; the command line is built from these fields."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pocketmood.errors import ConfigError
from pocketmood.presets import DEFAULT_RUN
from pocketmood.training.variants import VariantsConfig
from pocketmood.training.weights import FOLDER_FILES, Published
from teacher.company.config import CompanyConfig
from teacher.gan.config import GanConfig
from teacher.musicnn.config import FrozenConfig, TunedConfig
from teacher.recipe import Recipe

PATCH = 16
"""Bands and frames that one token of "small" and of "ast" stands for."""
HUB_NAMES = {"base": "google/vit-base-patch16-224-in21k", "ast-base": "MIT/ast-finetuned-audioset-10-10-0.4593"}
"""The pretrained sizes, with the names that their weights were published under."""
TITLES = {"base": "ViT-B/16", "ast-base": "AST"}
"""What people call them."""
_KINDS = {"base": "vit", "ast-base": "audio-spectrogram-transformer"}
_TENSORS = {"base": (".cls_token", ".patch_embeddings.projection.weight"), "ast-base": (".distillation_token",)}
"""What their config.json, and some of their tensors, are called."""


@dataclass(frozen=True)
class VitConfig:
    """The network, and the geometry of what it looks at."""

    size: Literal["small", "base", "ast", "ast-base"] = "small"
    """"small": convolutional stem and a few layers, from scratch. "base": ViT-B/16 on a 224 x 224 picture, pretrained.
    "ast": audio spectrogram transformer on 16 x 16 patches, from scratch. "ast-base": the same idea at the size of
    "base", pretrained on AudioSet."""
    stride: int = 5
    """Every so-many-th frame of the spectrogram is looked at; the pretrained sizes resize all of them, so 1 there."""
    frames: int = 256
    """Frames of a whole clip at this stride; for "small" a multiple of 16; "ast" pads them to the next multiple."""
    width: int = 128
    """Width of a token ("small" and "ast")."""
    layers: int = 2
    """Transformer layers ("small" and "ast")."""
    heads: int = 4
    """Attention heads ("small" and "ast")."""
    bands: int = 128
    """Mel bands of the input."""
    period_frames: int = 128
    """Frames after which the learnt time positions repeat ("small" and "ast"); the length of a training crop."""
    hidden: int = 0
    """Units between features and predictions; 0 for none. The published head of "base" has 256."""
    dropout: float = 0.1
    """Share of values dropped in training."""
    weights: Path | None = None
    """Folder with pretrained weights ("base" and "ast-base"): the first tier."""
    hub: str | None = None
    """Name on the model hub ("base" and "ast-base"): the second tier; None for the name in HUB_NAMES, "" never asks."""

    def __post_init__(self) -> None:
        """Refuse a geometry that the network cannot take."""
        if self.stride < 1 or self.frames < 1:
            raise ConfigError(f"vit stride {self.stride} and frames {self.frames} must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"vit dropout {self.dropout} must lie in [0, 1)")
        if self.weights is not None and not self.pretrained:
            raise ConfigError(
                f"vit weights {self.weights}: size {self.size!r} starts from scratch; leave the folder out, or choose "
                f"one of the sizes {', '.join(HUB_NAMES)}"
            )
        # The pretrained sizes resize whatever they are given, and their widths come with the weights.
        if self.pretrained:
            return

        whole = ("frames", "bands", "period_frames") if self.size == "small" else ("bands", "period_frames")
        for name in whole:
            if getattr(self, name) % PATCH or getattr(self, name) < PATCH:
                raise ConfigError(f"vit {name} {getattr(self, name)} must be a multiple of {PATCH}")

        if min(self.layers, self.heads, self.width) < 1:
            raise ConfigError(f"vit layers {self.layers}, heads {self.heads} and width {self.width} must be at least 1")
        least = 8 if self.size == "small" else 1  # the stem begins with an eighth of the width
        if self.width % self.heads or self.width % least:
            raise ConfigError(f"vit width {self.width} must be a multiple of {least} and of {self.heads} heads")

    @property
    def pretrained(self) -> bool:
        """Tell whether the size starts from published weights."""
        return self.size in HUB_NAMES

    def without_place(self) -> VitConfig:
        """Leave out where first weights lie: what they are is an input of its own (`pocketmood.training.weights`)."""
        return replace(self, weights=None, hub=None)

    def published(self, part: str = "vit") -> Published:
        """Say what the weights of a pretrained size are, and where to look; part: the flags' first word."""
        hub_name = HUB_NAMES[self.size] if self.hub is None else self.hub
        kind, tensors = _KINDS[self.size], _TENSORS[self.size]
        place = (hub_name, self.weights, FOLDER_FILES, f"--{part}.weights")
        return Published(TITLES[self.size], *place, model_type=kind, tensors=tensors)


# 1296 frames are 81 patches, the whole clip of 1292 padded to one more: no position in time repeats.
AST = VitConfig(size="ast", stride=1, frames=1292, width=288, layers=6, heads=6, period_frames=1296)
"""The baseline that the full preset is compared with: about 6 M parameters on every frame of the clip."""
AST_DEMO = VitConfig(size="ast", stride=5, frames=256, width=128, layers=4, heads=4, period_frames=128)
"""The baseline for minutes on a CPU, on the frames that the small ViT looks at."""


@dataclass(frozen=True)
class FineTuneConfig(Recipe):
    """How the ViT is trained."""

    crop_frames: int = 128
    """Frames of a random training crop, at the network's stride; validation is on whole clips."""
    whole_batches: float = 0.0
    """Share of the training batches that hold whole clips instead of crops; each is drawn for itself."""

    def __post_init__(self) -> None:
        """Refuse numbers that train nothing."""
        super().__post_init__()
        if not 0 <= self.whole_batches <= 1:
            raise ConfigError(f"whole_batches {self.whole_batches} must lie in [0, 1]")


@dataclass(frozen=True)
class SoftTargetsConfig:
    """Crops that the teacher predicts for, once, for the student to learn from."""

    crops: int = 8
    """Fixed crops beside the whole clip, evenly over it."""
    crop_frames: int = 64
    """Frames of each of these crops, at the stride below; the student trains on crops of as many."""
    frames: int = 256
    """Frames of the whole clip."""
    stride: int = 5
    """Frame stride of the student, in which these crops are counted."""
    ask: Literal["crops", "whole"] = "crops"
    """What the teacher hears for a crop's soft target: the crop itself, or the whole clip that it was cut from."""

    def __post_init__(self) -> None:
        """Refuse crops that are longer than the clip."""
        if self.crops < 0 or not 1 <= self.crop_frames <= self.frames or self.stride < 1:
            raise ConfigError(
                f"soft targets: {self.crops} crops of {self.crop_frames} frames do not fit {self.frames} frames"
            )


@dataclass(frozen=True)
class TeacherConfig:
    """The teacher stage: GAN, synthesis, quality gate, fine-tuning, soft targets."""

    run: Path = DEFAULT_RUN
    """Run folder; its data stage must be finished."""
    seed: int = 0
    """Decides everything random."""
    synthetic: int = 3200
    """Spectrograms to draw from the GAN; they join training only if the quality gate accepts them. 0: no GAN at all."""
    listen_s: float = 30.0
    """Seconds of each clip on the page that plays the generator's clips beside real ones; 0: no page."""
    baseline: bool = True
    """Train the `ast` as well: the plain transformer that the teacher is compared with."""
    gan: GanConfig = field(default_factory=GanConfig)
    """The generator and its adversary."""
    vit: VitConfig = field(default_factory=VitConfig)
    """The network that is fine-tuned."""
    training: FineTuneConfig = field(default_factory=FineTuneConfig)
    """How it is fine-tuned."""
    variants: VariantsConfig = field(default_factory=VariantsConfig)
    """Training songs at other tempos and pitches, for the ViT; none unless asked for."""
    ast: VitConfig = AST
    """The baseline."""
    ast_training: FineTuneConfig = field(default_factory=FineTuneConfig)
    """How the baseline is trained."""
    musicnn: FrozenConfig = field(default_factory=FrozenConfig)
    """The heads of members that listen with a frozen musicnn."""
    musicnn_tuned: TunedConfig = field(default_factory=TunedConfig)
    """How `musicnn-tuned` is trained, a member whose layers learn too; its first weights are those of `musicnn`."""
    company: CompanyConfig = field(default_factory=CompanyConfig)
    """The teachers whose predictions together are the teacher's."""
    soft_targets: SoftTargetsConfig = field(default_factory=SoftTargetsConfig)
    """What the student is given."""
    doctor: bool = False
    """Look at GPU, weights, disk and time first, and stop where one does not do; the variable ANYWAY=1 goes on."""

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        if min(self.synthetic, self.listen_s) < 0:
            raise ConfigError(f"synthetic {self.synthetic} and listen_s {self.listen_s} must not be negative")
        for network, training in ((self.vit, self.training), (self.ast, self.ast_training)):
            if training.crop_frames > network.frames:
                raise ConfigError(f"training crop of {training.crop_frames} frames in clips of {network.frames}")
        # Starts of crops are multiples of both strides, so that teacher and student see the very same frames.
        if (stride := self.soft_targets.stride) % self.vit.stride:
            raise ConfigError(f"soft_targets.stride {stride} must be a multiple of vit.stride {self.vit.stride}")
        # The stem halves both sides four times, without padding.
        scale = self.soft_targets.stride // self.vit.stride
        lengths = (self.training.crop_frames, self.soft_targets.crop_frames * scale)
        if self.vit.size == "small" and any(length % PATCH for length in lengths):
            raise ConfigError(f"the small ViT takes crops in multiples of {PATCH} frames, not {lengths}")
