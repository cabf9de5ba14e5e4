"""Log-mel spectrogram, one for generator, teacher, student and phone, in operators that every exporter takes.

A DFT of N = N1 * N2 points in two stages of small matrix products (Bailey 1990): with n = n1 N2 + n2, k = k1 + N1 k2,

    X[k1 + N1 k2] = sum_n2 ( sum_n1 x[n1 N2 + n2] w_N1^(n1 k1) ) * w_N^(n2 k1) * w_N2^(n2 k2)

The input is real, so k1 = 0 .. N1/2 is enough: bins above N/2 mirror bins below and are folded into the mel filters.
The second stage leaves k2 in such an order that its column c holds the bins from c N1/2 to (c + 1) N1/2. A block of
neighbouring bands then reads a few neighbouring columns, and its filters hold little but what a triangle covers.

Against one dense DFT matrix this is four times faster on a phone runtime and 0.7 MB instead of 17 MB of constants. N1 =
64 and four blocks were chosen among 32, 64, 128 and 1, 2, 4, 8, lowered for XNNPACK: with 32 (the second stage takes
1.1 instead of 0.5 MB) and with one block (0.5 instead of 0.15 MB) it was no faster, with 128 a third slower. A second
stage that holds cos and sin once (0.3 MB less) made the front end an eighth slower, for its products are twice as many.

The price of N1 = 64 is that the first stage adds 64 products in float32: on recorded music the root mean square error
is 1.0 to 1.4 times that of a float32 FFT (4e-5 dB at most), with 32 it was 0.8 to 1.1 times
(tests/pocketmood/test_recordings.py).
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pocketmood.audio import FULL_SCALE
from pocketmood.errors import DataError
from pocketmood.spec import POWER_FLOOR, MelSpec, mel_filters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

BLOCKS = 4
"""Blocks of neighbouring mel bands, each with filters for its own bins."""
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
        self.n1 = 2 ** (n_fft.bit_length() // 2)
        self.n2, self.k1 = n_fft // self.n1, self.n1 // 2 + 1
        first, second = _dft_stages(self.n1, self.n2, self.k1)
        self.first: Tensor
        self.second: Tensor
        # The window multiplies inside the first stage's input; buffers must be persistent for torch.export.
        self.window: Tensor
        self.register_buffer("window", torch.hann_window(n_fft, periodic=True, dtype=torch.float64).float())
        self.register_buffer("first", first.float())
        self.register_buffer("second", second.float())
        self.bank = MelBank(self.spec, self.n1, self.n2)

    @property
    def step_samples(self) -> int:
        """Samples between two computed frames."""
        return self.spec.hop * self.stride

    def frame_count(self, samples: int) -> int:
        """Frames T of a waveform of so many samples."""
        return self.frames or -(-self.spec.frames(samples) // self.stride)

    def forward(self, wave: Tensor) -> Tensor:
        """Compute the centred, zero-padded spectrogram of whole waveforms [B, S]."""
        return self.from_context(self.padded(wave))

    def padded(self, wave: Tensor) -> Tensor:
        """Pad or cut whole waveforms [B, S] to the slice [B, C] that `from_context` takes for their spectrogram."""
        frames = self.frame_count(wave.shape[-1])
        return centred(wave, self.spec, (frames - 1) * self.step_samples + self.spec.n_fft)

    def from_context(self, context: Tensor) -> Tensor:
        """Compute the frames of an already padded slice [B, C], C = (T - 1) * step_samples + n_fft."""
        x = self.framed(context)  # [B, T, n_fft]
        batch, frames = x.shape[:2]
        mel = log_mel(x, self.spec, partial(torch.matmul, other=self.first), self.second, self.bank)  # [BT, M]
        return mel.reshape(batch, frames, 1, self.spec.bands).permute(0, 2, 3, 1)

    def powers(self, context: Tensor) -> Tensor:
        """Compute the powers of bands [B, T, M] of a padded slice, without logarithm, range or clamp."""
        x = self.framed(context)
        mel = band_powers(x, self.spec.n_fft, partial(torch.matmul, other=self.first), self.second, self.bank)
        return mel.reshape(*x.shape[:2], self.spec.bands)

    def framed(self, context: Tensor) -> Tensor:
        """Cut a padded slice [B, C] into windowed frames [B, T, n_fft]."""
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
        return x * self.window


def centred(wave: Tensor, spec: MelSpec, length: int) -> Tensor:
    """Lay waveforms [B, S] into slices [B, length], so that the first frame's middle is the first sample.

    Outside of the waveform lies silence; what does not fit behind is cut.
    """
    half = spec.n_fft // 2
    right = length - half - wave.shape[-1]
    # Sliced only where something is cut: a slice over the full length becomes `alias`, which XNNPACK does not take.
    if right < 0:
        wave = wave[:, : wave.shape[-1] + right]
    return nn.functional.pad(wave, (half, max(right, 0)))


def log_mel(
    frames: Tensor,
    spec: MelSpec,
    first: Callable[[Tensor], Tensor],
    second: Tensor,
    bank: Callable[[Tensor], Tensor],
) -> Tensor:
    """Turn windowed frames [..., n_fft] into rows of mel levels [R, M] in [-1, 1]: DFT, power, mel bands, logarithm.

    The one definition, for training as for every exported program. They differ in the form of two products, because
    runtimes take different ones: first, that of the DFT's first stage, [R, N2, N1] to as many rows of 2 K1; and bank,
    powers of bins [K1, R, N2] to powers of bands [R, M]. second: the second stage, [K1, 2 N2, 2 N2].
    """
    power = band_powers(frames, spec.n_fft, first, second, bank)
    # The floor makes silence a number; it lies at -100 dB, below every level range in use.
    return _scaled(torch.log(power.clamp(min=POWER_FLOOR)), _DB_PER_LN, spec)


def band_powers(
    frames: Tensor,
    n_fft: int,
    first: Callable[[Tensor], Tensor],
    second: Tensor,
    bank: Callable[[Tensor], Tensor],
) -> Tensor:
    """Turn windowed frames [..., n_fft] into rows of band powers [R, M]; first, second and bank as in `log_mel`."""
    k1, n2 = second.shape[0], second.shape[1] // 2
    rows = math.prod(frames.shape[:-1])
    x = first(frames.reshape(rows, n_fft // n2, n2).transpose(1, 2))  # [R, N2, 2 K1]
    x = x.reshape(rows, n2, 2, k1).permute(3, 0, 2, 1).reshape(k1, rows, 2 * n2)
    x = torch.bmm(x, second)  # [K1, R, 2 N2], real parts before imaginary ones
    x = x * x
    return bank(x[:, :, :n2] + x[:, :, n2:])


class MelBank(nn.Module):
    """Weigh the powers of bins, as the two stages leave them, into the powers of bands: [K1, R, N2] to [R, M].

    Each block of bands reads only the columns of bins in which its triangles lie; what is left out are products with
    zero.
    """

    def __init__(self, spec: MelSpec, n1: int, n2: int) -> None:
        """Cut the folded filters into blocks, each with the columns that it reads."""
        super().__init__()
        self.columns: list[slice] = []
        for block in _folded_filters(spec, n1, n2).tensor_split(min(BLOCKS, spec.bands), 2):
            used = [column for column in range(n2) if block[:, column].any()] or [0]  # bands may lie between two bins
            self.columns.append(slice(used[0], used[-1] + 1))
            filters = block[:, self.columns[-1]].flatten(0, 1)
            self.register_buffer(f"filters_{len(self.columns) - 1}", filters.float())

    @property
    def filters(self) -> list[Tensor]:
        """The filters of each block: [K1 * its columns, its bands]."""
        return [self.get_buffer(f"filters_{block}") for block in range(len(self.columns))]

    def forward(self, power: Tensor) -> Tensor:
        """Weigh the bins of R frames."""
        return weigh(power, self.columns, [partial(torch.matmul, other=filters) for filters in self.filters])


def weigh(power: Tensor, columns: Sequence[slice], products: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """Map powers of bins [K1, R, N2] to powers of bands [R, M], each block of bands by its own product [R, bins]."""
    rows = power.shape[1]
    bins = (power[:, :, used].permute(1, 0, 2).reshape(rows, -1) for used in columns)
    return torch.cat([product(part) for product, part in zip(products, bins, strict=True)], 1)


def normalise(db: Tensor, spec: MelSpec) -> Tensor:
    """Map the spec's level range to [-1, 1] and clamp."""
    return _scaled(db, 1.0, spec)


def _scaled(level: Tensor, db_per_unit: float, spec: MelSpec) -> Tensor:
    """Map levels to [-1, 1] in one product and one sum: every float32 rounding here costs 4e-6 dB."""
    per_db = 2 / (spec.high_db - spec.low_db)
    return (level * (db_per_unit * per_db) + (-spec.low_db * per_db - 1)).clamp(-1, 1)


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
    column = torch.arange(n2)
    k2 = torch.where(column % 2 == 0, column // 2, n2 - (column + 1) // 2)  # 0, N2 - 1, 1, N2 - 2, ...
    turns = arange(k1)[:, None, None] / (n1 * n2) + k2.double()[None, None, :] / n2
    angle = 2 * math.pi * arange(n2)[None, :, None] * turns
    cos, sin = angle.cos(), -angle.sin()
    second = torch.cat([torch.cat([cos, sin], 2), torch.cat([-sin, cos], 2)], 1)
    return first, second


def _folded_filters(spec: MelSpec, n1: int, n2: int) -> Tensor:
    """Permute the filter bank into the two-stage DFT's bin order: [K1, N2, M].

    In even columns the bins rise with k1, in odd ones, which hold mirror images, they fall. The first and last bin of a
    column stand in its neighbour, too: whichever comes first carries the weight, the other gets zero.
    """
    filters = torch.from_numpy(mel_filters(spec))  # [M, n_fft // 2 + 1]
    half = n1 // 2
    folded = torch.zeros(half + 1, n2, spec.bands, dtype=torch.float64)
    seen: set[int] = set()
    for column in range(n2):
        for a in range(half + 1):
            k = column * half + a if column % 2 == 0 else (column + 1) * half - a
            if k not in seen:
                seen.add(k)
                folded[a, column] = filters[:, k]
    return folded
