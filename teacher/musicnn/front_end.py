"""Log-mel spectrogram of the musicnn networks, in float32: what they were trained on, not what the house's models hear.

Conventions: mono at 16 kHz in [-1, 1], n_fft 512, hop 256, periodic Hann, edges reflected, 96 Slaney mel bands up to 8
kHz, power, log10(1 + 10 000 power). Frames are 16 ms apart; the networks look at windows of 187 of them (3 s).
Padding, framing, DFT and filters are those of `pocketmood.mel`; reflection and logarithm are this network's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pocketmood.audio import FULL_SCALE, resample
from pocketmood.errors import DataError
from pocketmood.mel import MelFrontEnd
from pocketmood.spec import MelSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPEC = MelSpec(sample_rate=16_000, n_fft=512, hop=256, bands=96, high_hz=8_000.0)
"""Its numbers; the level range is not used, for these levels are neither scaled nor clamped."""
WINDOW_FRAMES = 187
"""Frames that the networks were trained on: 3 s."""
_POWER_SCALE = 10_000.0


class MusicnnFrontEnd(nn.Module):
    """Map waveforms [B, S] at 16 kHz to levels [B, T, M], T = 1 + S // 256."""

    def __init__(self) -> None:
        """Build the constant matrices of the DFT and the filters."""
        super().__init__()
        self.mel = MelFrontEnd(SPEC)

    def forward(self, wave: Tensor) -> Tensor:
        """Compute the levels of whole waveforms; DataError where one is too short to reflect."""
        half = SPEC.n_fft // 2
        if wave.shape[-1] <= half:
            raise DataError(
                f"a waveform of {wave.shape[-1]} samples at 16 kHz is too short, at least {half + 1} needed"
            )
        # The edges are reflected as librosa did when the networks were trained; since 0.10 it pads with zeros.
        context = nn.functional.pad(wave[:, None], (half, half), mode="reflect")[:, 0]
        # In float32 throughout: the published code stores powers as float16, which loud music overflows.
        with torch.autocast(wave.device.type, enabled=False):
            return torch.log10(1 + _POWER_SCALE * self.mel.powers(context.float()))


def at_16_khz(raw: NDArray[np.int16], sample_rate: int) -> NDArray[np.int16]:
    """Resample a stored clip [S] to 16 kHz; int16 as before, 1e-5 of full scale apart from the exact result."""
    import numpy as np

    from pocketmood.data.clips import to_int16

    wave = resample(raw.astype(np.float32) / np.float32(FULL_SCALE), sample_rate, SPEC.sample_rate)
    return to_int16(wave)
