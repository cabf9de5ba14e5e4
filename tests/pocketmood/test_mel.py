"""The front end against librosa in float64, against the obvious slow twin, and against what one can work by hand."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pocketmood.errors import DataError
from pocketmood.mel import MelBank, MelFrontEnd, context, normalise, to_db
from pocketmood.spec import MelSpec, hz_to_mel, mel_filters, mel_to_hz

SPEC = MelSpec()
SHORT = MelSpec(seconds=3.0)


def sounds() -> dict[str, NDArray[np.float32]]:
    """Everything but recorded music, which `test_recordings.py` has."""
    rng, time_s = np.random.default_rng(0), np.arange(SHORT.samples) / SHORT.sample_rate
    tone = np.sin(2 * np.pi * 440 * time_s)
    sweep = np.sin(2 * np.pi * 100 * time_s * (1 + 15 * time_s))
    return {
        "loud noise": rng.uniform(-1, 1, SHORT.samples).astype(np.float32),
        "quiet noise": (1e-3 * rng.standard_normal(SHORT.samples)).astype(np.float32),
        "tone": (0.5 * tone).astype(np.float32),
        "sweep": (0.5 * sweep).astype(np.float32),
        "clipped": np.clip(4 * tone, -1, 1).astype(np.float32),
        "one click": np.eye(1, SHORT.samples, 30_000, dtype=np.float32)[0],
        "silence": np.zeros(SHORT.samples, np.float32),
    }


def librosa_db(wave: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return librosa's spectrogram [M, T] in dB, computed in float64."""
    power = librosa.feature.melspectrogram(
        y=wave.astype(np.float64), sr=22_050, n_fft=2_048, hop_length=512, n_mels=128, pad_mode="constant"
    )
    return np.asarray(librosa.power_to_db(power, ref=1.0, top_db=None), np.float64)


def our_db(wave: NDArray[np.float32], spec: MelSpec = SHORT) -> NDArray[np.float64]:
    with torch.inference_mode():
        mel = MelFrontEnd(spec)(torch.from_numpy(wave)[None])
        return to_db(mel, spec)[0, 0].double().numpy()


def slow_twin(wave: NDArray[np.float32], spec: MelSpec, frame: int) -> NDArray[np.float64]:
    """Compute one frame [M] from the definitions: a window, a sum of cosines per bin, a triangle per band."""
    padded = np.concatenate([np.zeros(spec.n_fft // 2), wave.astype(np.float64), np.zeros(spec.n_fft)])
    n = np.arange(spec.n_fft)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / spec.n_fft)
    piece = padded[frame * spec.hop : frame * spec.hop + spec.n_fft] * hann
    bins = [abs(np.sum(piece * np.exp(-2j * np.pi * k * n / spec.n_fft))) ** 2 for k in range(spec.n_fft // 2 + 1)]
    levels = []
    steps = np.linspace(hz_to_mel(spec.low_hz), hz_to_mel(spec.high_hz), spec.bands + 2)
    for band in range(spec.bands):
        low, centre, high = (mel_to_hz(float(steps[band + i])) for i in range(3))
        power = 0.0
        for k, bin_power in enumerate(bins):
            hz = k * spec.sample_rate / spec.n_fft
            height = (hz - low) / (centre - low) if hz < centre else (high - hz) / (high - centre)
            power += max(height, 0.0) * 2 / (high - low) * bin_power
        levels.append(10 * math.log10(max(power, 1e-10)))
    return np.clip(levels, spec.low_db, spec.high_db)


# A pure tone leaves bins 97 dB below its peak, at the end of float32: torch.stft, with its FFT, is off by 2e-3 to
# 6e-3 dB there, sums of products by 1e-2 to 2.5e-2. Music and noise have no such gaps.
LIMIT_DB = dict.fromkeys(sounds(), 1e-2) | {"tone": 5e-2, "clipped": 5e-2}


@pytest.mark.parametrize("name", sounds())
def test_equals_librosa_in_float64(name: str) -> None:
    wave = sounds()[name]
    ours, theirs = our_db(wave), librosa_db(wave)
    assert ours.shape == theirs.shape
    difference = np.abs(ours - np.clip(theirs, SPEC.low_db, SPEC.high_db))
    assert difference.max() < LIMIT_DB[name]  # over the whole clamped range
    assert difference[theirs > -20].max(initial=0) < 1e-3  # dB


def test_equals_the_slow_twin() -> None:
    wave = sounds()["sweep"]
    ours = our_db(wave)
    for frame in (0, 1, 57, ours.shape[1] - 1):
        np.testing.assert_allclose(ours[:, frame], slow_twin(wave, SHORT, frame), rtol=0, atol=1e-2)


def test_filters_equal_librosa() -> None:
    theirs = librosa.filters.mel(sr=22_050, n_fft=2_048, n_mels=128, dtype=np.float64)
    np.testing.assert_allclose(mel_filters(SPEC), theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        MelSpec(n_fft=1_024, bands=64, low_hz=50, high_hz=8_000),
        MelSpec(n_fft=512, bands=3),
        MelSpec(n_fft=16, bands=40),  # ten neighbouring bands lie between two bins
    ],
)
def test_blocks_of_filters_weigh_every_bin_once(spec: MelSpec) -> None:
    """The slow twin is the whole filter bank times the powers of all bins."""
    n1 = {2_048: 64, 1_024: 32, 512: 32, 16: 4}[spec.n_fft]
    n2, powers = spec.n_fft // n1, np.random.default_rng(0).uniform(0, 1, (3, spec.n_fft // 2 + 1))
    laid_out = np.zeros((n1 // 2 + 1, 3, n2), np.float32)
    for column in range(n2):
        k2 = column // 2 if column % 2 == 0 else n2 - 1 - column // 2
        for k1 in range(n1 // 2 + 1):
            k = k1 + n1 * k2
            laid_out[k1, :, column] = powers[:, min(k, spec.n_fft - k)]
    found = MelBank(spec, n1, n2)(torch.from_numpy(laid_out)).numpy()
    np.testing.assert_allclose(found, powers @ mel_filters(spec).T, rtol=1e-6, atol=1e-9)


def test_the_front_ends_constants_are_small() -> None:
    """Window 8 kB, first stage 17, second 541, filters 148; as one block the filters would hold 541."""
    assert sum(4 * constant.numel() for constant in MelFrontEnd().buffers()) == 713_600


@pytest.mark.parametrize("band", [3, 20, 64, 100, 127])
def test_a_tone_lands_in_its_band(band: int) -> None:
    edges = np.linspace(hz_to_mel(0), hz_to_mel(11_025), 130)
    centre_hz = mel_to_hz(float(edges[band + 1]))
    wave = 0.5 * np.sin(2 * np.pi * centre_hz * np.arange(SHORT.samples) / SHORT.sample_rate)
    middle = our_db(wave.astype(np.float32))[:, 60]
    assert middle.argmax() == band


def test_a_full_clip_has_the_shape_of_the_contract() -> None:
    assert (SPEC.samples, SPEC.frames(SPEC.samples)) == (661_500, 1_292)
    mel = MelFrontEnd()(torch.zeros(2, SPEC.samples))
    assert mel.shape == (2, 1, 128, 1_292)
    assert mel.eq(-1).all()


@pytest.mark.parametrize("stride", [2, 3, 4, 5, 7])
def test_a_stride_keeps_every_so_manyth_frame(stride: int) -> None:
    wave = torch.from_numpy(sounds()["loud noise"])[None]
    whole = MelFrontEnd(SHORT)(wave)[..., ::stride]
    strided = MelFrontEnd(SHORT, stride)(wave)
    torch.testing.assert_close(strided, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("frames", [20, 26, 40])
def test_a_fixed_number_of_frames_cuts_or_adds_silence(frames: int) -> None:
    wave = torch.from_numpy(sounds()["loud noise"])[None]
    whole = MelFrontEnd(SHORT, 5)(wave)
    fixed = MelFrontEnd(SHORT, 5, frames)(wave)
    kept = min(frames, whole.shape[-1])
    assert fixed.shape[-1] == frames
    torch.testing.assert_close(fixed[..., :kept], whole[..., :kept], rtol=0, atol=1e-6)
    # the first frame after the clip still looks back into it; the next lies in silence
    assert fixed[..., kept + 1 :].eq(-1).all()


@pytest.mark.parametrize(("start_hop", "stride"), [(0, 5), (35, 5), (100, 5), (7, 1), (90, 2)])
def test_a_crop_is_a_window_of_the_whole_clips_spectrogram(start_hop: int, stride: int) -> None:
    wave = (sounds()["sweep"] * 32_767).astype(np.int16)
    front = MelFrontEnd(SHORT, stride)
    whole = MelFrontEnd(SHORT)(torch.from_numpy(wave.astype(np.float32) / 32_768)[None])
    crop = front.from_context(torch.from_numpy(context(wave, start_hop, 6, SHORT, stride))[None])
    expected = whole[..., start_hop : start_hop + 6 * stride : stride]
    torch.testing.assert_close(crop[..., : expected.shape[-1]], expected, rtol=0, atol=1e-6)


def test_a_batch_equals_its_clips() -> None:
    waves = torch.from_numpy(np.stack([sounds()["tone"], sounds()["quiet noise"]]))
    front = MelFrontEnd(SHORT)
    together = front(waves)
    for row in range(2):
        torch.testing.assert_close(together[row], front(waves[row : row + 1])[0], rtol=0, atol=1e-5)


def test_twice_the_amplitude_is_six_decibels_and_nothing_else() -> None:
    wave = 0.1 * sounds()["loud noise"]
    np.testing.assert_allclose(our_db(2 * wave) - our_db(wave), 20 * math.log10(2), rtol=0, atol=1e-3)


def test_level_map_by_hand() -> None:
    db = torch.tensor([-100.0, -60.0, -10.0, 40.0, 60.0])
    torch.testing.assert_close(normalise(db, SPEC), torch.tensor([-1.0, -1.0, 0.0, 1.0, 1.0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        to_db(normalise(db, SPEC), SPEC), torch.tensor([-60.0, -60.0, -10.0, 40.0, 40.0]), rtol=0, atol=1e-5
    )


def test_mel_scale_by_hand() -> None:
    assert hz_to_mel(1_000) == pytest.approx(15, rel=0, abs=1e-12)
    assert hz_to_mel(6_400) == pytest.approx(15 + 27, rel=0, abs=1e-9)
    assert mel_to_hz(hz_to_mel(3_210)) == pytest.approx(3_210, rel=0, abs=1e-9)


def test_the_hash_knows_every_number_and_survives_json() -> None:
    hashes = {SPEC.hash, *(MelSpec(**{name: value}).hash for name, value in CHANGES.items())}
    assert len(hashes) == 1 + len(CHANGES)
    assert MelSpec.from_dict(SPEC.to_dict()).hash == SPEC.hash


CHANGES = {
    "sample_rate": 22_051,
    "seconds": 29.0,
    "n_fft": 1_024,
    "hop": 511,
    "bands": 64,
    "low_hz": 20.0,
    "high_hz": 11_000.0,
    "low_db": -80.0,
    "high_db": 30.0,
}


@pytest.mark.parametrize("wrong", [{"n_fft": 2_000}, {"hop": 0}, {"high_hz": 12_000.0}, {"low_db": 50.0}, {"bands": 0}])
def test_impossible_numbers_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError):
        MelSpec(**wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="exactly"):
        MelSpec.from_dict({"hop": 512})
