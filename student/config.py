"""Settings of the student stage; the command line is built from these fields."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pocketmood.errors import ConfigError
from pocketmood.presets import DEFAULT_RUN
from pocketmood.training.schedule import Schedule

# Written out, so that --help names them: asking timm would import torch.
ModelName = Literal[
    "mobilevit_s",
    "mobilevit_xs",
    "mobilevit_xxs",
    "mobilevitv2_050",
    "mobilevitv2_075",
    "mobilevitv2_100",
    "mobilevitv2_125",
    "mobilevitv2_150",
    "mobilevitv2_175",
    "mobilevitv2_200",
]
FeatureMeasure = Literal["cosine", "relational", "distance-correlation"]
SIDE = 64
"""Both sides of the input must be multiples of this: 32 from the strides of the network, 2 from its patches."""


@dataclass(frozen=True)
class LossConfig:
    """How much each term of the loss counts."""

    labels: float = 1.0
    """1 - CCC + MSE to the people who rated; rated clips only."""
    response: float = 1.0
    """Distance to the teacher's emotion for the same crop, in the measure of `response_measure`."""
    features: float = 0.5
    """How far the features are from the teacher's, in the measure of `feature_measure`."""
    rater_sd: float = 0.1
    """Gaussian negative log likelihood of a listener's rating; moves the head of interval68 alone."""
    response_measure: Literal["mse", "ccc"] = "mse"
    """mse, or 1 - CCC over the batch."""
    gate: bool = False
    """Leave out the response of rated crops where the teacher is further from the rating than the student, per axis."""
    weigh_by_agreement: bool = False
    """Weigh the response by how well the members of a company agree on the crop; a teacher by itself weighs evenly."""
    feature_measure: FeatureMeasure = "cosine"
    """cosine after a projector, relational (distances and angles between crops), or distance-correlation."""

    def __post_init__(self) -> None:
        """Refuse weights that teach nothing."""
        if min(self.labels, self.response, self.features, self.rater_sd) < 0:
            raise ConfigError("loss weights must not be negative")
        # `rater_sd` alone is not enough: its gradient stops before the network.
        if self.labels + self.response + self.features == 0:
            raise ConfigError("loss weights labels, response and features are all 0: nothing would be learnt")


@dataclass(frozen=True)
class AugmentConfig:
    """Changes to what the student hears in training; the soft targets stay those of the unchanged crops."""

    gain_db: float = 2.0
    """Largest random change of level, up or down, in dB."""
    mask_bands: int = 12
    """Widest run of mel bands masked per crop (SpecAugment); 0 masks none."""
    mask_frames: int = 8
    """Widest run of frames masked per crop (SpecAugment); 0 masks none. At most half of a crop."""
    mixup: float = 0.0
    """Mix each crop with another, rated as it is or not, in proportions of Beta(mixup, mixup); 0 mixes nothing."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if min(self.gain_db, self.mask_bands, self.mask_frames, self.mixup) < 0:
            raise ConfigError("augmentation: gain_db, mask_bands, mask_frames and mixup must not be negative")


SCHEDULE = Schedule(epochs=20, batch_size=32, ema_decay=0.99)
"""Of a student; presets change its length and pace."""


@dataclass(frozen=True)
class StudentConfig:
    """The student stage: a small network learns from ratings and from the teacher's soft targets."""

    run: Path = DEFAULT_RUN
    """Run folder; its data and teacher stages must be finished."""
    model: ModelName = "mobilevit_s"
    """timm's name of the network."""
    layers: int = 0
    """Transformer layers per block at most; 0 for as many as the network has."""
    weights: str = "imagenet"
    """imagenet (from the model hub), random, or a safetensors file or folder of that network."""
    stride: int = 5
    """Every so-many-th frame of the spectrogram is looked at."""
    frames: int = 256
    """Frames of a whole clip at this stride; a multiple of 64: the network divides by 32, its patches by 2."""
    crop_frames: int = 64
    """Frames of the crops to train on, as the soft targets have them; a multiple of 64."""
    draws: int = 1
    """How often an epoch visits each clip, at another crop each time."""
    rated_share: float = 0.0
    """Share of an epoch's crops that come from rated clips where there are unrated ones: rated ones are visited `draws`
    times, and unrated ones drawn to fill the rest. 0: an epoch visits every clip `draws` times, rated or not."""
    synthetic_clips: bool = False
    """Learn from the teacher's accepted or forced synthetic clips as well, by their soft targets alone."""
    whole_share: float = 0.0
    """Last share of the epochs, one at least, that trains on whole clips; each costs `frames / crop_frames` times."""
    seed: int = 0
    """Decides everything random."""
    schedule: Schedule = SCHEDULE
    """How long and how fast; an epoch visits every clip `draws` times."""
    loss: LossConfig = field(default_factory=LossConfig)
    """Weights of the loss terms."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Changes to the crops."""
    doctor: bool = False
    """Look at GPU, weights, disk and time first, and stop where one does not do; the variable ANYWAY=1 goes on."""

    def __post_init__(self) -> None:
        """Refuse sizes the network would resize, and numbers that train nothing."""
        require_size(self.frames, "frames")
        require_size(self.crop_frames, "crop_frames")
        # Against the whole clip here; whether the soft targets have such crops is known only with them.
        if self.crop_frames > self.frames or self.stride < 1 or self.draws < 1:
            raise ConfigError(
                f"crop_frames {self.crop_frames} must fit in frames {self.frames}; stride {self.stride} and draws "
                f"{self.draws} must be at least 1"
            )
        if self.layers < 0:
            raise ConfigError(f"layers {self.layers} must not be negative; 0 leaves the network as it is")
        if self.schedule.batch_size < 2:  # a batch norm and a correlation need two crops
            raise ConfigError(f"batch_size {self.schedule.batch_size} must be at least 2")
        if not 0 <= self.whole_share <= 1 or not 0 <= self.rated_share < 1:
            raise ConfigError(
                f"whole_share {self.whole_share} must lie in [0, 1], rated_share {self.rated_share} in [0, 1)"
            )


def with_epochs(config: StudentConfig, epochs: float) -> StudentConfig:
    """Return the recipe with another number of epochs."""
    return replace(config, schedule=replace(config.schedule, epochs=epochs))


def require_size(size: int, name: str) -> None:
    """Refuse a side of the input that MobileViT would resize bilinearly inside every block."""
    if size < SIDE or size % SIDE:
        raise ConfigError(
            f"{name} {size} must be a multiple of {SIDE}: MobileViT halves each side five times and then cuts it into "
            "patches of 2, and resizes its maps in every block where that leaves a remainder, which is slow on a phone "
            "and differs between runtimes"
        )


# Weights averaged over about 1000 steps, not 100: with eight crops per clip an epoch has eight times the steps.
_FULL_SCHEDULE = replace(SCHEDULE, batch_size=48, workers=4, ema_decay=0.999)
# xxs from random weights: what a laptop's CPU trains in minutes, without the model hub.
_DEMO = StudentConfig(
    model="mobilevit_xxs",
    weights="random",
    draws=4,
    schedule=replace(SCHEDULE, epochs=5, learning_rate=2e-3),
    loss=LossConfig(response=5.0),
    augment=AugmentConfig(mask_bands=0, mask_frames=0),
)
PRESETS = {
    "full": StudentConfig(doctor=True, draws=8, schedule=_FULL_SCHEDULE),
    "streamlined": StudentConfig(doctor=True, draws=8, schedule=replace(_FULL_SCHEDULE, epochs=10)),
    "demo": _DEMO,
    # For longer: recordings differ more than what one composer writes. Half of the crops are rated ones, however much
    # music without ratings there is.
    "recordings": replace(with_epochs(_DEMO, 20), rated_share=0.5),
    # One layer per block instead of up to four: the exporters' time grows with the number of operators.
    "smoke": StudentConfig(
        model="mobilevit_xxs",
        layers=1,
        weights="random",
        schedule=replace(SCHEDULE, epochs=2, batch_size=8, ema_decay=0.5),
        augment=AugmentConfig(0, 0, 0),
    ),
}
"""Names for `--preset`: a GPU's full recipe, half of it, minutes on a CPU, plumbing only."""
