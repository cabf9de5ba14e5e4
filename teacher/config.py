"""Configuration of the teacher stage; the command line is built from these fields."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from pocketmood.errors import ConfigError
from pocketmood.presets import DEFAULT_RUN
from pocketmood.training.schedule import Schedule
from pocketmood.training.variants import VariantsConfig
from pocketmood.training.weights import FOLDER_FILES, Published
from teacher.company.config import CompanyConfig
from teacher.gan.config import GanConfig
from teacher.musicnn.config import FrozenConfig

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


SCHEDULE = Schedule(epochs=18, ema_decay=0.99)
"""Of a teacher from scratch; presets change its length and pace."""


@dataclass(frozen=True)
class FineTuneConfig:
    """How the ViT is trained."""

    schedule: Schedule = SCHEDULE
    """How long and how fast; its learning rate is that of heads and of everything trained from scratch."""
    backbone_learning_rate: float | None = None
    """Largest rate of pretrained layers; the same as the others if left out."""
    crop_frames: int = 128
    """Frames of a random training crop, at the network's stride; validation is on whole clips."""
    whole_batches: float = 0.0
    """Share of the training batches that hold whole clips instead of crops; each is drawn for itself."""
    gain_db: float = 2.5
    """Largest random change of level."""
    mask_bands: int = 16
    """Widest run of mel bands masked per crop (SpecAugment)."""
    mask_frames: int = 16
    """Widest run of frames masked per crop (SpecAugment)."""
    ccc_weight: float = 1.0
    """Weight of 1 - CCC over the batch, mean of both axes."""
    mse_weight: float = 1.0
    """Weight of the mean squared error."""
    rater_sd_weight: float = 0.1
    """Weight of rater_sd's Gaussian negative log likelihood."""
    valence_share: float = 0.5
    """Share of valence in 1 - CCC and in the squared error; arousal has the rest."""
    weigh_by_agreement: bool = False
    """Weigh ratings by how well their raters agree, in 1 - CCC and in the squared error."""
    unfreeze: tuple[tuple[int, int], ...] = ()
    """(epoch, layers) pairs: from that epoch on, counted from 1, so many last encoder layers learn, the rest of the
    backbone never does, and the schedule begins anew. Empty: everything learns from the beginning."""
    best_by: Literal["ccc", "mse", "loss"] = "ccc"
    """What the kept epoch is best at on validation, and what `patience` waits for: mean CCC, which counts in the end,
    squared error, or, as in the recipe, the training's own loss, over all validation clips at once."""

    def __post_init__(self) -> None:
        """Refuse numbers that train nothing."""
        if self.schedule.batch_size < 2:  # a correlation over one clip is not defined
            raise ConfigError(f"batch_size {self.schedule.batch_size} must be at least 2")
        if self.unfreeze and self.schedule.restarts:
            raise ConfigError(f"restarts {self.schedule.restarts} follow from unfreeze {self.unfreeze}; leave one out")
        for name, share in (("valence share", self.valence_share), ("whole_batches", self.whole_batches)):
            if not 0 <= share <= 1:
                raise ConfigError(f"{name} {share} must lie in [0, 1]")
        if min(self.ccc_weight, self.mse_weight, self.rater_sd_weight) < 0 or self.ccc_weight + self.mse_weight == 0:
            raise ConfigError("loss weights must not be negative, and CCC or squared error must count")
        if any(first < 1 or layers < 0 for first, layers in self.unfreeze) or any(
            (a[0] >= b[0] or a[1] >= b[1]) for a, b in pairwise(self.unfreeze)
        ):
            raise ConfigError(f"unfreeze {self.unfreeze} must name later epochs for more layers, epochs from 1")


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
