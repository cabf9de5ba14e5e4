"""The frozen musicnn teacher: its features under a kernel ridge, trained into a folder and read back from it.

    features/      table of every clip's whole features, written in chunks: a killed training continues
    head.safetensors, config.json

The network's weights stay where `make weights` put them: nothing of them is copied into a run, which may be archived or
passed on. config.json knows their SHA-256, and another file in their place is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from pocketmood import standing_warnings
from pocketmood.data.run_folder import CONFIG_FILE
from pocketmood.data.split import artist_key
from pocketmood.errors import ConfigError, RunError
from pocketmood.records import from_json
from pocketmood.runs import read_json, write_json
from pocketmood.spec import MelSpec
from pocketmood.training.checkpoints import load_tensors, save_tensors
from pocketmood.training.weights import FirstWeights, find
from teacher.musicnn.config import published
from teacher.musicnn.features import Listener, make_table, stretches
from teacher.musicnn.head import PENALTIES, Head, Kernel, fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from pocketmood.training.crops import Crop

HEAD_FILE, FEATURES_FOLDER = "head.safetensors", "features"


@dataclass(frozen=True)
class FrozenConfig:
    """How the head above the frozen network is fitted."""

    weights: Path | None = None
    """Folder with MSD_musicnn.safetensors and MSD_musicnn.json; those of `make weights` if left out."""
    kernel: Kernel = "gaussian"
    """"gaussian" bends, "linear" is a plain ridge: benchmarks/studies/results/musicnn-heads.md compares them."""
    folds: int = 5
    """Folds of artists among the training songs: each song's soft targets come from a model without its artist."""
    penalties: tuple[float, ...] = PENALTIES
    """To choose from, per axis, by the squared error of the out-of-fold predictions."""

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted."""
        if self.folds < 2 or not self.penalties or min(self.penalties) <= 0:
            raise ConfigError(f"folds {self.folds} must be at least 2, and penalties {self.penalties} above 0")


@dataclass(frozen=True)
class FrozenRecord:
    """What stands beside a head: config.json."""

    weights: str
    """Where the network's weights came from, in a phrase."""
    weights_sha256: str
    """What they are."""
    warnings: tuple[str, ...]
    """Sentences that a reader of any figure must know."""
    kernel: Kernel
    """Of the head."""
    penalties: tuple[float, ...]
    """Chosen for valence and arousal."""
    rater_sd: tuple[float, ...]
    """Standard deviation of one listener's rating around the out-of-fold prediction, for both axes."""
    training_clips: int
    """Songs that it was fitted on."""
    model_of: dict[str, int]
    """Training song -> the model that has not met its artist; all other clips are predicted by model 0."""


class CropPredictions(NamedTuple):
    """What a teacher says of B clips, K crops each; as a table of soft targets has it."""

    emotion: NDArray[np.float32]
    """[B, K, 2]."""
    rater_sd: NDArray[np.float32]
    """[B, K, 2]."""
    features: NDArray[np.float32]
    """[B, K, F] units below the tags, and the tags' logits: what a student is shown."""


@dataclass(frozen=True)
class FrozenTeacher:
    """A trained head with its network, ready to predict."""

    listener: Listener = field(repr=False)
    """Front end and network."""
    head: Head = field(repr=False)
    """What it says of their features."""
    record: FrozenRecord
    """Its config.json."""

    def predict(
        self, store: ClipStore, ids: Sequence[str], crops: Sequence[Crop], stride: int, table: Path | None = None
    ) -> CropPredictions:
        """Predict for crops of clips, the first of them the whole clip, whatever it says; training songs out of fold.

        crops: (start_hop, frames) at a stride of the house's spectrogram. table: a folder to keep features in, so that
        a killed prediction continues.
        """
        times = [(0.0, store.samples / store.sample_rate), *stretches(crops[1:], stride, MelSpec())]
        if table is not None:
            described = make_table(store, ids, times, self.listener, table)
        else:
            rows = [self.listener.describe(store.raw[store.index(name)], store.sample_rate, times) for name in ids]
            described = torch.stack(rows).numpy()
        models = np.array([self.record.model_of.get(name, 0) for name in ids]).repeat(len(times))
        emotion = self.head.predict(described.reshape(len(models), -1), models).reshape(len(ids), len(times), 2)
        rater_sd = np.broadcast_to(np.array(self.record.rater_sd, np.float32), emotion.shape)
        return CropPredictions(emotion.astype(np.float32), rater_sd, described[..., -self.listener.named_width :])


def train(store: ClipStore, split: Split, config: FrozenConfig, folder: Path, seed: int = 0) -> FrozenRecord:
    """Fit a head on the training songs into `folder`; continues after a kill.

    Validation and test songs are not looked at: the penalty is chosen out of fold.
    """
    first = find(published(config.weights))
    listener = Listener.open(first)
    whole = [(0.0, store.samples / store.sample_rate)]
    described = make_table(store, split.train, whole, listener, folder / FEATURES_FOLDER)[:, 0]
    folds = folds_by_artist(store, split.train, config.folds, seed)
    labels, deviations = store.labels(split.train), store.deviations(split.train)
    head = fit(described, labels, folds, config.kernel, config.penalties)

    predicted = head.predict(described, folds + 1)
    # Two sources of a listener's distance: the head's own error, and the raters' deviation around their mean.
    known = deviations.astype(np.float64) ** 2
    raters = np.nanmean(known, 0) if np.isfinite(known).any(0).all() else np.zeros(2)
    rater_sd = np.sqrt(((predicted - labels) ** 2).mean(0) + raters)
    record = FrozenRecord(
        weights=str(first),
        weights_sha256=first.digest,
        warnings=standing_warnings.of_musicnn(),
        kernel=config.kernel,
        penalties=tuple(head.penalties.tolist()),
        rater_sd=tuple(rater_sd.tolist()),
        training_clips=len(split.train),
        model_of={name: int(fold) + 1 for name, fold in zip(split.train, folds, strict=True)},
    )
    arrays = {name: value for name, value in vars(head).items() if name != "kernel"}
    save_tensors(folder / HEAD_FILE, {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()})
    write_json(folder / CONFIG_FILE, asdict(record))
    return record


def load(folder: Path, weights: Path | None = None) -> FrozenTeacher:
    """Read what `train` wrote; RunError where the network's weights are other ones than it was fitted on."""
    path = folder / CONFIG_FILE
    again = f"delete {folder} and run the teacher stage again"
    if not path.is_file() or not (folder / HEAD_FILE).is_file():
        raise RunError(f"{folder}: no musicnn teacher here; run the teacher stage")
    record = from_json(FrozenRecord, read_json(path), str(path), again)
    first: FirstWeights = find(published(weights))
    if first.digest != record.weights_sha256:
        raise RunError(
            f"{folder}: was fitted on other weights (SHA-256 {record.weights_sha256[:12]}, here {first.digest[:12]}); "
            f"{again}"
        )
    arrays = {name: tensor.numpy() for name, tensor in load_tensors(folder / HEAD_FILE, again).items()}
    return FrozenTeacher(Listener.open(first), Head(kernel=record.kernel, **arrays), record)


def folds_by_artist(store: ClipStore, ids: Sequence[str], folds: int, seed: int) -> NDArray[np.int64]:
    """Deal songs to folds [N], all of an artist to one; as many folds as artists where those are fewer."""
    artists = [artist_key(store.clips[store.index(name)]) for name in ids]
    names = sorted(set(artists))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[artist]: place % folds for place, artist in enumerate(order.tolist())}
    return np.array([fold_of[artist] for artist in artists], np.int64)
