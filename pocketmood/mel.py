"""The one spectrogram of generator, teacher, student and phone, with operators that every exporter takes.

A DFT of N = N1 * N2 points in two stages of small matrix products (Bailey 1990): with n = n1 N2 + n2, k = k1 + N1 k2,

    X[k1 + N1 k2] = sum_n2 ( sum_n1 x[n1 N2 + n2] w_N1^(n1 k1) ) * w_N^(n2 k1) * w_N2^(n2 k2)

The input is real, so k1 = 0 .. N1/2 is enough: bins above N/2 mirror bins below and are folded into the mel filters.
Against one dense DFT matrix this is four times faster on a phone runtime and 2.2 MB instead of 17 MB of constants.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pocketmood.clips import FULL_SCALE
from pocketmood.errors import DataError
from pocketmood.spec import POWER_FLOOR, MelSpec, mel_filters

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DB_PER_LN = 10 / math.log(10)


class MelFrontEnd(nn.Module):
    """Map waveforms [B, S] in [-1, 1] to log-mel spectrograms [B, 1, M, T] in [-1, 1].

    With a `stride` only every so-many-th frame is computed (the cost falls with it); `frames` fixes T, cutting the tail
    or padding it with silence.
    """

    def __init__(self, spec: MelSpec | None = None, stride: int = 1, frames: int | None = None) -> None:
        """Build the constant matrices in float64 and store them as float32 buffers."""
        super().__init__()
        self.spec = spec or MelSpec()
        if stride < 1:
            raise DataError(f"frame stride {stride} must be at least 1")
        self.stride, self.frames = stride, frames
        n_fft = self.spec.n_fft
        self.n1 = 2 ** ((n_fft.bit_length() - 1) // 2)
        self.n2, self.k1 = n_fft // self.n1, self.n1 // 2 + 1
        first, second = _dft_stages(self.n1, self.n2, self.k1)
        self.first: Tensor
        self.second: Tensor
        self.filters: Tensor
        # The window multiplies inside the first stage's input; buffers must be persistent for torch.export.
        self.window: Tensor
        self.register_buffer("window", torch.hann_window(n_fft, periodic=True, dtype=torch.float64).float())
        self.register_buffer("first", first.float())
        self.register_buffer("second", second.float())
        self.register_buffer("filters", _folded_filters(self.spec, self.n1, self.n2, self.k1).float())

    @property
    def step_samples(self) -> int:
        """Samples between two computed frames."""
        return self.spec.hop * self.stride

    def frame_count(self, samples: int) -> int:
        """Frames T of a waveform of so many samples."""
        return self.frames or -(-self.spec.frames(samples) // self.stride)

    def forward(self, wave: Tensor) -> Tensor:
        """Compute the centred, zero-padded spectrogram of whole waveforms [B, S]."""
        frames = self.frame_count(wave.shape[-1])
        half = self.spec.n_fft // 2
        needed = (frames - 1) * self.step_samples + self.spec.n_fft
        right = needed - half - wave.shape[-1]
        if right < 0:
            wave = wave[:, : wave.shape[-1] + right]
        return self.from_context(nn.functional.pad(wave, (half, max(right, 0))))

    def from_context(self, context: Tensor) -> Tensor:
        """Compute the frames of an already padded slice [B, C], C = (T - 1) * step_samples + n_fft."""
        n_fft, step = self.spec.n_fft, self.step_samples
        batch, length = context.shape
        frames = (length - n_fft) // step + 1
        if step >= n_fft:  # frames do not overlap: no gather, no copy but the slice
            rows = nn.functional.pad(context, (0, frames * step - length)) if frames * step > length else context
            x = rows[:, : frames * step].reshape(batch, frames, step)[:, :, :n_fft]
        else:
            blocks = -(-n_fft // step)
            total = (frames + blocks - 1) * step
            rows = nn.functional.pad(context, (0, max(total - length, 0)))[:, :total]
            rows = rows.reshape(batch, frames + blocks - 1, step)
            x = torch.cat([rows[:, i : i + frames] for i in range(blocks)], 2)[:, :, :n_fft]
        return self._log_mel(x * self.window)

    def _log_mel(self, x: Tensor) -> Tensor:
        """Turn windowed frames [B, T, n_fft] into [B, 1, M, T]."""
        batch, frames = x.shape[:2]
        rows = batch * frames
        x = x.reshape(rows, self.n1, self.n2).transpose(1, 2) @ self.first  # [BT, N2, 2 K1]
        x = x.reshape(rows, self.n2, 2, self.k1).permute(3, 0, 2, 1).reshape(self.k1, rows, 2 * self.n2)
        x = torch.bmm(x, self.second)  # [K1, BT, 2 N2]
        power = x[:, :, : self.n2] * x[:, :, : self.n2] + x[:, :, self.n2 :] * x[:, :, self.n2 :]
        power = power.permute(1, 0, 2).reshape(rows, self.k1 * self.n2) @ self.filters  # [BT, M]
        mel = _scaled(torch.log(power.clamp(min=POWER_FLOOR)), _DB_PER_LN, self.spec)
        return mel.reshape(batch, frames, 1, self.spec.bands).permute(0, 2, 3, 1)


def normalise(db: Tensor, spec: MelSpec) -> Tensor:
    """Map the spec's level range to [-1, 1] and clamp."""
    return _scaled(db, 1.0, spec)


def _scaled(level: Tensor, db_per_unit: float, spec: MelSpec) -> Tensor:
    """Map levels to [-1, 1] in one product and one sum: every float32 rounding here costs 4e-6 dB."""
    per_db = 2 / (spec.high_db - spec.low_db)
    return (level * (db_per_unit * per_db) - (spec.low_db * per_db + 1)).clamp(-1, 1)


def to_db(mel: Tensor, spec: MelSpec) -> Tensor:
    """Map spectrogram values in [-1, 1] back to dB; what was clamped stays clamped."""
    return (mel + 1) * ((spec.high_db - spec.low_db) / 2) + spec.low_db


def context(
    wave: NDArray[np.int16] | NDArray[np.float32],
    start_hop: int,
    frames: int,
    spec: MelSpec,
    stride: int = 1,
    gain: float = 1.0,
) -> NDArray[np.float32]:
    """Cut the slice [C] whose spectrogram is frames start_hop, start_hop + stride, ... of the whole clip's own.

    `wave` [S] may be int16 (scaled to [-1, 1]) or float32; outside of the clip lies silence, as in the whole
    spectrogram. `gain` makes it louder. C = (frames - 1) * hop * stride + n_fft, for `MelFrontEnd.from_context`.
    """
    start = start_hop * spec.hop - spec.n_fft // 2
    length = (frames - 1) * spec.hop * stride + spec.n_fft
    low, high = np.clip([start, start + length], 0, len(wave)).tolist()
    # Not zeros: for large arrays these come fresh from the system, page by page.
    slice_ = np.empty(length, np.float32)
    slice_[: low - start], slice_[high - start :] = 0, 0
    scale = np.float32(gain / FULL_SCALE if wave.dtype == np.int16 else gain)
    np.multiply(wave[low:high], scale, out=slice_[low - start : high - start])
    return slice_


def _dft_stages(n1: int, n2: int, k1: int) -> tuple[Tensor, Tensor]:
    """Make the matrices [N1, 2 K1] and, with twiddle factors, [K1, 2 N2, 2 N2]: complex products written as real."""

    def arange(n: int) -> Tensor:
        return torch.arange(n, dtype=torch.float64)

    angle = 2 * math.pi * torch.outer(arange(n1), arange(k1)) / n1
    first = torch.cat([angle.cos(), -angle.sin()], 1)
    turns = arange(k1)[:, None, None] / (n1 * n2) + arange(n2)[None, None, :] / n2
    angle = 2 * math.pi * arange(n2)[None, :, None] * turns
    cos, sin = angle.cos(), -angle.sin()
    second = torch.cat([torch.cat([cos, sin], 2), torch.cat([-sin, cos], 2)], 1)
    return first, second


def _folded_filters(spec: MelSpec, n1: int, n2: int, k1: int) -> Tensor:
    """Spread the mel filters over the order in which the two stages leave the bins: [K1 * N2, M].

    A bin and its mirror image hold the same power; whichever comes first carries the weight, the other gets zero.
    """
    filters = torch.from_numpy(mel_filters(spec))  # [M, n_fft // 2 + 1]
    folded = torch.zeros(k1, n2, spec.bands, dtype=torch.float64)
    seen: set[int] = set()
    for a in range(k1):
        for b in range(n2):
            k = a + n1 * b
            k = min(k, spec.n_fft - k)
            if k not in seen:
                seen.add(k)
                folded[a, b] = filters[:, k]
    return folded.reshape(k1 * n2, spec.bands)
