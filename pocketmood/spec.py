"""Numbers that define the spectrogram, and the mel filter bank. No torch: who only predicts reads them from a bundle.

Conventions: times in samples unless a name says `_s`, frequencies in Hz, levels in dB re a power of 1 (never re a
clip's own maximum, which would erase loudness, the first cue of arousal). Filters: Slaney's Auditory Toolbox (1998)
mel scale, linear below 1 kHz, logarithmic above, triangles of unit area.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pocketmood.errors import DataError
from pocketmood.records import from_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POWER_FLOOR = 1e-10
"""Least power of a band, -100 dB: silence has no logarithm."""

_LINEAR_HZ_PER_MEL = 200 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27


@dataclass(frozen=True)
class MelSpec:
    """Everything that decides a spectrogram's numbers."""

    sample_rate: int = 22_050
    """Samples per second of the mono waveform."""
    seconds: float = 30.0
    """Length of a clip in seconds."""
    n_fft: int = 2_048
    """Length of a frame and its periodic Hann window, in samples."""
    hop: int = 512
    """Distance between frames in samples."""
    bands: int = 128
    """Number of mel bands."""
    low_hz: float = 0.0
    """Lower edge of the lowest band."""
    high_hz: float = 11_025.0
    """Upper edge of the highest band."""
    low_db: float = -60.0
    """Level that becomes -1; below it everything is -1."""
    high_db: float = 40.0
    """Level that becomes +1; recorded music peaks between +17 and +37 dB."""

    def __post_init__(self) -> None:
        """Refuse numbers that no spectrogram can have."""
        if not 0 <= self.low_hz < self.high_hz <= self.sample_rate / 2:
            raise DataError(f"mel range {self.low_hz} to {self.high_hz} Hz does not fit {self.sample_rate} Hz audio")
        if self.low_db >= self.high_db:
            raise DataError(f"level range {self.low_db} to {self.high_db} dB is empty")
        if self.hop < 1 or self.bands < 1 or self.n_fft < 2 or self.n_fft & (self.n_fft - 1):
            raise DataError(
                f"n_fft {self.n_fft} must be a power of two, hop {self.hop} and bands {self.bands} positive"
            )

    @property
    def samples(self) -> int:
        """Samples of a clip."""
        return round(self.seconds * self.sample_rate)

    def frames(self, samples: int) -> int:
        """Frames of a centred, zero-padded spectrogram of so many samples."""
        return 1 + samples // self.hop

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MelSpec:
        """Rebuild a spec from `to_dict`; unknown or missing keys are a DataError."""
        return from_json(cls, values, "a mel spec", error=DataError)

    @property
    def hash(self) -> str:
        """Sixteen hex digits that change when any number does."""
        # As floats, because JSON tells 30 from 30.0 and a spectrogram does not.
        text = json.dumps({key: float(value) for key, value in self.to_dict().items()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def hz_to_mel(hz: float) -> float:
    """Map a frequency to Slaney's mel scale."""
    if hz < _BREAK_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return _BREAK_MEL + math.log(hz / _BREAK_HZ) / _LOG_STEP


def mel_to_hz(mel: float) -> float:
    """Map a mel value back to a frequency."""
    if mel < _BREAK_MEL:
        return mel * _LINEAR_HZ_PER_MEL
    return _BREAK_HZ * math.exp(_LOG_STEP * (mel - _BREAK_MEL))


def mel_edges(spec: MelSpec) -> NDArray[np.float64]:
    """Return where the triangles of the filter bank begin, peak and end, in Hz: [M + 2], band m at m, m + 1, m + 2."""
    import numpy as np

    mels = np.linspace(hz_to_mel(spec.low_hz), hz_to_mel(spec.high_hz), spec.bands + 2)
    return np.array([mel_to_hz(float(mel)) for mel in mels])


def mel_filters(spec: MelSpec) -> NDArray[np.float64]:
    """Make the filter bank [M, n_fft // 2 + 1] that weighs bin powers into band powers, in float64."""
    import numpy as np

    bins_hz = np.arange(spec.n_fft // 2 + 1) * spec.sample_rate / spec.n_fft
    edges_hz = mel_edges(spec)
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising = (bins_hz - low) / (centre - low)
    falling = (high - bins_hz) / (high - centre)
    # Of both slopes the lower one counts, which is negative outside of the triangle.
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    filters: NDArray[np.float64] = triangles * (2.0 / (high - low))
    return filters
