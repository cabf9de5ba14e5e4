"""Errors by quadrant and block, shares of the ceiling and the worst songs, against values by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from benchmarks.record import Record
from benchmarks.report import breakdown
from benchmarks.report.accuracy import ogg

LABELS = np.array([[0.5, 0.5], [0.3, 0.1], [-0.5, -0.5], [0.4, -0.2]])


def test_quadrants_by_hand() -> None:
    predicted = LABELS + np.array([[0.1, -0.1], [-0.4, 0.1], [0.0, 0.0], [0.0, 0.0]])
    found = {errors.part: errors for errors in breakdown.by_quadrant(LABELS, {"x": predicted})}
    assert set(found) == {"happy-energetic", "sad-calm", "content-relaxed"}  # nobody put a song into the fourth
    happy = found["happy-energetic"]
    # errors .1, -.1, -.4, .1: squares add up to .19 over four numbers
    assert happy.songs == 2 and happy.rmse == pytest.approx(np.sqrt(0.19 / 4), abs=1e-12)
    assert happy.bias_valence == pytest.approx(-0.15, abs=1e-12)
    assert happy.bias_arousal == pytest.approx(0, abs=1e-12)
    assert happy.put_there == 0.5  # the second one went to the left half
    assert found["sad-calm"].rmse == 0 and found["sad-calm"].put_there == 1


def test_blocks_of_ids_and_too_few_songs() -> None:
    rng = np.random.default_rng(0)
    labels = rng.uniform(-1, 1, (50, 2))
    ids = [str(number) for number in [*range(981, 1001), *range(1001, 1029), 2001, 2058]]
    found = breakdown.by_block(breakdown.blocks(ids, ["deam"] * 50), labels, {"x": labels}, repeats=20, seed=0)
    assert [(block.part, block.songs) for block in found] == [
        ("1 to 1000", 20), ("1001 to 2000", 28), ("2001 and above", 2)
    ]  # fmt: skip
    assert found[0].ccc == pytest.approx(1, abs=1e-12) and found[2].ccc is None


def test_numbers_of_other_corpora_are_no_ids_of_deam() -> None:
    assert not any(rows.any() for rows in breakdown.blocks(["3", "4"], ["pmemo", "pmemo"]).values())


def test_shares_of_the_ceiling() -> None:
    rows = [Record("best", ccc_mean=0.9), Record("ours", ccc_mean=0.63), Record("not scored")]
    assert breakdown.ceiling_shares(rows, "best") == {"ours": pytest.approx(0.7, abs=1e-12)}
    assert breakdown.ceiling_shares([Record("best"), rows[1]], "best") == {}


def test_the_worst_songs_come_first() -> None:
    predicted = LABELS + np.array([[0.1, 0.0], [0.3, 0.4], [0.0, 0.2], [0.0, 0.0]])
    assert breakdown.worst_songs(["a", "b", "c", "d"], LABELS, predicted, 2) == [1, 2]


def test_a_song_travels_small_and_whole() -> None:
    rate, seconds = 22_050, 10
    time_s = np.arange(rate * seconds) / rate
    wave = (0.3 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)
    data = ogg(wave, rate)
    assert len(data) < 80_000
    heard, heard_rate = soundfile.read(io.BytesIO(data))
    assert heard_rate == rate and len(heard) == pytest.approx(len(wave), abs=2048)
    assert np.abs(heard).max() == pytest.approx(0.3, abs=0.05)
