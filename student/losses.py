"""The terms of the distillation loss, as functions: distance to ratings, to soft targets, to features, and rater_sd.

Shapes: B batch, D the two axes, F teacher features. Terms are unweighted. Every mean is over what it says; no term
needs the teacher itself.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pocketmood.training.losses import ccc_from_moments, rating_moment
from student.config import LossConfig
from student.feature_losses import FEATURE_TERMS
from student.mobilevit import StudentOutput

_TINY = 1e-8


class Targets(NamedTuple):
    """What is known of a batch of crops."""

    labels: Tensor
    """[B, 2] mean ratings; any finite number where `labelled` is False."""
    labelled: Tensor
    """[B] bool."""
    deviations: Tensor
    """[B, 2] standard deviation of the raters; NaN where unknown."""
    emotion: Tensor
    """[B, 2] the teacher's prediction for the same crop."""
    features: Tensor
    """[B, F] the teacher's features for the same crop."""
    agreement: Tensor
    """[B, 2] what the prediction counts by how well the teacher's members agree; see `SoftTargets.agreement`."""


def one_minus_ccc(pred: Tensor, target: Tensor, rows: Tensor | None = None) -> Tensor:
    """Return 1 - Lin's CCC with population moments over the batch, mean of the axes; [B, 2] each -> scalar.

    rows: [B] or [B, 2] what counts, as bool or as weights. One row alone scores 1, because nothing can vary together;
    an axis without any row counts 0.
    """
    # Weights of 0 rather than fewer rows: a shape that depends on the data makes the CPU wait for a GPU.
    share = _shares(pred, rows)
    pred_mean, target_mean = (share * pred).sum(0), (share * target).sum(0)
    pred, target = pred - pred_mean, target - target_mean
    covariance, variances = (share * pred * target).sum(0), (share * (pred**2 + target**2)).sum(0)
    distance = ccc_from_moments(covariance, variances, pred_mean - target_mean, _TINY)
    # Without rows all moments are 0 and the distance 1: nothing to learn, but a constant that would read as a loss.
    return (distance * (share > 0).any(0)).mean()


def label_term(emotion: Tensor, labels: Tensor, labelled: Tensor) -> Tensor:
    """Return 1 - CCC + MSE to the ratings over the rated rows; 0, with a gradient of 0, where no row is rated."""
    error = (_shares(emotion, labelled) * (emotion - labels) ** 2).sum(0).mean()
    return one_minus_ccc(emotion, labels, labelled) + error


def response_term(emotion: Tensor, teacher: Tensor, measure: str = "mse", weight: Tensor | None = None) -> Tensor:
    """Return the distance to the teacher's predictions [B, 2]: "mse", or "ccc" for 1 - CCC over the batch.

    weight: [B, 2] what predictions count (see `open_gate`, `Targets.agreement`).
    """
    teacher = teacher.detach()
    if measure == "ccc":
        return one_minus_ccc(emotion, teacher, weight)
    # Divided by all of the batch: where a gate is closed the others must not pull harder for it.
    squared = (emotion - teacher) ** 2
    return (squared if weight is None else squared * weight).mean()


def open_gate(emotion: Tensor, targets: Targets) -> Tensor:
    """Tell which of the teacher's predictions may pull, [B, 2] bool: those not worse than the student's at this moment.

    Worse is a larger squared error against the rating, axis by axis. Where nobody rated, the teacher always counts.
    """
    teacher, student = ((predicted.detach() - targets.labels) ** 2 for predicted in (targets.emotion, emotion))
    # `<=`: a tie leaves the gate open, as no gate would.
    return ~targets.labelled[:, None] | (teacher <= student)


def rater_sd_term(rater_sd: Tensor, emotion: Tensor, targets: Targets) -> Tensor:
    """Return the Gaussian negative log likelihood of one listener's rating over the rated rows of known deviation.

    The rating's second moment is that of `rating_moment`, which keeps this term from moving the emotion.
    """
    # Both: a rated clip may lack a deviation, and an unrated one counts for nothing, whatever stands in its row.
    known = targets.labelled[:, None] & ~targets.deviations.isnan()
    moment = rating_moment(emotion, targets.labels, targets.deviations)
    variance = rater_sd**2
    likelihood = 0.5 * (torch.log(variance) + moment / variance)
    return (_shares(rater_sd, known) * likelihood).sum(0).mean()


def distillation_loss(
    student: StudentOutput, features: Tensor, targets: Targets, weights: LossConfig
) -> dict[str, Tensor]:
    """Compare the student with the people who rated the music and with the teacher.

    features: what `weights.feature_measure` compares with the teacher's, [B, F] projected for "cosine" and the
    student's own for the others. Returns the unweighted terms "labels", "response", "features" and "rater_sd", each
    one's share of the weighted whole as "labels_share", ..., with a gate the share of rated predictions for which it is
    open as "gate_open_share", and the weighted sum, "loss".
    """
    gate = open_gate(student.emotion, targets) if weights.gate else None
    weight = gate
    if weights.weigh_by_agreement:
        weight = targets.agreement if gate is None else targets.agreement * gate
    terms = {
        "labels": label_term(student.emotion, targets.labels, targets.labelled),
        "response": response_term(student.emotion, targets.emotion, weights.response_measure, weight),
        "features": FEATURE_TERMS[weights.feature_measure](features, targets.features),
        # Before calibration `interval_scale` is 1: the output is what its head predicts, a standard deviation.
        "rater_sd": rater_sd_term(student.interval68, student.emotion, targets),
    }
    weighted = {name: getattr(weights, name) * value for name, value in terms.items()}
    # Of absolute values: the log likelihood may be negative, and shares are to add up to 1.
    sizes = {name: value.detach().abs() for name, value in weighted.items()}
    whole = torch.stack(list(sizes.values())).sum() + _TINY
    shares = {f"{name}_share": size / whole for name, size in sizes.items()}
    if gate is not None:
        shares["gate_open_share"] = (_shares(student.emotion, targets.labelled) * gate).sum(0).mean()
    return {"loss": torch.stack(list(weighted.values())).sum(), **terms, **shares}


def _shares(like: Tensor, rows: Tensor | None) -> Tensor:
    """Return what each row counts in a mean, [B, 1] or [B, D]: shares by bool or weight, all 0 where none counts."""
    if rows is None:
        # One column for both axes: it broadcasts.
        return torch.full_like(like[:, :1], 1 / len(like))
    chosen = rows.to(like.dtype).reshape(len(rows), -1)
    return chosen / chosen.sum(0).clamp(min=_TINY)
