"""The ridge floor: features by hand, the fit against a slow twin, and its way through files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketmood.data.clips import ClipStore
from pocketmood.data.split import Split
from pocketmood.errors import DataError
from pocketmood.mel import MelFrontEnd
from teacher import floor


def test_features_by_hand() -> None:
    mel = np.array([[[[0.0, 1.0, -1.0], [0.5, 0.5, 0.5]]]])  # [1, 1, 2 bands, 3 frames]
    # Band means; population deviations; |1 - 0| and |-1 - 1| average to 1.5.
    np.testing.assert_allclose(floor.features(mel), [[0, 0.5, np.sqrt(2 / 3), 0, 1.5, 0]], rtol=1e-12, atol=1e-12)
    with pytest.raises(DataError, match="2 frames"):
        floor.features(mel[..., :1])


def test_fit_equals_the_normal_equations_and_validation_chooses_the_penalty() -> None:
    rng = np.random.default_rng(0)
    x, held = rng.normal(3, 2, (40, 6)), rng.normal(3, 2, (30, 6))
    truth = rng.normal(0, 0.04, (6, 2))
    y = (x - 3) @ truth + 0.1
    y_held = (held - 3) @ truth + 0.1
    ridge = floor.fit(x, y, held, y_held, alphas=(7.0,))
    z = (x - x.mean(0)) / x.std(0)
    twin = np.linalg.inv(z.T @ z + 7 * np.eye(6)) @ z.T @ (y - y.mean(0))
    np.testing.assert_allclose(ridge.weights, twin, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        ridge.predict(held), (held - x.mean(0)) / x.std(0) @ twin + y.mean(0), rtol=1e-9, atol=1e-9
    )
    assert floor.fit(x, y, held, y_held, alphas=(1e4, 1.0, 100.0)).alpha == 1.0  # no noise: the least penalty wins


def test_constant_features_and_far_predictions_stay_finite_and_in_range() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(size=(20, 1)), np.full((20, 1), 0.3)], 1)
    y = np.repeat(x[:, :1] / 3, 2, 1).clip(-1, 1)
    ridge = floor.fit(x, y, x, y)
    predictions = ridge.predict(np.array([[100.0, 0.3], [-100.0, 0.3]]))
    np.testing.assert_array_equal(predictions, [[1, 1], [-1, -1]])


def test_rater_sd_joins_error_and_raters() -> None:
    x, y = np.zeros((4, 3)), np.array([[0.2, 0.0], [-0.2, 0.0], [0.2, 0.0], [-0.2, 0.0]])
    deviations = np.array([[0.3, 0.5], [0.3, 0.5], [np.nan, np.nan], [0.3, 0.5]])
    ridge = floor.fit(x, y, x, y, deviations)
    # By hand: nothing to learn from, so error .2 and 0; sqrt(.2^2 + .3^2), sqrt(0 + .5^2).
    np.testing.assert_allclose(ridge.rater_sd, [np.sqrt(0.13), 0.5], rtol=1e-9, atol=1e-12)


def test_ridge_survives_its_file_and_reads_full_spectrograms(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    mels = rng.uniform(-1, 1, (6, 1, 4, 50)).astype(np.float32)  # stride 1
    described = floor.features(mels[..., :: floor.FLOOR_STRIDE])
    labels = rng.uniform(-0.5, 0.5, (6, 2))
    ridge = floor.fit(described, labels, described, labels)
    ridge.save(tmp_path / "ridge.safetensors")
    again = floor.Ridge.load(tmp_path / "ridge.safetensors")
    np.testing.assert_array_equal(again.predict(described), ridge.predict(described))
    np.testing.assert_allclose(again(mels.astype(np.float16)), ridge.predict(described), rtol=0, atol=5e-3)
    np.testing.assert_allclose(again(mels), ridge.predict(described), rtol=1e-6, atol=1e-6)


def test_store_features_come_through_the_front_end_and_tell_the_tiny_songs_apart(tiny_data: Path) -> None:
    import torch

    store = ClipStore.open(tiny_data / "data" / "store")
    split = Split.load(tiny_data / "data" / "split.json")
    ids = [*split.train[:12], *split.validation]
    described = floor.store_features(store, ids)
    front = MelFrontEnd(stride=floor.FLOOR_STRIDE, frames=floor.FLOOR_FRAMES)
    mel = front(torch.from_numpy(store.waveform(ids[3]))[None]).numpy()
    np.testing.assert_allclose(described[3], floor.features(mel)[0], rtol=1e-4, atol=1e-5)
    labels = store.labels(ids)
    ridge = floor.fit(described[:12], labels[:12], described[12:], labels[12:])
    # Loudness is arousal in these sounds: even 12 songs teach that.
    assert np.corrcoef(ridge.predict(described[12:])[:, 1], labels[12:, 1])[0, 1] > 0.9
