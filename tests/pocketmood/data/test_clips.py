"""A store gives back what went in, shares its map, and refuses what does not fit."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketmood.data.clips import Clip, ClipStore, to_int16
from pocketmood.emotion import Emotion
from pocketmood.errors import DataError
from pocketmood.spec import MelSpec

SPEC = MelSpec(seconds=0.1)
CLIPS = [
    Clip("2", Path("a folder/2.mp3"), Emotion(0.25, -0.5), Emotion(0.3, 0.4), 'Artist, "the"'),
    Clip("x", None, None, None, None, synthetic=True),
]


def write(folder: Path) -> ClipStore:
    rng = np.random.default_rng(0)
    return ClipStore.write(folder, CLIPS, rng.uniform(-1, 1, (2, SPEC.samples)), SPEC)


def test_a_store_gives_back_what_went_in(tmp_path: Path) -> None:
    store = write(tmp_path)
    expected = np.random.default_rng(0).uniform(-1, 1, (2, SPEC.samples))
    assert store.clips == CLIPS
    assert store.waveform("2").dtype == np.float32
    np.testing.assert_allclose(store.waveforms(["2", "x"]), expected, rtol=0, atol=0.5 / 32_768 + 1e-7)
    np.testing.assert_allclose(store.labels(["2"]), [[0.25, -0.5]], rtol=0, atol=0)
    np.testing.assert_allclose(store.deviations(["2"]), [[0.3, 0.4]], rtol=0, atol=1e-7)
    assert np.isnan(store.labels(["x"])).all()


def test_widths_are_taught_by_misses_where_no_deviation_is_known(tmp_path: Path) -> None:
    store = write(tmp_path / "some")
    np.testing.assert_array_equal(store.taught_deviations(["2", "x"]), store.deviations(["2", "x"]))
    tags = [replace(clip, deviation=None) for clip in CLIPS]
    store = ClipStore.write(tmp_path / "none", tags, np.zeros((2, SPEC.samples)), SPEC)
    assert not store.knows_deviations and np.isnan(store.deviations(["2"])).all()
    np.testing.assert_array_equal(store.taught_deviations(["2", "x"]), np.zeros((2, 2)))


def test_a_shorter_window_is_the_middle_of_each_clip(tmp_path: Path) -> None:
    spec = MelSpec(seconds=0.1)
    waves = np.random.default_rng(0).uniform(-0.9, 0.9, (2, spec.samples)).astype(np.float32)
    clips = [Clip(name, None, None, None) for name in "ab"]
    whole = ClipStore.write(tmp_path / "store", clips, waves, spec)
    middle = ClipStore.open(tmp_path / "store", samples=5)
    first = (spec.samples - 5) // 2
    np.testing.assert_array_equal(middle.waveform("b"), whole.waveform("b")[first : first + 5])
    assert middle.raw.shape == (2, 5) and middle.samples == 5
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(middle)).waveform("a"), middle.waveform("a"))
    with pytest.raises(DataError, match=f"clips of {spec.samples} samples, a model of {spec.samples + 1}"):
        ClipStore.open(tmp_path / "store", samples=spec.samples + 1)


def test_int16_by_hand() -> None:
    np.testing.assert_array_equal(to_int16(np.array([0, 0.5, -1, 1, 3, -3])), [0, 16384, -32768, 32767, 32767, -32768])


def test_the_map_is_read_only_and_stays_behind_when_pickled(tmp_path: Path) -> None:
    store = write(tmp_path)
    with pytest.raises(ValueError, match="read-only"):
        store.raw[0, 0] = 1
    data = pickle.dumps(store)
    assert len(data) < SPEC.samples
    np.testing.assert_array_equal(pickle.loads(data).waveform("x"), store.waveform("x"))


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no clip store here"):
        ClipStore.open(tmp_path)
    with pytest.raises(DataError, match="clip 2"):
        ClipStore.write(tmp_path / "s", CLIPS, [np.zeros(5)] * 2, SPEC)
    store = write(tmp_path)
    with pytest.raises(DataError, match="no clip 'y'"):
        store.waveform("y")
    with (tmp_path / "clips.i16").open("ab") as file:
        file.truncate(100)
    with pytest.raises(DataError, match="100 bytes"):
        ClipStore.open(tmp_path)
    for text, match in (
        ("[]", "no clips, sample_rate, samples in store.json"),
        ('{"clips": 2}', "no sample_rate, samples"),
    ):
        (tmp_path / "store.json").write_text(text)
        with pytest.raises(DataError, match=match):
            ClipStore.open(tmp_path)


def test_a_store_without_its_table_is_refused(tmp_path: Path) -> None:
    spec = MelSpec(seconds=0.1)
    ClipStore.write(tmp_path, [Clip("x", None, None, None)], [np.zeros(spec.samples)], spec)
    (tmp_path / "index.csv").unlink()
    with pytest.raises(DataError, match=r"no index\.csv; delete the folder and run `pocketmood data` again"):
        ClipStore.open(tmp_path)
