"""What the trainings of all the teacher's networks have in common: schedule, rates, loss, unfreezing, kept epoch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pocketmood.errors import ConfigError
from pocketmood.training.schedule import Schedule

SCHEDULE = Schedule(epochs=18, ema_decay=0.99)
"""Of a teacher from scratch; presets change its length and pace."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, whatever it hears."""

    schedule: Schedule = SCHEDULE
    """How long and how fast; its learning rate is that of heads and of everything trained from scratch."""
    backbone_learning_rate: float | None = None
    """Largest rate of pretrained layers; the same as the others if left out."""
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
    """(epoch, layers) pairs: from that epoch on, counted from 1, so many last layers learn, the rest of the backbone
    never does, and the schedule begins anew. Empty: everything learns from the beginning."""
    best_by: Literal["ccc", "mse", "loss"] = "ccc"
    """What the kept epoch is best at on validation, and what `patience` waits for: mean CCC, which counts in the end,
    squared error, or, as in the recipe, the training's own loss, over all validation clips at once."""

    def __post_init__(self) -> None:
        """Refuse numbers that train nothing."""
        if self.schedule.batch_size < 2:  # a correlation over one clip is not defined
            raise ConfigError(f"batch_size {self.schedule.batch_size} must be at least 2")
        if self.unfreeze and self.schedule.restarts:
            raise ConfigError(f"restarts {self.schedule.restarts} follow from unfreeze {self.unfreeze}; leave one out")
        if not 0 <= self.valence_share <= 1:
            raise ConfigError(f"valence share {self.valence_share} must lie in [0, 1]")
        if min(self.ccc_weight, self.mse_weight, self.rater_sd_weight) < 0 or self.ccc_weight + self.mse_weight == 0:
            raise ConfigError("loss weights must not be negative, and CCC or squared error must count")
        if any(first < 1 or layers < 0 for first, layers in self.unfreeze) or any(
            (a[0] >= b[0] or a[1] >= b[1]) for a, b in pairwise(self.unfreeze)
        ):
            raise ConfigError(f"unfreeze {self.unfreeze} must name later epochs for more layers, epochs from 1")

    @property
    def metric(self) -> str:
        """Name the validation score that the kept epoch is best at."""
        return {"ccc": "ccc_mean", "mse": "mse_mean", "loss": "loss"}[self.best_by]
