"""Names, places and settings of the musicnn teachers; without torch, because command lines are built from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pocketmood.errors import ConfigError
from pocketmood.training.schedule import Schedule
from pocketmood.training.weights import Published
from teacher.recipe import Recipe

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "musicnn"
"""Where `make weights` puts converted weights."""
FEATURES = FOLDER / "features"
"""Where what a frozen network hears in clips is kept, unless a run says otherwise."""
COMMAND = "make weights"
MODELS = {
    "musicnn": ("MSD_musicnn",),
    "musicnn-mtt": ("MTT_musicnn",),
    "musicnn-both": ("MSD_musicnn", "MTT_musicnn"),
    "musicnn-tuned": ("MSD_musicnn",),
}
"""Kind of member -> the published network that it listens with, or begins with."""
Kernel = Literal["gaussian", "linear"]
PENALTIES = (0.01, 0.0215, 0.0464, 0.1, 0.215, 0.464, 1.0, 2.15, 4.64, 10.0, 21.5, 46.4, 100.0)
"""To choose from; kernels are scaled so that a song is 1 to itself (linear: on average)."""


def published(path: Path | None = None, model: str = "MSD_musicnn", flag: str = "--musicnn.weights") -> Published:
    """Say what the weights are, and where to look; path: a folder, or the safetensors file itself."""
    files = (f"{model}.json", f"{model}.safetensors")
    return Published(
        model, "", path, files, flag, tensors=("blocks.4.conv.weight", "tags.bias"), kept=FOLDER, command=COMMAND
    )


def published_of(kind: str, path: Path | None = None) -> tuple[Published, ...]:
    """Say what the weights of all networks of a kind of member are."""
    return tuple(published(path, network) for network in MODELS[kind])


@dataclass(frozen=True)
class FrozenConfig:
    """How the head above a frozen musicnn is fitted."""

    weights: Path | None = None
    """Folder with NAME.safetensors and NAME.json of MSD_musicnn, and of MTT_musicnn where it is a member; those of
    `make weights` if left out."""
    kernel: Kernel = "gaussian"
    """"gaussian" bends, "linear" is a plain ridge: benchmarks/studies/results/musicnn-heads.md compares them."""
    folds: int = 5
    """Folds of artists among the training songs: each song's soft targets come from a model without its artist."""
    penalties: tuple[float, ...] = PENALTIES
    """To choose from, per axis, by the squared error of the out-of-fold predictions."""
    features: Path = FEATURES
    """Folder that keeps what the frozen network hears in a clip, for every run with the same clip."""

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted."""
        if self.folds < 2 or not self.penalties or min(self.penalties) <= 0:
            raise ConfigError(f"folds {self.folds} must be at least 2, and penalties {self.penalties} above 0")

    def without_place(self) -> FrozenConfig:
        """Leave out where things lie: what first weights are is an input of its own, and features follow from them."""
        return replace(self, weights=None, features=Path())


TUNED_SCHEDULE = Schedule(epochs=16, learning_rate=1e-3, warmup=0.1, ema_decay=0.98, cosine_end="last")
"""Of the fine-tuned network: a cosine begins anew where layers join, and reaches its end with the last epoch."""


@dataclass(frozen=True)
class TunedConfig(Recipe):
    """How MSD_musicnn is fine-tuned: heads first, then its layers from the last one down."""

    schedule: Schedule = TUNED_SCHEDULE
    """How long and how fast; its learning rate is that of the heads."""
    backbone_learning_rate: float | None = 3e-4
    """Largest rate of the published layers; the same as the heads' if left out."""
    unfreeze: tuple[tuple[int, int], ...] = ((1, 0), (3, 2), (6, 4))
    """(epoch, layers) pairs, as of the ViT. Of five: dense, the three convolutions in time from the last one down, and
    the shaped kernels, which take nearly all of the network's time and do not learn unless asked to."""
    windows: int = 2
    """Windows of 3 s, anywhere in the song, that a training item consists of."""
    dropout: float = 0.5
    """Share of the features dropped in front of the heads."""
    mixup: float = 0.4
    """Mix each item with another in proportions of Beta(mixup, mixup), ratings alike; 0 mixes nothing."""

    def __post_init__(self) -> None:
        """Refuse numbers that train nothing."""
        super().__post_init__()
        if self.windows < 1 or not 0 <= self.dropout < 1 or self.mixup < 0:
            raise ConfigError(
                f"musicnn-tuned: windows {self.windows} must be at least 1, dropout {self.dropout} in [0, 1), and "
                f"mixup {self.mixup} not negative"
            )
