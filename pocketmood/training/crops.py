"""Crops of clips as training items: cut from the waveform, drawn without hidden state.

Conventions: a crop is (start_hop, frames) at a frame stride: frames start_hop, start_hop + stride, ... of the whole
clip's own spectrogram. Item `index` of epoch `epoch` depends on (seed, epoch, index) only, so a killed run that starts
again sees the same crops in the same order. Items hold waveform slices; the spectrogram is made on the training device.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pocketmood.audio import FULL_SCALE
from pocketmood.errors import DataError
from pocketmood.mel import MelFrontEnd, context
from pocketmood.spec import MelSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.training.variants import Variants

Crop = tuple[int, int]
"""(start_hop, frames): first frame in hops of the spec, number of frames at the stride in use."""
_FRAMES_IN_CACHE = 256
"""So many frames at a time stay in a CPU's cache: 8.7 instead of 19 ms per clip of 256 frames."""


@dataclass(frozen=True)
class CropGeometry:
    """Which frames of a clip a crop may consist of."""

    stride: int
    """Every so-many-th frame of the clip's own spectrogram."""
    frames: int
    """Frames of a crop, at the stride."""
    crops: tuple[Crop, ...] | None = None
    """The crops to choose from, which then say their frames themselves; None for crops anywhere in the clip."""
    spec: MelSpec = field(default_factory=MelSpec)
    """What decides the spectrogram's numbers."""

    @property
    def span(self) -> int:
        """Frames of the whole clip, at stride 1, that a crop reaches over."""
        return 1 + (self.frames - 1) * self.stride


@dataclass(frozen=True)
class Augment:
    """How much a training crop may differ from the clip it comes from; zeros change nothing."""

    gain_db: float = 0.0
    """Largest change of level, up or down, in dB."""
    bands: int = 0
    """Widest run of mel bands masked per crop (SpecAugment)."""
    frames: int = 0
    """Widest run of frames masked per crop (SpecAugment)."""
    variants: Variants | None = None
    """The songs at other tempos and pitches: a crop is taken from one of them or from the song, each as likely."""


class SyntheticClips(Protocol):
    """Spectrograms with emotions that no song was rated for; training only, whoever passes them on sees to that."""

    @property
    def ids(self) -> Sequence[str]:
        """One per item; lists the clips several times over where an epoch is to visit them as often."""

    @property
    def mels(self) -> NDArray[Any]:
        """[N, 1, M, T] at stride 1."""

    @property
    def labels(self) -> NDArray[np.float32]:
        """[N, 2]."""


class CropDataset(Dataset[dict[str, Any]]):
    """One crop per clip and epoch, from rated clips and, behind them, synthetic spectrograms.

    Set `epoch` before each pass. Items: "context" [C] (or "mel" [1, M, T] for a synthetic one), "labels" [2],
    "deviations" [2] (NaN where unknown), "mask" [4] (see `apply_mask`), "index" and, with fixed crops, "crop".
    """

    def __init__(
        self,
        store: ClipStore,
        ids: Sequence[str],
        geometry: CropGeometry,
        augment: Augment | None = None,
        synthetic: SyntheticClips | None = None,
        seed: int = 0,
    ) -> None:
        """Draw from the clips `ids`; DataError where a crop is longer than a clip."""
        self.store, self.geometry, self.augment = store, geometry, augment or Augment()
        self.synthetic, self.seed, self.epoch = synthetic, seed, 0
        self.rows = [store.index(name) for name in ids]
        self.labels = store.labels(ids)
        self.deviations = store.taught_deviations(ids)
        self.variants = self.augment.variants
        self.variant_rows = [] if self.variants is None else self.variants.rows(ids)  # [N][K]
        self.total_frames = geometry.spec.frames(store.raw.shape[1])
        if geometry.span > self.total_frames:
            raise DataError(
                f"a crop of {geometry.frames} frames at stride {geometry.stride} is longer than a clip "
                f"({self.total_frames})"
            )

    def __len__(self) -> int:
        """Return the number of clips, synthetic ones included."""
        return len(self.rows) + (0 if self.synthetic is None else len(self.synthetic.ids))

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Cut the crop that (seed, epoch, index) decides."""
        # A generator of its own: items then do not depend on who asks for them, or in which order.
        rng = np.random.default_rng([self.seed, self.epoch, index])
        geometry, spec = self.geometry, self.geometry.spec
        item: dict[str, Any] = {"index": index}
        if geometry.crops is None:
            start, frames = int(rng.integers(self.total_frames - geometry.span + 1)), geometry.frames
        else:
            item["crop"] = int(rng.integers(len(geometry.crops)))
            start, frames = geometry.crops[item["crop"]]
        gain_db = rng.uniform(-self.augment.gain_db, self.augment.gain_db)
        item["mask"] = draw_mask(rng, self.augment, spec.bands, frames)

        if index < len(self.rows):
            # Last of all draws: with or without variants an item has the same crop, gain and mask.
            wave, gain = self._wave(index, rng), 10 ** (gain_db / 20)
            item["context"] = context(wave, start, frames, spec, geometry.stride, gain)
            item["labels"], item["deviations"] = self.labels[index], self.deviations[index]
            return item

        assert self.synthetic is not None  # or the index would be past the end
        row = (index - len(self.rows)) % len(self.synthetic.mels)
        mel = self.synthetic.mels[row, :, :, start :: geometry.stride][:, :, :frames].astype(np.float32)
        # There is no waveform to scale: the same gain moves a log spectrogram up or down.
        shift = np.float32(gain_db * 2 / (spec.high_db - spec.low_db))
        item["mel"] = np.clip(mel + shift, -1, 1)
        item["labels"] = np.asarray(self.synthetic.labels[row], np.float32)
        item["deviations"] = np.full(2, np.nan, np.float32)
        return item

    def _wave(self, index: int, rng: np.random.Generator) -> NDArray[np.int16]:
        """Return the song of an item, int16 [S], or one of its variants, which rng then draws."""
        wave: NDArray[np.int16] = self.store.raw[self.rows[index]]
        if self.variants is not None and (number := int(rng.integers(self.variants.count + 1))):
            wave = self.variants.store.raw[self.variant_rows[index][number - 1]]
        return wave


def collate(items: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Stack items to a batch: rows with waveforms first, rows with ready spectrograms behind them."""
    # Waveforms and ready spectrograms have no common shape to stack.
    ordered = [item for item in items if "context" in item] + [item for item in items if "mel" in item]
    batch: dict[str, Tensor] = {}
    for key in ("context", "mel", "labels", "deviations", "mask", "index", "crop"):
        rows = [torch.from_numpy(np.asarray(item[key])) for item in ordered if key in item]
        if rows:
            batch[key] = torch.stack(rows)
    return batch


def apply_mask(mel: Tensor, mask: Tensor) -> Tensor:
    """Replace a run of bands and a run of frames of each spectrogram [B, 1, M, T] by that spectrogram's mean.

    mask: [B, 4] int: first band, number of bands, first frame, number of frames.
    """
    low_band, bands, low_frame, frames = mask[:, :, None].unbind(1)  # each [B, 1]
    band = torch.arange(mel.shape[2], device=mel.device)
    frame = torch.arange(mel.shape[3], device=mel.device)
    in_bands = (band >= low_band) & (band < low_band + bands)  # [B, M]
    in_frames = (frame >= low_frame) & (frame < low_frame + frames)  # [B, T]
    covered = in_bands[:, None, :, None] | in_frames[:, None, None, :]
    return torch.where(covered, mel.mean((2, 3), keepdim=True), mel)


def spectrogram(front: MelFrontEnd, contexts: Tensor) -> Tensor:
    """Compute [B, 1, M, T] from padded slices [B, C], without gradients and in full precision.

    Half precision would overflow: loud music has power above 65 504, so autocast is switched off here.
    """
    with torch.no_grad(), torch.autocast(contexts.device.type, enabled=False):
        if contexts.device.type != "cpu":
            return front.from_context(contexts.float())
        frames = 1 + (contexts.shape[1] - front.spec.n_fft) // front.step_samples
        rows = max(1, _FRAMES_IN_CACHE // frames)
        return torch.cat([front.from_context(part.float()) for part in contexts.split(rows)])


def whole_mels(
    store: ClipStore, ids: Sequence[str], front: MelFrontEnd, batch_size: int = 16
) -> Iterator[tuple[list[str], Tensor]]:
    """Yield (ids, spectrograms [B, 1, M, T]) of whole clips, computed by `front` on the device it lives on."""
    for first in range(0, len(ids), batch_size):
        names = list(ids[first : first + batch_size])
        raw: NDArray[np.int16] = np.stack([store.raw[store.index(name)] for name in names])
        wave = torch.from_numpy(raw).to(front.window.device).float() / FULL_SCALE
        yield names, spectrogram(front, front.padded(wave))


def draw_mask(rng: np.random.Generator, augment: Augment, bands: int, frames: int) -> NDArray[np.int64]:
    """Draw which bands and frames SpecAugment masks; at most half of a short crop."""
    width = int(rng.integers(min(augment.bands, bands // 2) + 1))
    length = int(rng.integers(min(augment.frames, frames // 2) + 1))
    low, first = int(rng.integers(bands - width + 1)), int(rng.integers(frames - length + 1))
    return np.array([low, width, first, length], np.int64)
