"""Pooled features of clips and crops: what a musicnn network hears in windows of 3 s, averaged over the windows.

Conventions: a clip is heard once, in W windows of 187 frames that lie evenly over its 16 kHz spectrogram (ten for
30 s). A crop is (start_hop, frames) at a frame stride of the house's spectrogram, as everywhere; its features are the
mean over those windows of the clip whose middle lies in it, so that crops cost nothing beyond the clip. A window may
reach 1.5 s beyond its crop: an even choice against windows of its own, which cost three times the clip.
Features [F] are: mean, maximum and deviation in time of every channel, the units below the tags, and the tags' logits.
No deviation over windows: a crop of two has none to speak of, and whole clips did not need it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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

_BATCH = 10
"""Windows that are looked at together: those of a clip, 100 MB of activations."""


class Heard(NamedTuple):
    """What a network heard in the windows of a clip."""

    features: Tensor
    """[W, F]."""
    middle_s: Tensor
    """[W] middle of each window."""

    def pooled(self, stretches: Sequence[tuple[float, float]]) -> Tensor:
        """Average over the windows whose middle lies in each stretch (start_s, end_s) of the clip: [K, F].

        A stretch between two middles has the window that is nearest to its own middle.
        """
        rows = []
        for start_s, end_s in stretches:
            inside = (self.middle_s >= start_s) & (self.middle_s <= end_s)
            if not inside.any():
                inside = torch.arange(len(self.middle_s)) == (self.middle_s - (start_s + end_s) / 2).abs().argmin()
            rows.append(self.features[inside].mean(0))
        return torch.stack(rows)


class Listener(nn.Module):
    """Front end and frozen network: levels of a clip in, features of its windows out."""

    def __init__(self, network: Musicnn, identity: str = "") -> None:
        """Wrap a network; identity: what its weights are known by, for features that are kept."""
        super().__init__()
        self.front, self.network = MusicnnFrontEnd(), network.requires_grad_(False).eval()
        self.identity = identity

    @classmethod
    def open(cls, first: FirstWeights) -> Listener:
        """Build it from the weights that were found; RunError where there are none."""
        if not first.place:
            raise RunError(f"no musicnn weights ({first.reason}); type `make weights`")
        return cls(build(load_tensors(Path(first.place), "type `make weights` again")), first.digest)

    @property
    def width(self) -> int:
        """Number of features F."""
        return 3 * self.network.channels + self.named_width

    @property
    def named_width(self) -> int:
        """Number of the last features, units and tags: those that a student is shown."""
        return self.network.units + self.network.tags.out_features

    def hear(self, raw: NDArray[np.int16], sample_rate: int) -> Heard:
        """Hear a stored clip [S], window by window; what comes out lies in host memory."""
        wave = torch.from_numpy(at_16_khz(raw, sample_rate).astype(np.float32) / FULL_SCALE)
        place = self.network.dense.weight.device
        with torch.inference_mode():
            levels = self.front(wave[None].to(place))[0]  # [T, M]
            starts = window_starts(len(levels))
            cut = levels.unfold(0, WINDOW_FRAMES, 1).transpose(1, 2)[starts]  # [W, 187, M]
            features = torch.cat([self._window_features(part) for part in cut.split(_BATCH)])
        # Frames are counted by their middles, the first at the clip's very start.
        middle_s = (torch.tensor(starts) + (WINDOW_FRAMES - 1) / 2) * (SPEC.hop / SPEC.sample_rate)
        return Heard(features.cpu().clone(), middle_s)

    def _window_features(self, windows: Tensor) -> Tensor:
        """Compute the features [W, F] of windows [W, T, M]."""
        found = self.network(windows)
        in_time = (found.frames.mean(2), found.frames.amax(2), found.frames.std(2, correction=0))
        return torch.cat([*in_time, found.penultimate, found.tags], 1)


def window_starts(frames: int) -> list[int]:
    """Lay windows evenly over a clip of so many frames; return their first frames.

    As many as fit without overlap, rounded, at least one, from the very start to the very end. RunError for a clip
    that is shorter than a window.
    """
    if frames < WINDOW_FRAMES:
        raise RunError(f"a clip of {frames} frames is shorter than the network's window of {WINDOW_FRAMES} (3 s)")
    count = max(1, round(frames / WINDOW_FRAMES))
    if count == 1:
        return [(frames - WINDOW_FRAMES) // 2]
    return [round(float(start)) for start in np.linspace(0, frames - WINDOW_FRAMES, count)]


def stretches(crops: Sequence[Crop], stride: int, spec: MelSpec) -> list[tuple[float, float]]:
    """Turn crops into (start_s, end_s) of the clip."""
    hop_s = spec.hop / spec.sample_rate
    return [(start * hop_s, (start + (frames - 1) * stride + 1) * hop_s) for start, frames in crops]


def crop_times(store: ClipStore, crops: Sequence[Crop], stride: int) -> list[tuple[float, float]]:
    """Return (start_s, end_s) of crops, the first of which is the whole clip whatever it says."""
    return [(0.0, store.samples / store.sample_rate), *stretches(crops[1:], stride, MelSpec())]


def make_table(
    store: ClipStore, ids: Sequence[str], times: Sequence[tuple[float, float]], listener: Listener, folder: Path
) -> NDArray[np.float32]:
    """Describe stretches of clips: features [N, K, F]; clips that were heard before are read from `folder`.

    What is kept is known by the clip's samples and the network's weights, whichever run it was heard in. RunError where
    the folder cannot be written.
    """
    from tqdm import tqdm

    rows = []
    for name in tqdm(ids, "musicnn", disable=not sys.stderr.isatty(), leave=False):
        raw = store.raw[store.index(name)]
        rows.append(_heard(raw, store.sample_rate, listener, folder).pooled(times))
    return torch.stack(rows).numpy()


def _heard(raw: NDArray[np.int16], sample_rate: int, listener: Listener, folder: Path) -> Heard:
    """Read what a clip was heard as, or hear it and keep that."""
    clip = sha256(f"{listener.identity} {sample_rate} ".encode() + raw.tobytes()).hexdigest()
    path = folder / clip[:2] / f"{clip}.safetensors"
    if not path.is_file():
        heard = listener.hear(raw, sample_rate)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(path, heard._asdict())
        except OSError as error:
            raise RunError(
                f"{folder}: features cannot be kept there ({error}); name another folder with --musicnn.features"
            ) from error
        return heard
    kept = load_tensors(path, f"delete {path}")
    return Heard(kept["features"], kept["middle_s"])
