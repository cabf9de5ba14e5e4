"""Trivial descriptors: a tone's centroid, a sine's level, the rate of clicks; by hand and by a slow twin."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.studies import descriptors
from pocketmood.data.clips import Clip, ClipStore
from pocketmood.spec import MelSpec, mel_edges

SPEC = MelSpec()
TIME_S = np.arange(SPEC.samples) / SPEC.sample_rate


def described(tmp_path: Path, *waves: NDArray[np.float64]) -> descriptors.Descriptors:
    clips = [Clip(str(number), None, None, None) for number in range(len(waves))]
    store = ClipStore.write(tmp_path / "store", clips, waves, SPEC)
    return descriptors.describe(store, store.ids)


def test_a_tones_centroid_is_its_frequency_and_a_sines_level_is_known(tmp_path: Path) -> None:
    tones = [0.5 * np.sin(2 * np.pi * hz * TIME_S) for hz in (1000, 4000)]
    both = described(tmp_path, *tones, np.sqrt(2) * 0.5 * np.sin(2 * np.pi * 440 * TIME_S), np.zeros(SPEC.samples))
    # Where a band's triangle is as wide as this, a tone between two centres is heard up to so far from where it is; the
    # clip's two edges are clicks, two of 1292 frames.
    assert both.centroid_hz[:2] == pytest.approx([1000, 4000], rel=0.03, abs=0)
    assert both.centroid_hz[3] == 0
    # A sine of amplitude a has the mean square a^2 / 2: .125 is -9.03 dB, .25 is -6.02 dB. int16 is good for 1e-3 dB.
    assert both.level_db == pytest.approx([-9.031, -9.031, -6.021, descriptors.LOWEST_DB], rel=0, abs=2e-3)


def test_clicks_are_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    waves = []
    for rate in (1, 4):
        wave = 1e-3 * rng.standard_normal(SPEC.samples)
        for click in range(30 * rate):
            start = round((click + 0.5) / rate * SPEC.sample_rate)
            wave[start : start + 400] += 0.3 * rng.standard_normal(400)
        waves.append(np.clip(wave, -1, 1))
    # 1292 frames are 30.0 s and a hop more.
    rates = described(tmp_path, *waves, 0.2 * np.sin(2 * np.pi * 500 * TIME_S)).onsets_per_second
    assert rates == pytest.approx([30 / 30, 120 / 30, 0], rel=0, abs=0.05)


def test_centroid_by_hand() -> None:
    """Two bands of equal density: amplitudes are as their widths; silent frames and clamped bands count as nothing."""
    db = np.full((SPEC.bands, 2), SPEC.low_db)
    db[[10, 100], 0] = 0.0
    edges = mel_edges(SPEC)
    low, high = edges[12] - edges[10], edges[102] - edges[100]
    wanted = (edges[11] * low + edges[101] * high) / (low + high)
    assert descriptors.centroid_hz(db, SPEC) == pytest.approx(wanted, rel=1e-12, abs=0)
    # 20 dB less is a tenth of the amplitude.
    db[100, 0] = -20.0
    wanted = (edges[11] * low + edges[101] * high / 10) / (low + high / 10)
    assert descriptors.centroid_hz(db, SPEC) == pytest.approx(wanted, rel=1e-12, abs=0)


def test_flux_by_hand() -> None:
    # Band 0 rises by 6, then falls by 6; band 1 falls by 2, then rises by 3: means of 3 and 1.5.
    assert descriptors.spectral_flux(np.array([[0.0, 6, 0], [0, -2, 1]])).tolist() == [0, 3, 1.5]


def slow_onsets(flux: list[float]) -> int:
    """Count the peaks one frame at a time."""
    found = 0
    for frame, value in enumerate(flux):
        near = flux[max(frame - descriptors.PEAK_FRAMES, 0) : frame + descriptors.PEAK_FRAMES + 1]
        around = flux[max(frame - descriptors.AROUND_FRAMES, 0) : frame + descriptors.AROUND_FRAMES + 1]
        repeats = frame > 0 and flux[frame - 1] == value
        if value == max(near) and value >= math.fsum(around) / len(around) + descriptors.RISE_DB and not repeats:
            found += 1
    return found


def test_onsets_equal_a_slow_twin() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        # Whole dB, so that neighbours are often equal.
        db = rng.integers(-8, 8, (2, 300)).astype(float)
        seconds = 300 * SPEC.hop / SPEC.sample_rate
        wanted = slow_onsets(descriptors.spectral_flux(db).tolist())
        assert wanted > 10
        assert descriptors.onset_rate(db, SPEC) * seconds == pytest.approx(wanted, rel=0, abs=1e-9)
