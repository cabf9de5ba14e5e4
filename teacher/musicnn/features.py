"""Pooled features of clips and crops: what MSD_musicnn hears in windows of 3 s, averaged over the windows.

Conventions: a crop is (start_hop, frames) at a frame stride of the house's spectrogram, as everywhere; here it is a
stretch of the clip's own 16 kHz spectrogram, in windows of 187 frames evenly over it (two or three for 7.4 s).
Features [F] are, averaged over windows: mean, maximum and deviation in time of every channel, the units below the
tags, and the tags' logits. No deviation over windows: a crop of two has none to speak of, and whole clips did not need
it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pocketmood.audio import FULL_SCALE
from pocketmood.errors import RunError
from pocketmood.spec import MelSpec
from pocketmood.training.checkpoints import load_tensors, save_tensors
from teacher.musicnn.front_end import SPEC, WINDOW_FRAMES, MusicnnFrontEnd, at_16_khz
from teacher.musicnn.network import Musicnn, build

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.training.crops import Crop
    from pocketmood.training.weights import FirstWeights

CHUNK = 32
"""Clips whose features are saved together: what a kill can cost."""
_BATCH = 10
"""Windows that are looked at together: those of a clip, 100 MB of activations."""


class Listener(nn.Module):
    """Front end and frozen network: levels of a clip in, features of its crops out."""

    def __init__(self, network: Musicnn) -> None:
        """Wrap a network."""
        super().__init__()
        self.front, self.network = MusicnnFrontEnd(), network.requires_grad_(False).eval()

    @classmethod
    def open(cls, first: FirstWeights) -> Listener:
        """Build it from the weights that were found; RunError where there are none."""
        if not first.place:
            raise RunError(f"no musicnn weights ({first.reason}); type `make weights`")
        return cls(build(load_tensors(Path(first.place), "type `make weights` again")))

    @property
    def width(self) -> int:
        """Number of features F."""
        return 3 * self.network.channels + self.named_width

    @property
    def named_width(self) -> int:
        """Number of the last features, units and tags: those that a student is shown."""
        return self.network.units + self.network.tags.out_features

    def describe(self, raw: NDArray[np.int16], sample_rate: int, stretches: Sequence[tuple[float, float]]) -> Tensor:
        """Describe stretches (start_s, end_s) of a stored clip [S]: features [K, F]."""
        wave = torch.from_numpy(at_16_khz(raw, sample_rate).astype(np.float32) / FULL_SCALE)
        place = self.network.dense.weight.device
        with torch.inference_mode():
            levels = self.front(wave[None].to(place))[0]  # [T, M]
            starts = [window_starts(len(levels), *stretch) for stretch in stretches]
            # A window that several crops share is looked at once.
            wanted = sorted({start for found in starts for start in found})
            cut = levels.unfold(0, WINDOW_FRAMES, 1).transpose(1, 2)[wanted]  # [W, 187, M]
            seen = torch.cat([self._window_features(part) for part in cut.split(_BATCH)])
            row = {start: number for number, start in enumerate(wanted)}
            return torch.stack([seen[[row[start] for start in found]].mean(0) for found in starts])

    def _window_features(self, windows: Tensor) -> Tensor:
        """Compute the features [W, F] of windows [W, T, M]."""
        found = self.network(windows)
        in_time = (found.frames.mean(2), found.frames.amax(2), found.frames.std(2, correction=0))
        return torch.cat([*in_time, found.penultimate, found.tags], 1)


def window_starts(frames: int, start_s: float, end_s: float) -> list[int]:
    """Lay windows evenly over a stretch of a clip of so many frames; return their first frames.

    As many as fit without overlap, rounded, at least one; one that is longer than the stretch lies around its middle.
    """
    rate, last = SPEC.sample_rate / SPEC.hop, frames - WINDOW_FRAMES
    if last < 0:
        raise RunError(f"a clip of {frames} frames is shorter than the network's window of {WINDOW_FRAMES} (3 s)")
    low, high = round(start_s * rate), min(round(end_s * rate), frames)
    count = max(1, round((high - low) / WINDOW_FRAMES))
    if count == 1:
        return [min(max((low + high - WINDOW_FRAMES) // 2, 0), last)]
    evenly = np.linspace(low, high - WINDOW_FRAMES, count)
    return [min(max(round(float(start)), 0), last) for start in evenly]


def stretches(crops: Sequence[Crop], stride: int, spec: MelSpec) -> list[tuple[float, float]]:
    """Turn crops into (start_s, end_s) of the clip."""
    hop_s = spec.hop / spec.sample_rate
    return [(start * hop_s, (start + (frames - 1) * stride + 1) * hop_s) for start, frames in crops]


def make_table(
    store: ClipStore, ids: Sequence[str], times: Sequence[tuple[float, float]], listener: Listener, folder: Path
) -> NDArray[np.float32]:
    """Describe stretches of clips: features [N, K, F]; what is in `folder` already is not computed again.

    The folder belongs to a stage whose fingerprint knows clips, stretches and weights.
    """
    return np.concatenate(list(_chunks(store, ids, times, listener, folder)))


def _chunks(
    store: ClipStore, ids: Sequence[str], times: Sequence[tuple[float, float]], listener: Listener, folder: Path
) -> Iterator[NDArray[np.float32]]:
    """Yield the features of a few clips at a time, each written whole before the next begins."""
    from tqdm import tqdm

    for first in tqdm(range(0, len(ids), CHUNK), "musicnn", disable=not sys.stderr.isatty(), leave=False):
        path = folder / f"features-{first:06}.safetensors"
        if not path.is_file():
            names = ids[first : first + CHUNK]
            found = [listener.describe(store.raw[store.index(name)], store.sample_rate, times) for name in names]
            save_tensors(path, {"features": torch.stack(found)})
        yield load_tensors(path)["features"].numpy()
