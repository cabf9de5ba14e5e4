"""Every dial of the teacher stage; the command line is built from these fields."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pocketmood.errors import PocketmoodError
from teacher.gan_config import PRESETS as GAN_PRESETS
from teacher.gan_config import GanConfig

STEM_REDUCTION = 16
"""The small ViT's stem makes one token of 16 x 16 spectrogram values."""


@dataclass(frozen=True)
class VitConfig:
    """The network, and the geometry of what it looks at."""

    size: Literal["small", "base"] = "small"
    """"small": convolutional stem and a few layers, from scratch. "base": ViT-B/16 through transformers, pretrained."""
    stride: int = 5
    """Every so-many-th frame of the spectrogram is looked at; "base" resizes all of them, so 1 there."""
    frames: int = 256
    """Frames of a whole clip at this stride; for "small" a multiple of 16."""
    width: int = 128
    """Width of a token ("small" only)."""
    layers: int = 2
    """Transformer layers ("small" only)."""
    heads: int = 4
    """Attention heads ("small" only)."""
    bands: int = 128
    """Mel bands of the input."""
    period_frames: int = 128
    """Frames after which the learnt time positions repeat ("small" only); the length of a training crop."""
    hidden: int = 0
    """Units between features and answers; 0 for none. The published head of "base" has 256."""
    dropout: float = 0.1
    """Share of values dropped in training."""
    weights: Path | None = None
    """Folder with pretrained ViT weights ("base" only): the first tier."""
    hub: str = "google/vit-base-patch16-224-in21k"
    """Name on the model hub ("base" only): the second tier; empty for never asking."""

    def __post_init__(self) -> None:
        """Refuse a geometry that the network cannot take."""
        if self.stride < 1 or self.frames < 1:
            raise PocketmoodError(f"vit stride {self.stride} and frames {self.frames} must be at least 1")
        if not 0 <= self.dropout < 1:
            raise PocketmoodError(f"vit dropout {self.dropout} must lie in [0, 1)")
        if self.size == "base":
            return
        for name in ("frames", "bands", "period_frames"):
            if getattr(self, name) % STEM_REDUCTION or getattr(self, name) < STEM_REDUCTION:
                raise PocketmoodError(f"vit {name} {getattr(self, name)} must be a multiple of {STEM_REDUCTION}")
        if self.width % self.heads or self.width % 8:
            raise PocketmoodError(f"vit width {self.width} must be a multiple of 8 and of {self.heads} heads")


@dataclass(frozen=True)
class FineTuneConfig:
    """How the ViT is trained."""

    epochs: float = 18
    """Passes over the training clips."""
    batch_size: int = 16
    """Clips per step; also how many the loss takes a correlation over."""
    learning_rate: float = 1e-3
    """Largest rate of the cosine schedule, for heads and everything trained from scratch."""
    backbone_learning_rate: float | None = None
    """Largest rate of pretrained layers; the same as the others if left out."""
    weight_decay: float = 0.05
    """Decay of AdamW."""
    warmup: float = 0.15
    """Share of the steps in which the rate rises."""
    ema_decay: float = 0.99
    """Decay per step of the averaged weights that are validated and kept; 0 turns averaging off."""
    patience: int = 0
    """Stop after so many epochs without a better validation score; 0 for never."""
    crop_frames: int = 128
    """Frames of a random training crop, at the network's stride; validation hears whole clips."""
    gain_db: float = 2.5
    """Largest random change of level."""
    hidden_bands: int = 16
    """Widest run of mel bands hidden per crop."""
    hidden_frames: int = 16
    """Widest run of frames hidden per crop."""
    ccc_weight: float = 1.0
    """Weight of 1 - CCC over the batch, mean of both axes."""
    mse_weight: float = 1.0
    """Weight of the mean squared error."""
    spread_weight: float = 0.1
    """Weight of the spread's Gaussian negative log likelihood."""
    valence_share: float = 0.5
    """Share of valence in 1 - CCC and in the squared error; arousal has the rest."""

    def __post_init__(self) -> None:
        """Refuse numbers that train nothing."""
        if self.epochs <= 0 or self.batch_size < 2:
            raise PocketmoodError(f"epochs {self.epochs} must be positive, batch size {self.batch_size} at least 2")
        if not 0 <= self.valence_share <= 1:
            raise PocketmoodError(f"valence share {self.valence_share} must lie in [0, 1]")
        if min(self.ccc_weight, self.mse_weight, self.spread_weight) < 0 or self.ccc_weight + self.mse_weight == 0:
            raise PocketmoodError("loss weights must not be negative, and CCC or squared error must count")
        if not 0 <= self.ema_decay < 1 or not 0 <= self.warmup < 1:
            raise PocketmoodError(f"ema decay {self.ema_decay} and warm-up {self.warmup} must lie in [0, 1)")


@dataclass(frozen=True)
class AnswersConfig:
    """Which crops the teacher answers for, once, for the student to learn from."""

    crops: int = 8
    """Fixed crops beside the whole clip, spread evenly over it."""
    crop_frames: int = 64
    """Frames of such a crop."""
    frames: int = 256
    """Frames of the whole clip."""
    stride: int = 5
    """Frame stride of the student, in which these crops are counted."""

    def __post_init__(self) -> None:
        """Refuse crops that are longer than the clip."""
        if self.crops < 0 or not 1 <= self.crop_frames <= self.frames or self.stride < 1:
            raise PocketmoodError(
                f"answers: {self.crops} crops of {self.crop_frames} frames do not fit a clip of {self.frames} frames"
            )


@dataclass(frozen=True)
class TeacherConfig:
    """The teacher stage: GAN, synthesis, quality gate, fine-tuning, answers."""

    run: Path = Path("runs/demo")
    """Run folder; its data stage must be finished."""
    seed: int = 0
    """Decides everything random."""
    synthetic: int = 3200
    """Spectrograms to draw from the GAN; they join training only if the quality gate accepts them. 0: no GAN at all."""
    gan: GanConfig = field(default_factory=GanConfig)
    """The generator and its adversary."""
    vit: VitConfig = field(default_factory=VitConfig)
    """The network that is fine-tuned."""
    training: FineTuneConfig = field(default_factory=FineTuneConfig)
    """How it is fine-tuned."""
    answers: AnswersConfig = field(default_factory=AnswersConfig)
    """What the student is given."""

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        if self.synthetic < 0:
            raise PocketmoodError(f"synthetic {self.synthetic} must not be negative")
        if self.training.crop_frames > self.vit.frames:
            raise PocketmoodError(f"training crop of {self.training.crop_frames} frames in clips of {self.vit.frames}")
        if self.answers.stride % self.vit.stride:
            raise PocketmoodError(
                f"answers stride {self.answers.stride} must be a multiple of the vit's stride {self.vit.stride}"
            )
        scale = self.answers.stride // self.vit.stride
        lengths = (self.training.crop_frames, self.answers.crop_frames * scale)
        if self.vit.size == "small" and any(length % STEM_REDUCTION for length in lengths):
            raise PocketmoodError(f"the small ViT takes crops in multiples of {STEM_REDUCTION} frames, not {lengths}")


_BASE = VitConfig(size="base", stride=1, frames=1292, hidden=256)
_BASE_TRAINING = FineTuneConfig(
    epochs=24,
    batch_size=12,
    learning_rate=1e-4,
    backbone_learning_rate=1e-5,
    ema_decay=0.0,
    patience=5,
    crop_frames=1292,
    gain_db=0.0,
    hidden_bands=0,
    hidden_frames=0,
    ccc_weight=0.0,
    valence_share=0.6,
)
PRESETS = {
    "full": TeacherConfig(gan=GAN_PRESETS["full"], vit=_BASE, training=_BASE_TRAINING),
    "streamlined": TeacherConfig(
        synthetic=0, gan=GAN_PRESETS["streamlined"], vit=_BASE, training=replace(_BASE_TRAINING, epochs=30)
    ),
    "demo": TeacherConfig(synthetic=96, gan=GAN_PRESETS["demo"], training=FineTuneConfig(epochs=14)),
    "smoke": TeacherConfig(
        synthetic=8,
        gan=GAN_PRESETS["smoke"],
        vit=VitConfig(width=32, layers=1, heads=2, period_frames=64),
        training=FineTuneConfig(epochs=2, batch_size=8, crop_frames=64),
        answers=AnswersConfig(crops=2),
    ),
}
"""Names for `--preset`: the published recipe, the same without its optional steps, minutes on a CPU, plumbing only."""
