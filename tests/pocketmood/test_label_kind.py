"""Which metrics each kind of labels has, and how they are named."""

from __future__ import annotations

import numpy as np

from pocketmood import label_kind, metrics, signs, standing_warnings

RNG = np.random.default_rng(0)
LABEL = RNG.choice([-0.5, 0.5], (40, 2))
PRED = LABEL + RNG.normal(0, 0.4, (40, 2))


def test_ratings_keep_every_metric_and_gain_none() -> None:
    assert label_kind.score(label_kind.RATINGS, PRED, LABEL) == metrics.score(PRED, LABEL)
    assert label_kind.score_intervals(label_kind.RATINGS, PRED, LABEL) == metrics.score_intervals(PRED, LABEL)
    assert label_kind.ccc_name(label_kind.RATINGS) == "CCC"


def test_signs_come_first_and_no_error_is_told() -> None:
    for kind in (label_kind.QUADRANTS, label_kind.MIXED):
        scores = label_kind.score(kind, PRED, LABEL)
        assert tuple(scores)[:3] == signs.NAMES
        assert not [name for name in scores if name.startswith(("rmse", "mse", "mae", "r2", "range"))]
        assert scores["ccc_mean"] == metrics.score(PRED, LABEL)["ccc_mean"]
        assert scores["auc_valence"] == signs.score(PRED, LABEL)["auc_valence"]
        assert set(label_kind.score_intervals(kind, PRED, LABEL)) == set(scores)
        assert "of signs" in label_kind.ccc_name(kind)


def test_readers_are_warned_of_tags() -> None:
    found = standing_warnings.of_labels(False, "none", kind=label_kind.QUADRANTS)
    assert len(found) == 1 and found[0].startswith(f"data: {label_kind.TAGS}")
    assert standing_warnings.of_labels(False, "none") == ()
