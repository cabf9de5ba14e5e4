"""Training songs of the GAN, the only clips that it may see, and conditions drawn from their ratings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pocketmood.emotion import Emotion
from pocketmood.errors import DataError
from pocketmood.mel import MelFrontEnd
from pocketmood.training.crops import whole_mels
from pocketmood.training.device import default_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split

LANDMARKS = {
    "sad-calm": Emotion(-0.8, -0.6),
    "happy-energetic": Emotion(0.8, 0.7),
    "angry-tense": Emotion(-0.3, 0.8),
    "content-relaxed": Emotion(0.5, -0.5),
    "neutral": Emotion(0.0, 0.0),
}
"""Named emotions, one in each quadrant and the middle: what every sheet of samples and the listening page show."""


class TrainingSongs:
    """Real, rated clips of the training part, as spectrograms made on the training device batch by batch.

    Any other clip is refused: what the generator has seen of validation or test would leak into their scores.
    """

    def __init__(self, store: ClipStore, split: Split, device: torch.device | None = None) -> None:
        """Take the training part of the split; DataError if it holds a clip that may not be there."""
        held_out = {*split.validation, *split.test}
        # Checked here and again in `mels`, although the split has been checked before: this is the leak that a score
        # would never show.
        self.store, self._allowed = store, frozenset(split.train)
        for id_ in split.train:
            clip = store.clips[store.index(id_)]
            if id_ in held_out or clip.synthetic or clip.label is None:
                why = "held out too" if id_ in held_out else "synthetic" if clip.synthetic else "without a rating"
                raise DataError(f"training clip {id_!r} is {why}; the generator learns from real training songs only")
        self.ids = list(split.train)
        if len(self.ids) < 2:
            raise DataError(f"the training part holds {len(self.ids)} songs, a generator needs at least 2")
        self.labels = store.labels(self.ids)
        # Every frame, not every fifth: synthetic clips must serve networks of any stride.
        self.front = MelFrontEnd().to(device or default_device()).eval()

    def mels(self, ids: Sequence[str]) -> Tensor:
        """Compute the spectrograms [B, 1, M, T] of training songs; DataError for any other clip."""
        strangers = sorted(set(ids) - self._allowed)
        if strangers:
            raise DataError(
                f"clip {strangers[0]!r} is not in the training part of the split; the generator may not see it"
            )
        return torch.cat([mel for _, mel in whole_mels(self.store, ids, self.front, max(len(ids), 1))])

    def band_means(self, most: int, seed: int) -> Tensor:
        """Return the mean level of each mel band [M] over at most so many songs."""
        # Song by song: of each spectrogram only the means are kept.
        rng = np.random.default_rng([seed, len(self.ids)])
        chosen = sorted(rng.permutation(len(self.ids))[:most])
        means = [self.mels([self.ids[row]]).mean((0, 1, 3)) for row in chosen]
        return torch.stack(means).mean(0)


def draw_conditions(
    labels: NDArray[np.float32], count: int, kind: str, jitter: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw emotions [N, D] from the density of `labels` (a label plus noise of `jitter`), or "uniform" over the plane.

    Values stay in [-1, 1].
    """
    # From the songs' own density by default: valence and arousal correlate at about .6, and clips for emotions that no
    # song has would teach the teacher what no listener said.
    if kind == "uniform":
        return rng.uniform(-1, 1, (count, 2)).astype(np.float32)
    chosen = labels[rng.integers(len(labels), size=count)]
    return add_jitter(chosen, jitter, rng)


def add_jitter(labels: NDArray[np.float32], jitter: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Blur emotions [N, D] by noise of the deviation `jitter`, within [-1, 1]."""
    return np.clip(labels + jitter * rng.standard_normal(labels.shape), -1, 1).astype(np.float32)
