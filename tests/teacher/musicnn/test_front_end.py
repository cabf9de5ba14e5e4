"""The 16 kHz spectrogram of the musicnn networks, against a slow twin in float64 and against librosa."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pocketmood.errors import DataError
from pocketmood.spec import hz_to_mel, mel_to_hz
from teacher.musicnn.front_end import SPEC, MusicnnFrontEnd, at_16_khz


def sounds() -> dict[str, NDArray[np.float32]]:
    rng, time_s = np.random.default_rng(0), np.arange(16_000) / 16_000
    tone = np.sin(2 * np.pi * 440 * time_s)
    return {
        "loud noise": rng.uniform(-1, 1, 16_000).astype(np.float32),
        "quiet noise": (1e-3 * rng.standard_normal(16_000)).astype(np.float32),
        "tone at full scale": tone.astype(np.float32),
        "square wave": np.sign(tone).astype(np.float32),
        "silence": np.zeros(16_000, np.float32),
    }


def levels(wave: NDArray[np.float32]) -> NDArray[np.float64]:
    with torch.inference_mode():
        return np.asarray(MusicnnFrontEnd()(torch.from_numpy(wave)[None])[0].double())


def slow_twin(wave: NDArray[np.float32], frame: int) -> NDArray[np.float64]:
    """Compute one frame [M] from the definitions: samples mirrored at the ends, a sum per bin, a triangle per band."""
    last = len(wave) - 1
    places = [abs(place) for place in range(frame * 256 - 256, frame * 256 + 256)]
    piece = np.array([wave[place if place <= last else 2 * last - place] for place in places], np.float64)
    n = np.arange(512)
    piece *= 0.5 - 0.5 * np.cos(2 * np.pi * n / 512)
    bins = [abs(np.sum(piece * np.exp(-2j * np.pi * k * n / 512))) ** 2 for k in range(257)]
    edges = [mel_to_hz(mel) for mel in np.linspace(hz_to_mel(0.0), hz_to_mel(8_000.0), 98)]
    found = []
    for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
        power = 0.0
        for k, value in enumerate(bins):
            hz = k * 16_000 / 512
            slope = min((hz - low) / (centre - low), (high - hz) / (high - centre))
            power += value * max(slope, 0.0) * 2 / (high - low)
        found.append(math.log10(1 + 10_000 * power))
    return np.array(found)


@pytest.mark.parametrize("name", sounds())
def test_frames_equal_the_slow_twin(name: str) -> None:
    wave = sounds()[name]
    ours = levels(wave)
    assert ours.shape == (63, 96)
    for frame in (0, 1, 30, 62):  # both reflected edges, and the middle
        # Absolute, in units of log10: float32 sums of 512 products, where a level is 4 on loud music.
        np.testing.assert_allclose(ours[frame], slow_twin(wave, frame), rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", sounds())
def test_all_frames_equal_librosa(name: str) -> None:
    wave = sounds()[name]
    power = librosa.feature.melspectrogram(
        y=wave.astype(np.float64), sr=16_000, n_fft=512, hop_length=256, n_mels=96, pad_mode="reflect"
    )
    np.testing.assert_allclose(levels(wave), np.log10(1 + 10_000 * power).T, rtol=0, atol=2e-4)


def test_loud_music_does_not_overflow_as_in_float16() -> None:
    wave = sounds()["square wave"]
    power = (10 ** levels(wave) - 1) / 10_000
    # What the published code stores as float16 before it multiplies: 10 000 times this is above 65 504.
    assert 10_000 * power.max() > 65_504
    assert np.isfinite(levels(wave)).all()


def test_silence_is_zero() -> None:
    assert levels(sounds()["silence"]).max() == 0


def test_too_short_a_waveform_is_refused() -> None:
    with pytest.raises(DataError, match="256 samples at 16 kHz is too short, at least 257"):
        MusicnnFrontEnd()(torch.zeros(1, 256))


def test_a_clip_is_resampled_to_as_many_seconds_and_keeps_its_level() -> None:
    time_s = np.arange(661_500) / 22_050
    raw = np.rint(16_384 * np.sin(2 * np.pi * 440 * time_s)).astype(np.int16)
    found = at_16_khz(raw, 22_050)
    assert found.shape == (30 * SPEC.sample_rate,)
    expected = 16_384 * np.sin(2 * np.pi * 440 * np.arange(480_000) / 16_000)
    # Away from the edges, which the filter sees as silence; 2 of 32 768: rounding twice, and the filter's ripple.
    np.testing.assert_allclose(found[1000:-1000], expected[1000:-1000], rtol=0, atol=2)


def test_full_scale_does_not_wrap_around() -> None:
    raw = np.where(np.arange(22_050) // 50 % 2, 32_767, -32_768).astype(np.int16)  # its filtered edges overshoot
    found = at_16_khz(raw, 22_050).astype(int)
    signs = np.sign(found[25:600:1])
    assert (np.abs(np.diff(signs)) > 0).sum() < 40  # a wrap would flip the sign within a half-wave of 36 samples
