"""The teacher's losses by hand: 1 - CCC, squared error, rater_sd, and raters' agreement as a weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pocketmood.metrics import ccc
from teacher.config import FineTuneConfig
from teacher.losses import LEAST_DEVIATION, agreement_weight, ccc_loss, emotion_loss, rater_sd_loss
from teacher.vit import TeacherOutput


def test_ccc_loss_equals_the_metric_and_has_a_gradient_for_constant_predictions() -> None:
    torch.manual_seed(0)
    prediction, label = torch.rand(9, 2) - 0.5, torch.rand(9, 2) - 0.5
    expected = [1 - ccc(prediction[:, axis].numpy(), label[:, axis].numpy()) for axis in range(2)]
    np.testing.assert_allclose(ccc_loss(prediction, label).numpy(), expected, rtol=0, atol=1e-4)
    constant = torch.zeros(9, 2, requires_grad=True)
    ccc_loss(constant, label).sum().backward()
    assert torch.isfinite(constant.grad).all() and constant.grad.abs().max() > 0


def test_rater_sd_loss_by_hand_ignores_what_is_unknown_and_leaves_the_prediction_alone() -> None:
    prediction = torch.tensor([[0.1, 0.5]], requires_grad=True)
    rater_sd = torch.tensor([[0.5, 0.4]], requires_grad=True)
    deviation = torch.tensor([[0.4, float("nan")]])
    loss = rater_sd_loss(prediction, rater_sd, torch.tensor([[0.4, 0.0]]), deviation)
    # ln .5 + (.4^2 + .3^2) / (2 * .5^2)
    assert float(loss.detach()) == pytest.approx(np.log(0.5) + 0.5, rel=1e-6, abs=1e-6)
    loss.backward()
    # The best rater_sd is sqrt(.4^2 + .3^2) = .5: no slope there; none at all for the prediction or the unknown axis.
    torch.testing.assert_close(rater_sd.grad, torch.zeros(1, 2), rtol=0, atol=1e-6)
    assert prediction.grad is None
    assert float(rater_sd_loss(prediction, rater_sd, torch.zeros(1, 2), torch.full((1, 2), torch.nan)).detach()) == 0.0


def test_loss_terms_are_unweighted_and_their_weights_count() -> None:
    output = TeacherOutput(torch.tensor([[0.0, 0.2], [0.4, 0.2]]), torch.full((2, 2), 0.5), torch.zeros(2, 3))
    label = torch.tensor([[0.0, 0.0], [0.2, 0.4]])
    recipe = FineTuneConfig(ccc_weight=2.0, mse_weight=3.0, rater_sd_weight=0.5, valence_share=0.6)
    terms = emotion_loss(output, label, torch.full((2, 2), 0.3), recipe)
    # Valence: covariance .02, variances .04 + .01, means .2 and .1 -> CCC .04 / .06. Arousal is constant -> CCC 0.
    assert float(terms["ccc"]) == pytest.approx(0.6 * (1 - 0.04 / 0.06) + 0.4 * 1, rel=0, abs=1e-4)
    assert float(terms["mse"]) == pytest.approx(0.6 * 0.02 + 0.4 * 0.04, rel=1e-5, abs=1e-7)
    expected = 2 * terms["ccc"] + 3 * terms["mse"] + 0.5 * terms["rater_sd"]
    torch.testing.assert_close(terms["loss"], expected, rtol=1e-6, atol=1e-7)


def test_weighted_ccc_equals_that_of_repeated_rows() -> None:
    torch.manual_seed(1)
    prediction, label = torch.rand(4, 2), torch.rand(4, 2)
    repeats = torch.tensor([1, 3, 2, 1])
    slow = ccc_loss(prediction.repeat_interleave(repeats, 0), label.repeat_interleave(repeats, 0))
    weight = repeats[:, None].expand(4, 2) * 0.37  # only ratios count
    torch.testing.assert_close(ccc_loss(prediction, label, weight), slow, rtol=0, atol=1e-5)
    assert not torch.allclose(ccc_loss(prediction, label), slow, rtol=0, atol=1e-3)


def test_raters_who_agree_weigh_more_and_the_mean_is_one() -> None:
    deviation = torch.tensor([[0.0, 0.25], [0.25, 0.25], [float("nan"), 0.25]])
    weight = agreement_weight(deviation)
    # 1 / .0625 = 16 and 1 / .125 = 8: mean 12. Unknown ones count like the average, equal ones equally.
    torch.testing.assert_close(weight[:, 0], torch.tensor([16 / 12, 8 / 12, 1.0]), rtol=1e-6, atol=0)
    torch.testing.assert_close(weight[:, 1], torch.ones(3), rtol=1e-6, atol=0)
    assert LEAST_DEVIATION == 0.25
    assert torch.equal(agreement_weight(torch.full((2, 2), torch.nan)), torch.ones(2, 2))


def test_agreement_counts_in_both_terms_only_when_asked() -> None:
    output = TeacherOutput(torch.tensor([[0.0, 0.0], [0.4, 0.4]]), torch.full((2, 2), 0.5), torch.zeros(2, 3))
    label = torch.tensor([[0.2, 0.2], [0.4, 0.4]])
    deviation = torch.tensor([[0.0, 0.0], [0.25, 0.25]])
    plain = emotion_loss(output, label, deviation, FineTuneConfig())
    weighed = emotion_loss(output, label, deviation, FineTuneConfig(weigh_by_agreement=True))
    assert float(plain["mse"]) == pytest.approx(0.04 / 2, rel=1e-5, abs=0)
    assert float(weighed["mse"]) == pytest.approx(0.04 / 2 * 16 / 12, rel=1e-5, abs=0)
    assert float(weighed["ccc"]) != pytest.approx(float(plain["ccc"]), rel=1e-3, abs=0)
    assert float(weighed["rater_sd"]) == float(plain["rater_sd"])
