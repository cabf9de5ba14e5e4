"""The shared definitions by hand; what teacher and student make of them stands in the tests of their losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pocketmood.metrics import ccc
from pocketmood.training.losses import ccc_from_moments, rating_moment


def test_concordance_by_hand_and_equal_to_the_metric() -> None:
    # Predictions 0 and 2, ratings 1 and 3: covariance 1, both variances 1, means 1 apart: CCC = 2 / (2 + 1).
    one = torch.ones(1)
    assert float(ccc_from_moments(one, 2 * one, one, 1e-8)) == pytest.approx(1 - 2 / 3, rel=1e-6, abs=0)
    assert float(ccc_from_moments(0 * one, 0 * one, 0 * one, 1e-8)) == 1.0  # nothing varies

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20))
    moments = [((a - a.mean()) * (b - b.mean())).mean(), a.var() + b.var(), a.mean() - b.mean()]
    found = float(ccc_from_moments(*(torch.tensor(value) for value in moments), 0.0))
    assert found == pytest.approx(1 - ccc(a, b), rel=1e-12, abs=0)


def test_rating_moment_by_hand_leaves_the_prediction_alone() -> None:
    prediction = torch.tensor([[0.1, 0.5]], requires_grad=True)
    moment = rating_moment(prediction, torch.tensor([[0.4, 0.0]]), torch.tensor([[0.4, float("nan")]]))
    torch.testing.assert_close(moment, torch.tensor([[0.4**2 + 0.3**2, 0.5**2]]), rtol=1e-6, atol=0)
    assert not moment.requires_grad
