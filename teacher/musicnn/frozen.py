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
from pocketmood.training.weights import FirstWeights, find
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

    model: str
    """The published network that it listens with, such as MSD_musicnn."""
    weights: str
    """Where the network's weights came from, in a phrase."""
    weights_sha256: str
    """What they are."""
    weights_bytes: int
    """Size of their file."""
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

    listener: Listener = field(repr=False)
    """Front end and network."""
    head: Head = field(repr=False)
    """What it says of their features."""
    record: FrozenRecord
    """Its config.json."""

    @property
    def parameters(self) -> int:
        """Numbers that a prediction needs: those of the network, and the songs that the head compares with."""
        head = self.head
        numbers = (head.support, head.weights[0], head.centre, head.scale)
        return sum(map(torch.numel, self.listener.parameters())) + sum(array.size for array in numbers)

    def predict(self, store: ClipStore, ids: Sequence[str], crops: Sequence[Crop], stride: int) -> CropPredictions:
        """Predict for crops of clips, the first of them the whole clip, whatever it says; training songs out of fold.

        crops: (start_hop, frames) at a stride of the house's spectrogram.
        """
        times = crop_times(store, crops, stride)
        described = make_table(store, ids, times, self.listener, Path(self.record.features_folder))
        models = np.array([self.record.model_of.get(name, 0) for name in ids])
        return self._of_features(described, models)

    def hear(self, wave: NDArray[np.float32]) -> CropPredictions:
        """Predict for one waveform [S] in [-1, 1] of `record.spec`, as of a song that it was not fitted on."""
        spec = self.record.spec
        heard = self.listener.hear(to_int16(wave), spec.sample_rate)
        described = heard.pooled([(0.0, spec.samples / spec.sample_rate)]).numpy()
        return self._of_features(described[None], np.zeros(1, np.int64))

    def _of_features(self, described: NDArray[np.float32], models: NDArray[np.int64]) -> CropPredictions:
        """Predict from features [B, K, F], each clip by the model of its number [B]."""
        clips, crops = described.shape[:2]
        predicted = self.head.predict(described.reshape(clips * crops, -1), models.repeat(crops))
        emotion: NDArray[np.float32] = predicted.reshape(clips, crops, 2).astype(np.float32)
        rater_sd = np.broadcast_to(np.array(self.record.rater_sd, np.float32), emotion.shape)
        return CropPredictions(emotion, rater_sd, described[..., -self.listener.named_width :])


def train(
    store: ClipStore, split: Split, config: FrozenConfig, folder: Path, seed: int = 0, model: str = "MSD_musicnn"
) -> FrozenRecord:
    """Fit a head on training and validation songs into `folder`; continues after a kill.

    Validation has nothing to choose here: penalties are chosen out of fold. So its songs are fitted on like the others,
    and predicted, like the others, by a model that has not met their artist. Test songs are not looked at.
    """
    first = find(published(config.weights, model))
    listener = Listener.open(first).to(default_device())
    songs = [*split.train, *split.validation]
    whole = [(0.0, store.samples / store.sample_rate)]
    described = make_table(store, songs, whole, listener, config.features)[:, 0]
    folds = folds_by_artist(store, songs, config.folds, seed)
    labels, deviations = store.labels(songs), store.deviations(songs)
    head = fit(described, labels, folds, config.kernel, config.penalties)

    predicted = head.predict(described, folds + 1)
    # Two sources of a listener's distance: the head's own error, and the raters' deviation around their mean.
    known = deviations.astype(np.float64) ** 2
    raters = np.nanmean(known, 0) if np.isfinite(known).any(0).all() else np.zeros(2)
    rater_sd = np.sqrt(((predicted - labels) ** 2).mean(0) + raters)
    record = FrozenRecord(
        model=model,
        weights=str(first),
        weights_sha256=first.digest,
        weights_bytes=first.size,
        weights_folder=str(config.weights.resolve()) if config.weights else "",
        features_folder=str(config.features.resolve()),
        spec=replace(MelSpec(), seconds=store.samples / store.sample_rate),
        warnings=standing_warnings.of_musicnn(model),
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
    first: FirstWeights = find(published(named if named and named.exists() else None, record.model))
    again = _again(folder)
    if first.digest != record.weights_sha256:
        raise RunError(
            f"{folder}: was fitted on other weights (SHA-256 {record.weights_sha256[:12]}, here {first.digest[:12]}); "
            f"{again}"
        )
    arrays = {name: tensor.numpy() for name, tensor in load_tensors(folder / HEAD_FILE, again).items()}
    return FrozenTeacher(Listener.open(first), Head(kernel=record.kernel, **arrays), record)


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
