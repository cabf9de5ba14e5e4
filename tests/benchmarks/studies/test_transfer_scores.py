"""Scores on another corpus: ranks and bias by hand, a slow twin of Spearman's rho, intervals that hold the value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from benchmarks.studies import transfer_scores
from pocketmood.metrics import ccc, range_ratio


def test_ranks_by_hand_share_ties() -> None:
    # 10 and 10 take up the ranks 2 and 3.
    assert transfer_scores.ranks(np.array([10.0, 5, 10, 20])).tolist() == [2.5, 1, 2.5, 4]


def test_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    pred, label = rng.integers(0, 9, 60).astype(float), np.sign(rng.standard_normal(60)) / 2
    # The same formula in float64, so only rounding differs.
    wanted = stats.spearmanr(pred, label).statistic
    assert transfer_scores.rank_correlation(pred, label) == pytest.approx(wanted, rel=0, abs=1e-12)
    assert transfer_scores.rank_correlation(np.exp(pred), label) == pytest.approx(wanted, rel=0, abs=1e-12)
    assert transfer_scores.rank_correlation(np.ones(60), label) == 0


def test_a_model_has_all_figures_and_a_descriptor_its_order() -> None:
    rng = np.random.default_rng(1)
    labels = np.sign(rng.standard_normal((80, 2))) / 2
    emotion = labels * 0.5 + 0.3 * rng.standard_normal((80, 2)) + np.array([0.0, 0.25])
    songs = [str(number) for number in range(80)]
    model = transfer_scores.of_model(emotion, labels, songs)
    arousal = model.axes["arousal"]
    assert arousal["ccc"].value == ccc(emotion[:, 1], labels[:, 1])
    assert arousal["range_ratio"].value == range_ratio(emotion[:, 1], labels[:, 1])
    wanted = emotion[:, 1].mean() - labels[:, 1].mean()
    assert arousal["bias"].value == pytest.approx(wanted, rel=0, abs=1e-12)
    # A mean of 80 deviates by about .035, so that an interval twice to either side leaves out 0.
    assert 0.02 < arousal["bias"].low < arousal["bias"].value < arousal["bias"].high < wanted + 0.15
    right = ((emotion >= 0) == (labels >= 0)).all(1).mean()
    assert model.quadrant_accuracy is not None and model.quadrant_accuracy.value == pytest.approx(
        right, rel=0, abs=1e-12
    )

    descriptor = transfer_scores.of_order(100 * emotion, labels, songs)
    assert descriptor.axes["valence"] == {name: model.axes["valence"][name] for name in transfer_scores.ORDER}
    assert descriptor.quadrant_accuracy is None
    table = transfer_scores.table({"a": model, "b": descriptor}, "arousal", signs_only=True)
    assert "CCC (of signs)" in table and table.splitlines()[-1].endswith("|  |  |  |")
