"""Kernel ridge with out-of-fold models: by hand, against a slow twin, and with nothing to learn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketmood.errors import DataError
from teacher.musicnn.head import Head, fit

FOLDS = np.arange(60) % 5


def data(seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw 60 songs of 6 features, the last of them constant, with labels that bend with the first two."""
    rng = np.random.default_rng(seed)
    features = rng.normal(3, 2, (60, 6))
    features[:, 5] = 7
    return features, np.tanh((features[:, :2] - 3) / 2) * 0.8


def slow_twin(
    features: NDArray[np.float64], labels: NDArray[np.float64], met: list[int], new: NDArray[np.float64], penalty: float
) -> NDArray[np.float64]:
    """Predict [2] for one song by the definition: (K + penalty I)^-1 (y - mean), pair by pair."""
    centre, scale = features[:, :5].mean(0), features[:, :5].std(0)
    songs = [(features[row, :5] - centre) / scale for row in met]
    song = (new[:5] - centre) / scale

    def alike(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float(np.exp(-sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / (2 * len(a))))

    kernel = np.array([[alike(a, b) for b in songs] for a in songs])
    mean = labels[met].mean(0)
    weights = np.linalg.solve(kernel + penalty * np.eye(len(met)), labels[met] - mean)
    return np.asarray(np.clip(np.array([alike(song, other) for other in songs]) @ weights + mean, -1, 1))


def test_every_model_equals_the_slow_twin() -> None:
    features, labels = data()
    head = fit(features, labels, FOLDS, penalties=(0.5,))
    new = np.random.default_rng(1).normal(3, 2, (3, 6))
    for model in range(6):
        met = [row for row in range(60) if model == 0 or FOLDS[row] != model - 1]
        wanted = [slow_twin(features, labels, met, row, 0.5) for row in new]
        np.testing.assert_allclose(head.predict(new, np.full(3, model)), wanted, rtol=1e-9, atol=1e-9)


def test_a_linear_kernel_is_a_ridge() -> None:
    features, labels = data()
    head = fit(features, labels, FOLDS, "linear", penalties=(0.1,))
    x = (features[:, :5] - features[:, :5].mean(0)) / features[:, :5].std(0)
    # Kernels are means over features: a penalty of .1 there is one of .5 on the weights of five features.
    weights = np.linalg.solve(x.T @ x + 0.5 * np.eye(5), x.T @ (labels - labels.mean(0)))
    np.testing.assert_allclose(head.predict(features), (x @ weights + labels.mean(0)).clip(-1, 1), rtol=0, atol=1e-9)


def test_a_constant_feature_is_left_out_however_it_differs_later() -> None:
    features, labels = data()
    head = fit(features, labels, FOLDS)
    assert head.columns.tolist() == [0, 1, 2, 3, 4]
    silent = features.copy()
    silent[:, 5] = 1e6
    np.testing.assert_array_equal(head.predict(silent), head.predict(features))


def test_out_of_fold_predictions_do_not_know_the_songs_label() -> None:
    features, labels = data()
    rng = np.random.default_rng(3)
    noise = rng.choice([-0.5, 0.5], labels.shape)  # nothing to learn
    # With hardly a penalty the model of all songs repeats their labels, and those out of fold cannot.
    head = fit(features, noise, FOLDS, penalties=(1e-4,))
    assert np.corrcoef(head.predict(features).ravel(), noise.ravel())[0, 1] > 0.95
    assert abs(np.corrcoef(head.predict(features, FOLDS + 1).ravel(), noise.ravel())[0, 1]) < 0.3
    assert (head.weights[1 + FOLDS, np.arange(60)] == 0).all()


def test_penalties_are_chosen_per_axis_by_what_is_out_of_fold() -> None:
    features, labels = data()
    labels[:, 1] = np.random.default_rng(4).choice([-0.5, 0.5], 60)
    head: Head = fit(features, labels, FOLDS, penalties=(0.01, 1000.0))
    assert head.penalties.tolist() == [0.01, 1000.0]


def test_what_cannot_be_fitted_is_refused() -> None:
    features, labels = data()
    with pytest.raises(DataError, match="at least two artists"):
        fit(features, labels, np.zeros(60, np.int64))
    features[3, 3] = np.nan
    with pytest.raises(DataError, match="no finite numbers"):
        fit(features, labels, FOLDS)
