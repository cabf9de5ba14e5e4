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
from teacher.musicnn import features, frozen
from teacher.musicnn.config import FrozenConfig
from teacher.musicnn.features import Listener, stretches, window_starts
from teacher.musicnn.front_end import at_16_khz
from teacher.musicnn.network import build
from tests.teacher.musicnn.tiny_network import tensors, write_weights

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
    return write_weights(tmp_path_factory.mktemp("weights"))


SPLIT = Split(SONGS[:6], SONGS[6:7], SONGS[7:], 0, "artist")


@pytest.mark.parametrize(
    ("frames", "wanted"),
    [
        (1876, [0, 188, 375, 563, 751, 938, 1126, 1314, 1501, 1689]),  # 30 s hold ten windows, to the last frame
        (501, [0, 157, 314]),  # 2.68 windows, so three that overlap
        (250, [31]),  # one, in the middle
        (187, [0]),
    ],
)
def test_windows_lie_evenly_over_a_clip(frames: int, wanted: list[int]) -> None:
    assert window_starts(frames) == wanted


def test_a_clip_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(RunError, match="100 frames is shorter"):
        window_starts(100)


def test_a_crop_is_the_mean_over_windows_whose_middle_lies_in_it() -> None:
    heard = features.Heard(torch.tensor([[1.0], [2.0], [4.0], [8.0]]), torch.tensor([1.5, 4.5, 7.5, 10.5]))
    found = heard.pooled([(0.0, 12.0), (0.0, 7.4), (4.5, 7.5), (5.0, 6.1), (11.0, 12.0)])
    assert found[:, 0].tolist() == [3.75, 1.5, 3.0, 2.0, 8.0]  # the last two hold no middle: the nearest one


def test_crops_of_the_student_become_seconds() -> None:
    # 64 frames at stride 5 reach over 316 hops of 512 samples.
    assert stretches([(0, 64), (100, 1)], 5, MelSpec()) == [
        (0.0, 316 * 512 / 22_050),
        (100 * 512 / 22_050, 101 * 512 / 22_050),
    ]


def test_features_are_means_over_windows_of_what_the_network_says(store: ClipStore) -> None:
    listener = Listener(build(tensors()))
    heard = listener.hear(store.raw[5], 22_050)
    found = heard.pooled([(0.0, 8.0)])[0]
    wave = torch.from_numpy(at_16_khz(store.raw[5], 22_050).astype(np.float32) / 32_768)
    levels = listener.front(wave[None])[0]
    rows: list[NDArray[np.float32]] = []
    for start in window_starts(len(levels)):
        with torch.no_grad():
            seen = listener.network(levels[None, start : start + 187])
        in_time = seen.frames[0].numpy()
        pooled = [in_time.mean(1), in_time.max(1), in_time.std(1)]
        rows.append(np.concatenate([*pooled, seen.penultimate[0].numpy(), seen.tags[0].numpy()]))
    # Middle of the first window: 186 hops of 256 samples at 16 kHz, halved.
    assert heard.middle_s[0] == pytest.approx(93 * 0.016, abs=1e-6)
    assert found.shape == (listener.width,) == (3 * 22 + 5 + 50,)
    # One window at a time or all together: float32 sums in another order, on values up to a hundred.
    np.testing.assert_allclose(found, np.mean(rows, 0), rtol=1e-4, atol=1e-3)


@pytest.fixture
def config(weights: Path, tmp_path: Path) -> FrozenConfig:
    return FrozenConfig(weights, folds=3, features=tmp_path / "features")


def test_trained_read_back_and_asked(store: ClipStore, config: FrozenConfig, tmp_path: Path) -> None:
    record = frozen.train(store, SPLIT, config, tmp_path / "teacher")
    assert record.warnings == standing_warnings.of_musicnn()
    teacher = frozen.load(tmp_path / "teacher")
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
    fitted = (*SPLIT.train, *SPLIT.validation)
    assert tuple(record.model_of) == fitted and record.training_clips == 7
    for number, name in enumerate(fitted):
        assert not teacher.head.weights[record.model_of[name], number].any()
    kept = sorted(path.name for path in (tmp_path / "teacher").iterdir())
    assert kept == ["config.json", "head.safetensors"]  # no weights among them
    # A waveform is predicted for as the test clip that it is.
    alone = teacher.hear(store.waveform("song-7"))
    np.testing.assert_allclose(alone.emotion[0, 0], predicted.emotion[7, 0], rtol=0, atol=1e-6)


def test_what_was_heard_is_kept_for_every_run(
    store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(build(tensors()), "these weights")
    whole = features.make_table(store, SONGS, [(0.0, 8.0)], listener, tmp_path / "whole")
    made = listener.hear
    calls: list[int] = []

    def dies(*args: object) -> features.Heard:
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return made(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(listener, "hear", dies)
    with pytest.raises(KeyboardInterrupt):
        features.make_table(store, SONGS, [(0.0, 8.0)], listener, tmp_path / "killed")
    again = features.make_table(store, SONGS, [(0.0, 8.0)], listener, tmp_path / "killed")
    assert len(calls) == 8 + 1  # the one that was killed
    np.testing.assert_array_equal(again, whole)
    # In another order, and for crops: nothing is heard anew; by other weights all of it.
    crops = features.make_table(store, SONGS[::-1], [(0.0, 8.0), (0.0, 3.0)], listener, tmp_path / "killed")
    np.testing.assert_array_equal(crops[::-1, 0], whole[:, 0])
    assert len(calls) == 9
    other = Listener(build(tensors(1)), "others")
    assert not np.array_equal(features.make_table(store, SONGS, [(0.0, 8.0)], other, tmp_path / "killed"), whole)


def test_other_weights_than_it_was_fitted_on_are_refused(store: ClipStore, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    write_weights(weights)
    config = FrozenConfig(weights, folds=3, features=tmp_path / "features")
    frozen.train(store, SPLIT, config, tmp_path / "teacher")
    write_weights(weights, seed=1)
    with pytest.raises(RunError, match="was fitted on other weights"):
        frozen.load(tmp_path / "teacher")


def test_fewer_artists_than_folds_make_fewer_folds(store: ClipStore) -> None:
    split = replace(SPLIT, train=SONGS[:4])
    assert sorted(set(frozen.folds_by_artist(store, split.train, 5, 0).tolist())) == [0, 1]
