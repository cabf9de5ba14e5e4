"""Variants of songs: what they sound like, which there are, and when a training hears them."""

from __future__ import annotations

import csv
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from pocketmood.data.clips import Clip, ClipStore
from pocketmood.emotion import Emotion
from pocketmood.errors import ConfigError, DataError
from pocketmood.spec import MelSpec
from pocketmood.training import vary
from pocketmood.training.crops import Augment, CropDataset, CropGeometry
from pocketmood.training.variants import Variants, VariantsConfig
from pocketmood.training.vary import Change, changed, draw_change, fitted, make_variants, open_variants

RATE = 22_050
SPEC = MelSpec(seconds=2.0)
SONGS = tuple("abcdefghijkl")
CONFIG = VariantsConfig(2, 1.2, 3.0)


def sine(hz: float, seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def loudest_hz(wave: np.ndarray) -> float:
    middle = wave[len(wave) // 4 : -len(wave) // 4]
    return float(np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax() * RATE / len(middle))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """Return 13 songs; the last one is nobody's to train on."""
    rng = np.random.default_rng(0)
    clips = [Clip(name, None, Emotion(0.1, -0.2), Emotion(0.3, 0.4)) for name in (*SONGS, "held out")]
    waves = (0.1 * rng.standard_normal(SPEC.samples) for _ in clips)
    return ClipStore.write(tmp_path_factory.mktemp("songs") / "store", clips, waves, SPEC)


@pytest.fixture(scope="module")
def made(store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> Variants:
    pytest.importorskip("librosa")
    return make_variants(store, SONGS, CONFIG, 7, tmp_path_factory.mktemp("made"), workers=1)


@pytest.mark.parametrize(
    ("change", "hz"),
    [
        (Change(1.25, 0), 440),
        (Change(0.8, 0), 440),
        (Change(1, 12), 880),
        (Change(1, -12), 220),
        (Change(1.25, 7), 659.26),
    ],
)
def test_tempo_changes_length_and_pitch_changes_frequency(change: Change, hz: float) -> None:
    pytest.importorskip("librosa")
    wave = changed(sine(440, 3), change)
    # Samples: librosa rounds once, soxr once. Hz: one bin of the transform of half of the wave, 1.1 Hz at most.
    assert len(wave) == pytest.approx(3 * RATE / change.tempo, rel=0, abs=2)
    assert loudest_hz(wave) == pytest.approx(hz, rel=0, abs=1.2)
    # The vocoder keeps the level of a tone: within 15 % (1.2 dB) of its amplitude.
    assert np.abs(wave[RATE // 2 : RATE]).max() == pytest.approx(0.3, rel=0.15, abs=0)


def test_no_change_gives_the_song_back() -> None:
    pytest.importorskip("librosa")
    np.testing.assert_array_equal(changed(sine(440, 1), Change(1.0, 0.0)), sine(440, 1))


def test_a_longer_wave_keeps_its_middle_and_a_shorter_one_begins_again() -> None:
    np.testing.assert_array_equal(fitted(np.arange(7.0), 3), [2, 3, 4])
    np.testing.assert_array_equal(fitted(np.arange(3.0), 7), [0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(fitted(np.arange(3.0), 3), [0, 1, 2])


def test_changes_fill_their_range_and_follow_from_seed_song_and_number() -> None:
    drawn = np.array([draw_change(CONFIG, 0, str(song), number) for song in range(500) for number in (1, 2)])
    tempo, semitones = drawn.T
    assert tempo.min() > 1 / 1.2 and tempo.max() < 1.2 and np.abs(semitones).max() < 3
    # Even in the logarithm and in semitones: of 1000 draws the mean is within 4 standard errors of 0.
    for values, reach in ((np.log(tempo), np.log(1.2)), (semitones, 3.0)):
        assert abs(values.mean()) < 4 * reach / np.sqrt(3 * len(values)) and values.max() > 0.98 * reach
    assert abs(np.corrcoef(tempo, semitones)[0, 1]) < 4 / np.sqrt(len(tempo))

    first = draw_change(CONFIG, 0, "a", 1)
    assert draw_change(CONFIG, 0, "a", 1) == first
    assert first not in (draw_change(CONFIG, 1, "a", 1), draw_change(CONFIG, 0, "b", 1), draw_change(CONFIG, 0, "a", 2))
    assert draw_change(VariantsConfig(1, 1.0, 2.0), 0, "a", 1).tempo == 1
    assert draw_change(VariantsConfig(1, 1.1, 0.0), 0, "a", 1).semitones == 0


def test_variants_are_clips_of_their_songs_length_and_ratings(store: ClipStore, made: Variants) -> None:
    assert made.store.ids[:3] == ["a#1", "a#2", "b#1"] and len(made.store) == 2 * len(SONGS)
    assert made.store.raw.shape == (24, SPEC.samples) and made.rows(["b", "a"]) == [[2, 3], [0, 1]]
    np.testing.assert_array_equal(made.store.labels(["a#1", "l#2"]), store.labels(["a", "l"]))
    np.testing.assert_array_equal(made.store.deviations(["a#1"]), store.deviations(["a"]))

    wave = fitted(changed(store.waveform("b"), draw_change(CONFIG, 7, "b", 2)), SPEC.samples)
    # int16 steps; what is louder than full scale is clipped.
    np.testing.assert_allclose(made.store.waveform("b#2"), np.clip(wave, -1, 1), rtol=0, atol=2 / 32_768)
    with (made.store.folder / vary.CHANGES_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[3]["id"], rows[3]["song"]) == ("b#2", "b")
    assert float(rows[3]["tempo"]) == pytest.approx(draw_change(CONFIG, 7, "b", 2).tempo, rel=0, abs=5e-5)


def test_a_killed_call_continues_and_ends_the_same(
    store: ClipStore, made: Variants, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, done = vary.write_bytes, []

    def stop_at_the_second(path: Path, data: bytes) -> None:
        if done:
            raise KeyboardInterrupt
        write(path, data)
        done.append(path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(vary, "write_bytes", stop_at_the_second)
        make_variants(store, SONGS, CONFIG, 7, tmp_path, workers=1)
    kept = done[0].stat().st_mtime_ns
    assert [path.name for path in tmp_path.iterdir()] == ["part-00000.i16"]

    with monkeypatch.context() as patch:
        patch.setattr(vary, "finish", lambda *args: None if done[0].stat().st_mtime_ns == kept else pytest.fail())
        with pytest.raises(DataError, match="no clip store here"):  # every part is there, the first one untouched
            make_variants(store, SONGS, CONFIG, 7, tmp_path, workers=1)
    again = make_variants(store, SONGS, CONFIG, 7, tmp_path, workers=1)
    np.testing.assert_array_equal(again.store.raw, made.store.raw)
    assert not list(tmp_path.glob("part-*"))


@pytest.mark.slow
def test_processes_make_the_same_variants(
    store: ClipStore, made: Variants, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vary, "_FEWEST_FOR_A_POOL", 1)
    both = make_variants(store, SONGS, CONFIG, 7, tmp_path, workers=2)
    np.testing.assert_array_equal(both.store.raw, made.store.raw)


def test_a_crop_comes_from_the_song_or_a_variant_and_is_else_the_same(store: ClipStore, made: Variants) -> None:
    geometry = CropGeometry(1, 20, spec=SPEC)
    plain = CropDataset(store, SONGS, geometry, Augment(2.0, 8, 4), seed=3)
    varied = CropDataset(store, SONGS, geometry, Augment(2.0, 8, 4, made), seed=3)
    # The same crops of each version of the songs, one version at a time.
    versions = [plain]
    for number in (1, 2):
        versions.append(
            CropDataset(made.store, [f"{song}#{number}" for song in SONGS], geometry, Augment(2.0, 8, 4), seed=3)
        )

    seen = []
    for epoch in range(30):
        for dataset in (varied, *versions):
            dataset.epoch = epoch
        item, same = varied[5], [version[5] for version in versions]
        np.testing.assert_array_equal(item["mask"], same[0]["mask"])
        seen.append([bool((item["context"] == version["context"]).all()) for version in same])
        np.testing.assert_array_equal(varied[5]["context"], item["context"])
    assert np.sum(seen, 1).tolist() == [1] * 30
    assert np.sum(seen, 0).min() >= 4  # a third of 30 each: fewer than 4 has a probability of .4 %


def test_no_crop_of_a_song_that_has_no_variants(store: ClipStore, made: Variants) -> None:
    with pytest.raises(DataError, match="no clip 'held out#1' among 24 clips"):
        CropDataset(store, ["a", "held out"], CropGeometry(1, 20, spec=SPEC), Augment(variants=made))


def test_opened_again_they_are_the_same(made: Variants) -> None:
    again = open_variants(made.store.folder, CONFIG)
    np.testing.assert_array_equal(again.store.raw, made.store.raw)
    assert again.rows(["c"]) == made.rows(["c"])


@pytest.mark.parametrize(
    ("numbers", "match"),
    [
        ((-1,), "count -1 must not be negative"),
        ((1, 0.9), r"stretch 0.9 is a factor; it must lie in \[1, 2\]"),
        ((1, 2.5), "stretch 2.5"),
        ((1, 1.1, -1.0), "semitones -1.0 must lie in"),
        ((1, 1.1, 13.0), "semitones 13.0 must lie in"),
        ((2, 1.0, 0.0), "they would be copies; pass one of --variants.stretch 1.15"),
    ],
)
def test_variants_that_cannot_be_are_refused(numbers: tuple[float, ...], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        VariantsConfig(*numbers)
    assert VariantsConfig(0, 1.0, 0.0).count == 0


def test_a_missing_librosa_is_said_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vary, "find_spec", lambda name: None if name == "librosa" else util.find_spec(name))
    with pytest.raises(ConfigError, match=r"count 2: .* not installed here; type `pip install librosa`"):
        vary.require_librosa(CONFIG)
    vary.require_librosa(VariantsConfig())
