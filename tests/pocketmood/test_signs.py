"""Metrics of signs worked by hand, and against the obvious slow twin that looks at every pair."""

from __future__ import annotations

import numpy as np
import pytest

from pocketmood import metrics, signs
from pocketmood.errors import DataError

# Three songs above zero, two below: six pairs.
LABEL = np.array([0.5, 0.5, 0.5, -0.5, -0.5])
PRED = np.array([0.9, 0.1, -0.2, 0.1, -0.3])


def slow_auc(pred: np.ndarray, label: np.ndarray) -> float:
    points = pairs = 0.0
    for p, above in zip(pred, label, strict=True):
        for q, below in zip(pred, label, strict=True):
            if above >= 0 > below:
                pairs += 1
                points += 1 if p > q else 0.5 if p == q else 0
    return points / pairs


def slow_accuracy(pred: np.ndarray, label: np.ndarray) -> float:
    def named(point: np.ndarray) -> tuple[bool, bool]:
        return bool(point[0] >= 0), bool(point[1] >= 0)

    return sum(named(p) == named(q) for p, q in zip(pred, label, strict=True)) / len(label)


def noisy(seed: int, noise: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.choice([-0.5, 0.5], (count, 2))
    # Rounded, so that ties occur.
    return np.round(label + rng.normal(0, noise, (count, 2)), 1), label


def test_auc_by_hand() -> None:
    # .9 beats both (2); .1 ties with .1 and beats -.3 (1.5); -.2 loses to .1 and beats -.3 (1): 4.5 of 6
    assert signs.auc(PRED, LABEL) == pytest.approx(0.75, rel=0, abs=1e-12)
    assert signs.auc(-PRED, LABEL) == pytest.approx(0.25, rel=0, abs=1e-12)
    assert signs.auc(np.zeros(5), LABEL) == signs.CHANCE


def test_only_order_and_sign_count() -> None:
    assert signs.auc(np.exp(PRED) * 7, LABEL * 2) == signs.auc(PRED, LABEL)
    # Zero counts as positive, as in `emotion.quadrant`.
    assert signs.auc(PRED, np.where(LABEL > 0, 0.0, LABEL)) == signs.auc(PRED, LABEL)


def test_quadrant_accuracy_by_hand() -> None:
    label = np.array([[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]])
    pred = np.array([[0.0, 0.9], [0.1, 0.5], [-0.1, -0.9], [0.3, 0.0]])
    # The second is wrong in valence; the last in arousal, where 0 counts as positive.
    assert signs.quadrant_accuracy(pred, label) == 0.5


def test_labels_of_one_sign_have_no_order() -> None:
    pred, label = noisy(0, 0.3, 6)
    scores = signs.score(pred, np.abs(label))
    assert scores["auc_valence"] == scores["auc_arousal"] == signs.CHANCE
    intervals = signs.score_intervals(pred, np.abs(label), repeats=20)
    assert intervals["auc_valence"] == (0, 1)
    assert intervals["quadrant_accuracy"].high <= 1
    assert signs.paired_differences(pred, pred, np.abs(label), repeats=20)["auc_valence"] == (0, -1, 1)


def test_score_equals_the_slow_twin() -> None:
    pred, label = noisy(1, 0.6, 57)
    scores = signs.score(pred, label)
    assert tuple(scores) == signs.NAMES
    assert set(signs.TITLES) == set(signs.NAMES)
    assert scores["auc_valence"] == pytest.approx(slow_auc(pred[:, 0], label[:, 0]), rel=0, abs=1e-12)
    assert scores["auc_arousal"] == pytest.approx(slow_auc(pred[:, 1], label[:, 1]), rel=0, abs=1e-12)
    assert scores["quadrant_accuracy"] == pytest.approx(slow_accuracy(pred, label), rel=0, abs=1e-12)


@pytest.mark.parametrize("clips_per_song", [1, 3])
def test_intervals_equal_their_slow_twin(clips_per_song: int) -> None:
    pred, label = noisy(2, 0.6, 12)
    songs = [f"s{row // clips_per_song}" for row in range(12)]
    names = 12 // clips_per_song
    # `np.unique` sorts the names as text; as long as they have one digit, or one row each, that is their order.
    members = [list(range(song * clips_per_song, (song + 1) * clips_per_song)) for song in range(names)]
    rng = np.random.default_rng(5)
    valence, accuracy = [], []
    for draw in rng.integers(0, names, (60, names)):
        rows = np.array([row for song in draw for row in members[song]])
        # Draws whose songs all have one sign are left out of an AUC.
        if len(set(label[rows, 0])) == 2:
            valence.append(slow_auc(pred[rows, 0], label[rows, 0]))
        accuracy.append(slow_accuracy(pred[rows], label[rows]))
    intervals = signs.score_intervals(pred, label, songs, repeats=60, seed=5)
    assert intervals["auc_valence"] == pytest.approx(np.percentile(valence, [2.5, 97.5]), rel=0, abs=1e-12)
    assert intervals["quadrant_accuracy"] == pytest.approx(np.percentile(accuracy, [2.5, 97.5]), rel=0, abs=1e-12)


def test_a_difference_is_measured_on_the_same_songs() -> None:
    good, label = noisy(3, 0.4, 150)
    rng = np.random.default_rng(4)
    worse = good + rng.normal(0, 0.3, good.shape)
    differences = signs.paired_differences(good, worse, label)
    scores, lower = signs.score(good, label), signs.score(worse, label)
    for name in signs.NAMES:
        assert differences[name].difference == pytest.approx(scores[name] - lower[name], rel=0, abs=1e-12)
        assert differences[name].low <= differences[name].difference <= differences[name].high
    # How hard the songs are cancels: paired, the interval is narrower than the two apart.
    apart = [metrics.Interval(*signs.score_intervals(p, label)["auc_arousal"]) for p in (good, worse)]
    paired = differences["auc_arousal"]
    widths = [interval.high - interval.low for interval in apart]
    assert paired.high - paired.low < np.hypot(widths[0], widths[1])
    same = signs.paired_differences(good, good, label)
    assert all(tuple(same[name]) == (0, 0, 0) for name in signs.NAMES)


def test_what_cannot_be_scored_is_refused() -> None:
    pred, label = noisy(0, 0.3, 4)
    with pytest.raises(DataError, match="must both be"):
        signs.score(pred[:3], label)
    with pytest.raises(DataError, match="NaN"):
        signs.score(pred, np.full((4, 2), np.nan))
    with pytest.raises(DataError, match="5 song names for 4 predictions"):
        signs.score_intervals(pred, label, list("abcde"))
