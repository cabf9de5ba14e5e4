"""The frozen musicnn teacher: its features under a kernel ridge, trained into a folder and read back from it.

The folder gets head.safetensors and config.json. The network's weights stay where `make weights` put them: nothing of
them is copied into a run, which may be archived or passed on. config.json knows their SHA-256, and another file in
their place is refused. What the network hears in a clip is kept beside them, for every run that has the same clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from pocketmood import standing_warnings
from pocketmood.data.clips import to_int16
from pocketmood.data.run_folder import CONFIG_FILE
from pocketmood.data.split import artist_key
from pocketmood.errors import RunError
from pocketmood.records import from_json
from pocketmood.runs import read_json, write_json
from pocketmood.spec import MelSpec
from pocketmood.training.checkpoints import load_tensors, save_tensors
from pocketmood.training.device import default_device
from pocketmood.training.weights import find
from teacher.musicnn.config import FrozenConfig, Kernel, published
from teacher.musicnn.features import Listener, crop_times, make_table
from teacher.musicnn.head import Head, fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from pocketmood.training.crops import Crop

HEAD_FILE = "head.safetensors"


@dataclass(frozen=True)
class FrozenRecord:
    """What stands beside a head: config.json."""

    networks: tuple[str, ...]
    """The published networks that it listens with, such as MSD_musicnn."""
    weights: str
    """Where their weights came from, in a phrase."""
    weights_sha256: tuple[str, ...]
    """What they are, one for each network."""
    weights_bytes: int
    """Size of their files."""
    weights_folder: str
    """Where they lie, as --musicnn.weights said; empty for those of `make weights`."""
    features_folder: str
    """Where what was heard in clips is kept."""
    spec: MelSpec
    """Sample rate and samples of the clips that it was fitted on."""
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
    """Song of the fit -> the model that has not met its artist; all other clips are predicted by model 0."""


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

    listeners: tuple[Listener, ...] = field(repr=False)
    """Front end and network of each."""
    head: Head = field(repr=False)
    """What it says of their features."""
    record: FrozenRecord
    """Its config.json."""

    @property
    def parameters(self) -> int:
        """Numbers that a prediction needs: those of the networks, and the songs that the head compares with."""
        head = self.head
        numbers = (head.support, head.weights[0], head.centre, head.scale)
        networks = sum(parameter.numel() for listener in self.listeners for parameter in listener.parameters())
        return networks + sum(array.size for array in numbers)

    def predict(self, store: ClipStore, ids: Sequence[str], crops: Sequence[Crop], stride: int) -> CropPredictions:
        """Predict for crops of clips, the first of them the whole clip, whatever it says; training songs out of fold.

        crops: (start_hop, frames) at a stride of the house's spectrogram.
        """
        times = crop_times(store, crops, stride)
        described = _tables(store, ids, times, self.listeners, Path(self.record.features_folder))
        models = np.array([self.record.model_of.get(name, 0) for name in ids])
        return self._of_features(described, models)

    def hear(self, wave: NDArray[np.float32]) -> CropPredictions:
        """Predict for one waveform [S] in [-1, 1] of `record.spec`, as of a song that it was not fitted on."""
        spec = self.record.spec
        whole, raw = [(0.0, spec.samples / spec.sample_rate)], to_int16(wave)
        heard = [listener.hear(raw, spec.sample_rate).pooled(whole).numpy() for listener in self.listeners]
        return self._of_features(np.concatenate(heard, 1)[None], np.zeros(1, np.int64))

    def _of_features(self, described: NDArray[np.float32], models: NDArray[np.int64]) -> CropPredictions:
        """Predict from features [B, K, F], each clip by the model of its number [B]."""
        clips, crops = described.shape[:2]
        predicted = self.head.predict(described.reshape(clips * crops, -1), models.repeat(crops))
        emotion: NDArray[np.float32] = predicted.reshape(clips, crops, 2).astype(np.float32)
        rater_sd = np.broadcast_to(np.array(self.record.rater_sd, np.float32), emotion.shape)
        # Of each network the last ones: units and tags.
        ends = np.cumsum([listener.width for listener in self.listeners])
        named = [described[..., end - each.named_width : end] for each, end in zip(self.listeners, ends, strict=True)]
        return CropPredictions(emotion, rater_sd, np.concatenate(named, -1))


def _tables(
    store: ClipStore,
    ids: Sequence[str],
    times: Sequence[tuple[float, float]],
    listeners: Sequence[Listener],
    folder: Path,
) -> NDArray[np.float32]:
    """Describe stretches of clips by every network: features [N, K, F], one network's behind the other's."""
    return np.concatenate([make_table(store, ids, times, listener, folder) for listener in listeners], -1)


def train(
    store: ClipStore,
    split: Split,
    config: FrozenConfig,
    folder: Path,
    seed: int = 0,
    networks: Sequence[str] = ("MSD_musicnn",),
) -> FrozenRecord:
    """Fit a head on training and validation songs into `folder`; continues after a kill.

    Validation has nothing to choose here: penalties are chosen out of fold. So its songs are fitted on like the others,
    and predicted, like the others, by a model that has not met their artist. Test songs are not looked at.
    """
    found = [find(published(config.weights, network)) for network in networks]
    listeners = [Listener.open(first).to(default_device()) for first in found]
    songs = [*split.train, *split.validation]
    whole = [(0.0, store.samples / store.sample_rate)]
    described = _tables(store, songs, whole, listeners, config.features)[:, 0]
    folds = folds_by_artist(store, songs, config.folds, seed)
    labels, deviations = store.labels(songs), store.deviations(songs)
    head = fit(described, labels, folds, config.kernel, config.penalties)

    predicted = head.predict(described, folds + 1)
    # Two sources of a listener's distance: the head's own error, and the raters' deviation around their mean.
    known = deviations.astype(np.float64) ** 2
    raters = np.nanmean(known, 0) if np.isfinite(known).any(0).all() else np.zeros(2)
    rater_sd = np.sqrt(((predicted - labels) ** 2).mean(0) + raters)
    record = FrozenRecord(
        networks=tuple(networks),
        weights="; ".join(map(str, found)),
        weights_sha256=tuple(first.digest for first in found),
        weights_bytes=sum(first.size for first in found),
        weights_folder=str(config.weights.resolve()) if config.weights else "",
        features_folder=str(config.features.resolve()),
        spec=replace(MelSpec(), seconds=store.samples / store.sample_rate),
        warnings=standing_warnings.once(*map(standing_warnings.of_musicnn, networks)),
        kernel=config.kernel,
        penalties=tuple(head.penalties.tolist()),
        rater_sd=tuple(rater_sd.tolist()),
        training_clips=len(songs),
        model_of={name: int(fold) + 1 for name, fold in zip(songs, folds, strict=True)},
    )
    arrays = {name: value for name, value in vars(head).items() if name != "kernel"}
    save_tensors(folder / HEAD_FILE, {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()})
    write_json(folder / CONFIG_FILE, asdict(record))
    return record


def load(folder: Path) -> FrozenTeacher:
    """Read what `train` wrote; RunError where the network's weights are other ones than it was fitted on."""
    record = read_record(folder)
    # Of a run that was brought from another machine the folder may be missing; the right weights may be here all the
    # same, and their hash tells.
    named = Path(record.weights_folder) if record.weights_folder else None
    place = named if named and named.exists() else None
    again, listeners = _again(folder), []
    for network, digest in zip(record.networks, record.weights_sha256, strict=True):
        first = find(published(place, network))
        if first.digest != digest:
            raise RunError(
                f"{folder}: was fitted on other weights of {network} (SHA-256 {digest[:12]}, here "
                f"{first.digest[:12]}); {again}"
            )
        listeners.append(Listener.open(first))
    arrays = {name: tensor.numpy() for name, tensor in load_tensors(folder / HEAD_FILE, again).items()}
    return FrozenTeacher(tuple(listeners), Head(kernel=record.kernel, **arrays), record)


def read_record(folder: Path) -> FrozenRecord:
    """Read the record of a trained head; RunError where there is none."""
    path = folder / CONFIG_FILE
    if not path.is_file() or not (folder / HEAD_FILE).is_file():
        raise RunError(f"{folder}: no musicnn teacher here; run the teacher stage")
    return from_json(FrozenRecord, read_json(path), str(path), _again(folder))


def _again(folder: Path) -> str:
    return f"delete {folder} and run the teacher stage again"


def folds_by_artist(store: ClipStore, ids: Sequence[str], folds: int, seed: int) -> NDArray[np.int64]:
    """Deal songs to folds [N], all of an artist to one; as many folds as artists where those are fewer."""
    artists = [artist_key(store.clips[store.index(name)]) for name in ids]
    names = sorted(set(artists))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[artist]: place % folds for place, artist in enumerate(order.tolist())}
    return np.array([fold_of[artist] for artist in artists], np.int64)
