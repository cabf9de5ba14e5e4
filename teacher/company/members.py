"""What a member of the company can do: the interface that the stage trains, asks and opens all kinds of teachers by.

A new kind is a module with `kind(name) -> Kind`, a line in `KINDS` (`teacher/company/config.py`), and, where it has
settings, a field of `TeacherConfig`. It is trained as a step of the stage, into a folder of the member's name, and may
be killed there at any moment.

Conventions: N clips, K crops (the first is the whole clip), F features. emotion in [-1, 1] and rater_sd are [N, 2] of
whole clips, [N, K, 2] of crops; features are [N, K, F]; all float32.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from teacher.company.config import KINDS, MemberName

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from pocketmood.emotion import Emotion
    from pocketmood.spec import MelSpec
    from pocketmood.training.variants import Variants
    from pocketmood.training.weights import Published
    from teacher.config import SoftTargetsConfig, TeacherConfig
    from teacher.gan.synthesis import SyntheticStore
    from teacher.record import FineTuned


class Task(NamedTuple):
    """What a member is trained on."""

    store: ClipStore
    split: Split
    config: TeacherConfig
    """The stage's, with the member's own seed."""
    synthetic: SyntheticStore | None = None
    """Clips that the gate accepted; None for kinds that do not learn from them."""
    variants: Variants | None = None
    """Of all training songs; None for kinds that do not learn from them."""


class Member(Protocol):
    """A trained member, opened from its folder on the device that this machine has."""

    @property
    def spec(self) -> MelSpec:
        """Sample rate and samples of the waveforms that `hear` takes: those of the store's clips."""

    @property
    def parameters(self) -> int:
        """Trained numbers."""

    def whole(self, clips: ClipStore, ids: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Predict emotion and rater_sd for whole clips."""

    def crops(
        self, clips: ClipStore | SyntheticStore, ids: Sequence[str], config: SoftTargetsConfig
    ) -> dict[str, NDArray[np.float32]]:
        """Predict "emotion", "rater_sd" and "features" for the crops of `soft_targets.crop_list`.

        Crops are counted in hops of the house's spectrogram and frames of `config.stride`; `config.ask` "whole" repeats
        what the whole clip gives. A `SyntheticStore` comes only to kinds with `hears_synthetic`.
        """

    def hear(self, wave: NDArray[np.float32]) -> tuple[Emotion, Emotion]:
        """Predict emotion and rater_sd for one waveform [S] in [-1, 1], spectrogram and all."""


class Kind(Protocol):
    """A kind of member. Nothing heavy is imported before `train` or `open`."""

    hears_synthetic: bool
    """Whether it can be asked for clips that are spectrograms, without a waveform."""
    learns_synthetic: bool
    """Whether accepted synthetic clips, and variants of songs, join its training."""

    frozen_features: bool
    """Whether its features are those of a network that never trains: all of a kind then have one space."""

    def settings(self, config: TeacherConfig) -> dict[str, Any]:
        """Return what its training depends on beside data and first weights: what changes it trains it again."""

    def published(self, config: TeacherConfig) -> tuple[Published, ...]:
        """Say which published weights it begins with, if any."""

    def out_of_fold(self, config: TeacherConfig) -> bool:
        """Tell whether its predictions for training songs come from fits that never saw the song."""

    def heard(self, config: TeacherConfig) -> str:
        """Say what the batches of its training hold, for the picture of its epochs: "crops", "whole clips"."""

    def train(self, task: Task, folder: Path) -> FineTuned:
        """Train into the folder of a step, whose name without suffix is the member's; continue after a kill.

        Called in every process of torchrun; the main one alone writes.
        """

    def tidy(self, folder: Path) -> None:
        """Remove what only an unfinished training needs."""

    def open(self, folder: Path, on_cpu: bool = False) -> Member:
        """Open a trained member, on this machine's device, or on the processor."""

    def weights_bytes(self, folder: Path) -> int | None:
        """Return the bytes of all weights that a prediction needs; None where they are not there."""


def kind_of(name: str) -> Kind:
    """Return the kind of a member by its name."""
    kind = MemberName.parse(name).kind
    found: Kind = import_module(KINDS[kind]).kind(kind)
    return found


def seeded(config: TeacherConfig, name: str) -> TeacherConfig:
    """Return the stage's config with the seed of a member."""
    return replace(config, seed=config.seed + MemberName.parse(name).seed)
