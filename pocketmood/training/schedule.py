"""How long and how fast to train, and what on; without torch, because the command lines are built from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pocketmood.errors import ConfigError

Precision = Literal["auto", "fp32", "bf16", "fp16"]
BEST_WEIGHTS = "best.safetensors"
BEST_RECORD = "best.json"


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    epochs: float = 10.0
    """Epochs: passes over the data set; a fraction ends within one."""
    batch_size: int = 16
    """Items per pass, over all processes together; also how many a correlation is taken over."""
    accumulation: int = 1
    """Passes whose mean gradient makes one optimiser step."""
    learning_rate: float = 1e-3
    """Peak of the cosine, for AdamW; a parameter group may set its own."""
    weight_decay: float = 0.05
    """For weights of two or more dimensions; biases and norms have none."""
    warmup: float = 0.15
    """Share of all steps with a linearly rising rate."""
    ema_decay: float = 0.0
    """Decay per step of the averaged weights, which are validated and kept; 0 means no average."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 does not clip."""
    restarts: tuple[int, ...] = ()
    """Epochs after which the cosine begins anew at its peak, without a new warm-up."""
    cosine_end: Literal["restart", "last"] = "restart"
    """Where a cosine reaches its last rate: at the next restart, or, the recipe's, at the last epoch, so that a restart
    cuts it short."""
    final_rate: float = 0.0
    """Where each cosine ends: a learning rate, the same for all parameter groups."""
    patience: int = 0
    """Stop after so many epochs without a better validation, restarts or not; 0 never stops early."""
    workers: int = 0
    """Loader processes; 0 loads in the training process."""
    precision: Precision = "auto"
    """Arithmetic of forward and backward; auto: bf16 or fp16 on a GPU, fp32 on a CPU."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if self.epochs <= 0 or self.batch_size < 1 or self.learning_rate <= 0:
            raise ConfigError(
                f"epochs {self.epochs}, batch_size {self.batch_size} and learning_rate {self.learning_rate} "
                "must be above 0"
            )
        if self.accumulation < 1 or self.clip < 0:
            raise ConfigError(f"accumulation {self.accumulation} must be at least 1, clip {self.clip} at least 0")
        if not (0 <= self.warmup < 1 and 0 <= self.ema_decay < 1):
            raise ConfigError(f"warmup {self.warmup} and ema_decay {self.ema_decay} must be in [0, 1)")
        if list(self.restarts) != sorted({epoch for epoch in self.restarts if 0 < epoch < self.epochs}):
            raise ConfigError(f"restarts {self.restarts} must rise and lie between 0 and {self.epochs} epochs")
        if not 0 <= self.final_rate <= self.learning_rate:
            raise ConfigError(f"final_rate {self.final_rate} must lie in [0, {self.learning_rate}]")


class Epochal(Protocol):
    """What depends on the epoch, which is set from outside."""

    epoch: int


class EpochDataset(Epochal, Protocol):
    """A map-style data set whose items depend on nothing but (seed, `epoch`, index)."""

    def __len__(self) -> int:
        """Count the items of one epoch."""

    def __getitem__(self, index: int) -> Any:
        """Draw one item."""
