"""Metrics worked by hand, and against the obvious slow twin."""

from __future__ import annotations

import numpy as np
import pytest

from pocketmood import metrics
from pocketmood.errors import DataError

PRED = np.array([0.0, 0.2, 0.4, 0.6])
LABEL = np.array([0.1, 0.1, 0.5, 0.5])


def test_ccc_by_hand() -> None:
    # means .3 and .3, variances .05 and .04, covariance .04: 2 * .04 / (.05 + .04 + 0)
    assert metrics.ccc(PRED, LABEL) == pytest.approx(8 / 9, rel=0, abs=1e-12)
    # a shift of .3 adds .09 to the denominator
    assert metrics.ccc(PRED + 0.3, LABEL) == pytest.approx(0.08 / 0.18, rel=0, abs=1e-12)
    assert metrics.ccc(-LABEL, LABEL - 0) < 0


def test_constants_score_zero_and_not_nan() -> None:
    assert metrics.ccc(np.full(4, 0.3), LABEL) == 0
    assert metrics.ccc(LABEL, np.full(4, 0.3)) == 0
    assert metrics.pearson(np.full(4, 0.3), LABEL) == 0
    assert metrics.r2(PRED, np.full(4, 0.3)) == 0
    assert metrics.range_ratio(PRED, np.full(4, 0.3)) == 0


def test_the_others_by_hand() -> None:
    assert metrics.mse(PRED, LABEL) == pytest.approx(0.01, rel=0, abs=1e-12)
    assert metrics.rmse(PRED, LABEL) == pytest.approx(0.1, rel=0, abs=1e-12)
    assert metrics.rmse_nine(PRED, LABEL) == pytest.approx(0.4, rel=0, abs=1e-12)
    assert metrics.mae(PRED, LABEL) == pytest.approx(0.1, rel=0, abs=1e-12)
    assert metrics.r2(PRED, LABEL) == pytest.approx(1 - 0.01 / 0.04, rel=0, abs=1e-12)
    assert metrics.pearson(PRED, LABEL) == pytest.approx(0.04 / np.sqrt(0.05 * 0.04), rel=0, abs=1e-12)
    assert metrics.range_ratio(PRED, LABEL) == pytest.approx(np.sqrt(0.05 / 0.04), rel=0, abs=1e-12)


def test_score_names_every_metric_per_axis_and_mean() -> None:
    scores = metrics.score(np.stack([PRED, LABEL], 1), np.stack([LABEL, LABEL], 1))
    assert scores["ccc_arousal"] == pytest.approx(1, rel=0, abs=1e-12)
    assert scores["ccc_mean"] == pytest.approx((8 / 9 + 1) / 2, rel=0, abs=1e-12)
    assert len(scores) == 8 * 3


def noisy(seed: int, noise: float, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.normal(0, 0.3, (count, 2))
    return label + rng.normal(0, noise, (count, 2)), label


def test_bootstrap_equals_its_slow_twin() -> None:
    pred, label = noisy(0, 0.2, 40)
    rng = np.random.default_rng(7)
    values = []
    for row in rng.integers(0, 40, (50, 40)):
        values.append(np.mean([metrics.ccc(pred[row, axis], label[row, axis]) for axis in range(2)]))
    low, high = np.percentile(values, [2.5, 97.5])
    interval = metrics.bootstrap(pred, label, repeats=50, seed=7)
    assert interval == pytest.approx((low, high), rel=0, abs=1e-12)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    _, label = noisy(1, 0.2, 20_000)
    rng = np.random.default_rng(2)
    pred = label + rng.normal(0, 0.2, label.shape)
    truth = metrics.score(pred, label)["ccc_mean"]
    hits = 0
    for trial in range(60):
        rows = rng.integers(0, len(label), 150)
        low, high = metrics.bootstrap(pred[rows], label[rows], repeats=200, seed=trial)
        hits += low <= truth <= high
    assert 50 <= hits <= 60


def test_clips_of_one_song_are_drawn_together() -> None:
    pred, label = noisy(3, 0.3, 30)
    songs = [str(row // 10) for row in range(30)]
    alone = metrics.bootstrap(pred, label, repeats=300)
    together = metrics.bootstrap(np.tile(pred, (4, 1)), np.tile(label, (4, 1)), [str(i % 30) for i in range(120)], 300)
    # four copies of each song carry no more information than one
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.15, abs=0)
    assert metrics.bootstrap(pred, label, songs, 100).high <= 1


def test_a_paired_difference_sees_what_two_intervals_hide() -> None:
    pred, label = noisy(4, 0.25)
    worse = pred + np.random.default_rng(5).normal(0, 0.08, pred.shape)
    difference = metrics.paired_difference(pred, worse, label)
    assert difference.low > 0
    assert metrics.bootstrap(pred, label).low < metrics.bootstrap(worse, label).high
    ratio = metrics.paired_ratio(worse, pred, label)
    assert ratio.low < ratio.difference < 1
    same = metrics.paired_difference(pred, pred, label)
    assert same == (0, 0, 0)


def test_axis_interval_holds_its_point() -> None:
    pred, label = noisy(6, 0.2)
    low, high = metrics.bootstrap_axis(pred[:, 0], label[:, 0], repeats=200)
    assert low < metrics.ccc(pred[:, 0], label[:, 0]) < high


@pytest.mark.parametrize(
    ("pred", "label", "message"),
    [
        (np.zeros((3, 2)), np.zeros((4, 2)), "must both be"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "empty"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), "NaN"),
    ],
)
def test_what_cannot_be_scored_is_refused(pred: np.ndarray, label: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        metrics.score(pred, label)


def test_a_ratio_to_nothing_and_missing_names_are_refused() -> None:
    pred, label = noisy(8, 0.2, 10)
    with pytest.raises(DataError, match="says nothing"):
        metrics.paired_ratio(pred, np.zeros_like(pred), label, repeats=10)
    with pytest.raises(DataError, match="song names"):
        metrics.bootstrap(pred, label, ["a"], repeats=10)
