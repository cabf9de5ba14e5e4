"""The frozen teacher on a tiny random network: windows of crops, folders, kills, and the doubt that stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pocketmood import standing_warnings
from pocketmood.data.clips import Clip, ClipStore
from pocketmood.data.split import Split
from pocketmood.emotion import Emotion
from pocketmood.errors import RunError
from pocketmood.spec import MelSpec
from pocketmood.training.checkpoints import save_tensors
from teacher.musicnn import features, frozen
from teacher.musicnn.features import Listener, stretches, window_starts
from teacher.musicnn.front_end import at_16_khz
from teacher.musicnn.network import build
from tests.teacher.musicnn.tiny_network import tensors

SPEC = MelSpec(seconds=8.0)
SONGS = tuple(f"song-{number}" for number in range(8))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    rng = np.random.default_rng(0)
    clips = [
        Clip(name, None, Emotion(*rng.uniform(-1, 1, 2)), None, artist=f"artist {number // 2}")
        for number, name in enumerate(SONGS)
    ]
    waves = [rng.uniform(-loud, loud, SPEC.samples) for loud in np.linspace(0.05, 0.9, 8)]
    return ClipStore.write(tmp_path_factory.mktemp("music") / "store", clips, waves, SPEC)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_tensors(folder / "MSD_musicnn.safetensors", tensors())
    (folder / "MSD_musicnn.json").write_text("{}")
    return folder


SPLIT = Split(SONGS[:6], SONGS[6:7], SONGS[7:], 0, "artist")


@pytest.mark.parametrize(
    ("stretch", "wanted"),
    [
        ((0.0, 30.0), [0, 188, 375, 563, 750, 938, 1125, 1313, 1500, 1688]),  # 1875 frames hold ten windows
        ((0.0, 7.34), [0, 272]),  # 459 frames: 2.45 windows, two at the ends
        ((10.0, 17.8), [625, 775, 925]),  # 487 frames: 2.6, so three that overlap
        ((29.0, 30.0), [1689]),  # shorter than a window: the last one of the clip
        ((0.0, 1.0), [0]),
    ],
)
def test_windows_lie_evenly_over_a_crop(stretch: tuple[float, float], wanted: list[int]) -> None:
    assert window_starts(1876, *stretch) == wanted


def test_a_clip_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(RunError, match="100 frames is shorter"):
        window_starts(100, 0.0, 1.0)


def test_crops_of_the_student_become_seconds() -> None:
    # 64 frames at stride 5 reach over 316 hops of 512 samples.
    assert stretches([(0, 64), (100, 1)], 5, MelSpec()) == [
        (0.0, 316 * 512 / 22_050),
        (100 * 512 / 22_050, 101 * 512 / 22_050),
    ]


def test_features_are_means_over_windows_of_what_the_network_says(store: ClipStore) -> None:
    listener = Listener(build(tensors()))
    found = listener.describe(store.raw[5], 22_050, [(0.0, 8.0)])[0]
    wave = torch.from_numpy(at_16_khz(store.raw[5], 22_050).astype(np.float32) / 32_768)
    levels = listener.front(wave[None])[0]
    rows: list[NDArray[np.float32]] = []
    for start in window_starts(len(levels), 0.0, 8.0):
        with torch.no_grad():
            seen = listener.network(levels[None, start : start + 187])
        in_time = seen.frames[0].numpy()
        pooled = [in_time.mean(1), in_time.max(1), in_time.std(1)]
        rows.append(np.concatenate([*pooled, seen.penultimate[0].numpy(), seen.tags[0].numpy()]))
    assert found.shape == (listener.width,) == (3 * 22 + 5 + 50,)
    # One window at a time or all together: float32 sums in another order, on values up to a hundred.
    np.testing.assert_allclose(found, np.mean(rows, 0), rtol=1e-4, atol=1e-3)


def test_trained_read_back_and_asked(store: ClipStore, weights: Path, tmp_path: Path) -> None:
    record = frozen.train(store, SPLIT, frozen.FrozenConfig(weights, folds=3), tmp_path)
    assert record.warnings == standing_warnings.of_musicnn()
    teacher = frozen.load(tmp_path, weights)
    assert teacher.record == record

    predicted = teacher.predict(store, SONGS, [(0, 64), (30, 16)], 5)
    assert (predicted.emotion.shape, predicted.rater_sd.shape, predicted.features.shape) == (
        (8, 2, 2),
        (8, 2, 2),
        (8, 2, 55),
    )
    assert np.abs(predicted.emotion).max() <= 1 and predicted.rater_sd.min() > 0
    # Songs of one artist are predicted by one model, and no song by one that has met it.
    assert record.model_of["song-0"] == record.model_of["song-1"] > 0
    assert set(record.model_of) == set(SPLIT.train)
    for number, name in enumerate(SPLIT.train):
        assert not teacher.head.weights[record.model_of[name], number].any()
    kept = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(kept) == ["config.json", "features-000000.safetensors", "head.safetensors"]  # no weights among them


def test_a_killed_table_continues_and_ends_the_same(
    store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "CHUNK", 2)
    listener = Listener(build(tensors()))
    whole = features.make_table(store, SONGS, [(0.0, 8.0)], listener, tmp_path / "whole")
    made = listener.describe
    calls: list[int] = []

    def dies(*args: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return made(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(listener, "describe", dies)
    with pytest.raises(KeyboardInterrupt):
        features.make_table(store, SONGS, [(0.0, 8.0)], listener, tmp_path / "killed")
    again = features.make_table(store, SONGS, [(0.0, 8.0)], listener, tmp_path / "killed")
    assert len(calls) == 6 + 4  # of the third chunk's two songs one was lost
    np.testing.assert_array_equal(again, whole)


def test_other_weights_than_it_was_fitted_on_are_refused(store: ClipStore, weights: Path, tmp_path: Path) -> None:
    frozen.train(store, SPLIT, frozen.FrozenConfig(weights, folds=3), tmp_path / "teacher")
    other = tmp_path / "other"
    save_tensors(other / "MSD_musicnn.safetensors", tensors(seed=1))
    (other / "MSD_musicnn.json").write_text("{}")
    with pytest.raises(RunError, match="was fitted on other weights"):
        frozen.load(tmp_path / "teacher", other)


def test_fewer_artists_than_folds_make_fewer_folds(store: ClipStore) -> None:
    split = replace(SPLIT, train=SONGS[:4])
    assert sorted(set(frozen.folds_by_artist(store, split.train, 5, 0).tolist())) == [0, 1]
