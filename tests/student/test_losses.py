"""Each loss by hand with a few numbers, and who receives a gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pocketmood.errors import PocketmoodError
from pocketmood.metrics import ccc
from student.config import LossConfig
from student.feature_losses import FEATURE_TERMS, Projector
from student.losses import (
    Targets,
    distillation_loss,
    label_term,
    one_minus_ccc,
    open_gate,
    rater_sd_term,
    response_term,
)
from student.mobilevit import StudentOutput

TOLERANCE = {"rel": 1e-5, "abs": 1e-6}
"""float32 sums of a few numbers near 1."""


def pairs(*valences: float) -> Tensor:
    """Make [B, 2] whose axes are alike."""
    return torch.tensor([[float(v), float(v)] for v in valences])


def targets(labelled: list[bool], label: float = 0.5, deviation: float = 0.3) -> Targets:
    count = len(labelled)
    labels = torch.full((count, 2), label)
    features = torch.ones(count, 3) * torch.tensor([1.0, 0.0, -1.0])
    known = torch.tensor(labelled)
    return Targets(
        labels, known, torch.full((count, 2), deviation), torch.zeros(count, 2), features, torch.ones(count, 2)
    )


def test_ccc_by_hand() -> None:
    # means 1 and 2, variances 1 and 1, covariance 1: CCC = 2 / (1 + 1 + 1)
    assert float(one_minus_ccc(pairs(0, 2), pairs(1, 3))) == pytest.approx(1 - 2 / 3, **TOLERANCE)


def test_ccc_agrees_with_the_reference() -> None:
    generator = torch.Generator().manual_seed(0)
    pred, label = (torch.randn(50, 2, generator=generator) for _ in range(2))
    pred = 0.6 * label + 0.4 * pred
    rows = torch.rand(50, generator=generator) > 0.4
    for chosen in (None, rows):
        a, b = (x.double() if chosen is None else x[chosen].double() for x in (pred, label))
        expected = 1 - sum(ccc(a[:, axis].numpy(), b[:, axis].numpy()) for axis in range(2)) / 2
        assert float(one_minus_ccc(pred, label, chosen)) == pytest.approx(expected, **TOLERANCE)


def test_labels_by_hand_ignore_unrated_rows() -> None:
    # the rated rows are those of test_ccc_by_hand, each 1 off: 1/3 + 1
    pred, label = pairs(0, 9, 2), pairs(1, -9, 3)
    value = label_term(pred, label, torch.tensor([True, False, True]))
    assert float(value) == pytest.approx(1 / 3 + 1, **TOLERANCE)


def test_unrated_batch_has_no_label_loss_and_no_gradient() -> None:
    pred = pairs(0.1, 0.2).requires_grad_()
    value = label_term(pred, torch.zeros(2, 2), torch.tensor([False, False]))
    value.backward()
    assert float(value.detach()) == 0 and torch.equal(pred.grad, torch.zeros(2, 2))


def test_one_rated_row_gives_finite_gradients() -> None:
    pred = pairs(0.1, 0.2).requires_grad_()
    label_term(pred, pairs(0.3, 0.0), torch.tensor([True, False])).backward()
    assert torch.isfinite(pred.grad).all() and torch.equal(pred.grad[1], torch.zeros(2))


def test_response_by_hand() -> None:
    assert float(response_term(pairs(0, 2), pairs(1, 3))) == pytest.approx(1, **TOLERANCE)
    assert float(response_term(pairs(0, 2), pairs(1, 3), "ccc")) == pytest.approx(1 / 3, **TOLERANCE)


def test_closed_gate_by_hand() -> None:
    # The teacher is .2, .2, 0 and 1 off, the student .1, .3, 0 and 0: worse in the first and last; the last is unrated.
    known = targets([True, True, True, False], label=0.0)._replace(emotion=pairs(0.2, 0.2, 0, 1))
    emotion = pairs(0.1, 0.3, 0, 0).requires_grad_()
    gate = open_gate(emotion, known)
    assert gate[:, 0].tolist() == [False, True, True, True]
    value = response_term(emotion, known.emotion, "mse", gate)
    assert float(value.detach()) == pytest.approx((0.1**2 + 0 + 1) / 4, **TOLERANCE)
    value.backward()
    # 2 (emotion - teacher) / 8 for each open prediction: no steeper than without a gate
    expected = pairs(0, 0.025, 0, -0.25)
    assert torch.allclose(emotion.grad, expected, rtol=1e-5, atol=1e-7)


def test_gate_decides_axis_by_axis() -> None:
    known = targets([True], label=0.0)._replace(emotion=torch.tensor([[0.3, 0.1]]))
    emotion = torch.tensor([[0.2, 0.2]], requires_grad=True)
    response_term(emotion, known.emotion, "mse", open_gate(emotion, known)).backward()
    assert emotion.grad[0, 0] == 0 and float(emotion.grad[0, 1]) == pytest.approx(0.1, **TOLERANCE)


def test_gate_leaves_rows_out_of_the_correlation() -> None:
    pred, teacher = pairs(0, 9, 2), pairs(1, -9, 3)
    gate = torch.tensor([[True, False], [False, False], [True, False]])
    # valence as in test_ccc_by_hand; arousal has no open row and counts 0
    assert float(response_term(pred, teacher, "ccc", gate)) == pytest.approx((1 / 3 + 0) / 2, **TOLERANCE)


def test_gate_is_asked_for_and_logged() -> None:
    known = targets([True, True, False], label=0.0)._replace(emotion=pairs(0.2, 0.2, 1))
    student = StudentOutput(pairs(0.1, 0.3, 0), torch.full((3, 2), 0.7), torch.zeros(3, 4))
    features = torch.ones(3, 3) * torch.tensor([1.0, 0.0, -1.0])
    plain = distillation_loss(student, features, known, LossConfig())
    gated = distillation_loss(student, features, known, LossConfig(gate=True))
    assert "gate_open_share" not in plain
    assert float(gated["gate_open_share"]) == pytest.approx(0.5, **TOLERANCE)  # of the two that are rated
    assert float(plain["response"]) == pytest.approx((0.1**2 + 0.1**2 + 1) / 3, **TOLERANCE)
    assert float(gated["response"]) == pytest.approx((0.1**2 + 1) / 3, **TOLERANCE)


def test_unknown_deviations_do_not_count() -> None:
    known = targets([True, True])
    known.deviations[1, 0] = math.nan
    rater_sd = torch.full((2, 2), 0.5, requires_grad=True)
    # axis 0: the first row alone, .3^2 + .4^2 = .25 about .1; axis 1: the mean of that and of .3^2 + 0 = .09 about .5
    value = rater_sd_term(rater_sd, pairs(0.1, 0.5), known)
    first, second = math.log(0.5) + 0.5, math.log(0.5) + 0.5 * 0.09 / 0.25
    assert float(value.detach()) == pytest.approx((first + (first + second) / 2) / 2, **TOLERANCE)
    value.backward()
    assert rater_sd.grad[1, 0] == 0 and torch.isfinite(rater_sd.grad).all()


def test_an_unrated_row_adds_exactly_nothing_to_labels_and_rater_sd_and_something_to_the_rest() -> None:
    generator = torch.Generator().manual_seed(2)
    emotion = torch.rand(3, 2, generator=generator, requires_grad=True)
    rater_sd = (0.3 + torch.rand(3, 2, generator=generator)).requires_grad_()
    features = torch.rand(3, 4, generator=generator, requires_grad=True)
    known = targets([True, True, False])
    known.deviations[2] = math.nan
    for name, measure in (("labels", 0), ("rater_sd", 1)):
        parts = [label_term(emotion, known.labels, known.labelled), rater_sd_term(rater_sd, emotion, known)]
        two = targets([True, True])
        alone = [label_term(emotion[:2], two.labels, two.labelled), rater_sd_term(rater_sd[:2], emotion[:2], two)]
        assert float(parts[measure].detach()) == pytest.approx(float(alone[measure].detach()), **TOLERANCE), name
        into = (emotion, rater_sd)[measure]
        slope = torch.autograd.grad(parts[measure], into)[0]
        assert torch.equal(slope[2], torch.zeros(2)) and float(slope[:2].abs().sum()) > 0, name
    response = torch.autograd.grad(response_term(emotion, known.emotion), emotion)[0]
    assert float(response[2].abs().min()) > 0
    known = known._replace(features=torch.rand(3, 3, generator=generator))
    for measure in ("relational", "distance-correlation"):
        value = FEATURE_TERMS[measure](features, known.features)
        assert float(torch.autograd.grad(value, features)[0][2].abs().sum()) > 0, measure


def test_rater_sd_by_hand() -> None:
    # second moment .3^2 + (.5 - .1)^2 = .25; at rater_sd .5: ln .5 + 1/2
    known = targets([True, False])
    value = rater_sd_term(torch.full((2, 2), 0.5), torch.full((2, 2), 0.1), known)
    assert float(value) == pytest.approx(math.log(0.5) + 0.5, **TOLERANCE)


def test_rater_sd_is_smallest_at_the_true_deviation_and_leaves_emotion_alone() -> None:
    emotion = torch.full((1, 2), 0.1, requires_grad=True)
    rater_sd = torch.full((1, 2), 0.5, requires_grad=True)
    rater_sd_term(rater_sd, emotion, targets([True])).backward()
    assert emotion.grad is None
    assert torch.allclose(rater_sd.grad, torch.zeros(1, 2), rtol=0, atol=1e-6)


def test_whole_loss_is_the_weighted_sum_with_shares() -> None:
    weights = LossConfig(labels=2, response=3, features=0.5, rater_sd=0.25)
    student = StudentOutput(pairs(0.1, 0.4), torch.full((2, 2), 0.7), torch.zeros(2, 4))
    projected = torch.tensor([[1.0, 0.5, -1.0], [0.3, 0.2, 0.1]])
    known = targets([True, True], label=0.2)
    terms = distillation_loss(student, projected, known, weights)
    expected = sum(
        getattr(weights, name) * float(terms[name]) for name in ("labels", "response", "features", "rater_sd")
    )
    assert float(terms["loss"]) == pytest.approx(expected, **TOLERANCE)
    assert sum(
        float(terms[f"{name}_share"]) for name in ("labels", "response", "features", "rater_sd")
    ) == pytest.approx(1, **TOLERANCE)
    assert float(terms["features_share"]) == pytest.approx(
        0.5
        * float(terms["features"])
        / sum(abs(getattr(weights, n) * float(terms[n])) for n in ("labels", "response", "features", "rater_sd")),
        **TOLERANCE,
    )


def test_unrated_clips_feel_the_teacher_only_and_the_teacher_feels_nothing() -> None:
    generator = torch.Generator().manual_seed(1)
    emotion = torch.rand(2, 2, generator=generator, requires_grad=True)
    features = torch.rand(2, 4, generator=generator, requires_grad=True)
    rater_sd = torch.full((2, 2), 0.5, requires_grad=True)
    prediction = torch.zeros(2, 2, requires_grad=True)
    theirs = torch.rand(2, 3, generator=generator, requires_grad=True)
    known = targets([False, False])._replace(emotion=prediction, features=theirs)
    projector = Projector(4, 3)
    loss = distillation_loss(StudentOutput(emotion, rater_sd, features), projector(features), known, LossConfig())[
        "loss"
    ]
    loss.backward()
    assert prediction.grad is None and theirs.grad is None
    assert torch.allclose(emotion.grad, 2 * emotion.detach() / 4, rtol=1e-5, atol=1e-7)  # that of the MSE alone
    assert float(features.grad.abs().sum()) > 0
    assert torch.equal(rater_sd.grad, torch.zeros(2, 2))


def test_weights_that_teach_nothing_are_refused() -> None:
    with pytest.raises(PocketmoodError, match="nothing would be learnt"):
        LossConfig(0, 0, 0, 0.1)
    with pytest.raises(PocketmoodError, match="must not be negative"):
        LossConfig(response=-1)


def test_what_the_members_agree_on_pulls_harder() -> None:
    emotion, agreement = pairs(0.5, -0.5), torch.tensor([[1.5, 1.0], [0.5, 1.0]])
    known = targets([False, False])._replace(agreement=agreement)
    plain = StudentOutput(emotion, torch.ones(2, 2), known.features)
    even = distillation_loss(plain, known.features, known, LossConfig())["response"]
    weighed = distillation_loss(plain, known.features, known, LossConfig(weigh_by_agreement=True))["response"]
    assert float(even) == pytest.approx(0.25, **TOLERANCE) == pytest.approx(float(weighed), **TOLERANCE)
    other = StudentOutput(pairs(0.5, 0.0), torch.ones(2, 2), known.features)
    # Squared errors of .25 and 0; by hand (1.5 + 1) * .25 / 4.
    found = distillation_loss(other, known.features, known, LossConfig(weigh_by_agreement=True))["response"]
    assert float(found) == pytest.approx(0.15625, **TOLERANCE)
    gated = targets([True, False], label=1.0)._replace(agreement=agreement)
    # The teacher's 0 is further from the rating 1 than the student's .5: the first row is left out, the second is 0.
    found = distillation_loss(other, gated.features, gated, LossConfig(weigh_by_agreement=True, gate=True))["response"]
    assert float(found) == 0
