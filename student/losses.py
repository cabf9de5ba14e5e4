"""What the student is asked to match, as functions that return named, unweighted terms.

Shapes: B batch, D the two axes, F teacher features. Every mean is over what it says; no term needs the teacher itself.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from student.config import LossConfig
from student.mobilevit import StudentOutput

_TINY = 1e-8


class Targets(NamedTuple):
    """What is known of a batch of crops."""

    labels: Tensor
    """[B, 2] mean ratings; any finite number where `labelled` is False."""
    labelled: Tensor
    """[B] bool."""
    deviations: Tensor
    """[B, 2] standard deviation of the raters; 0 where unknown."""
    emotion: Tensor
    """[B, 2] the teacher's answer for the same crop."""
    features: Tensor
    """[B, F] the teacher's features for the same crop."""


class Projector(nn.Module):
    """Bring student features [B, F'] to the teacher's width; used in training only, never saved with the student."""

    def __init__(self, width: int, teacher_width: int) -> None:
        """One linear layer; both sides are normalised by `feature_term`."""
        super().__init__()
        self.linear = nn.Linear(width, teacher_width)

    def forward(self, features: Tensor) -> Tensor:
        """Project [B, F'] -> [B, F]."""
        projected: Tensor = self.linear(features)
        return projected


def one_minus_ccc(pred: Tensor, target: Tensor, rows: Tensor | None = None) -> Tensor:
    """Return 1 - Lin's CCC with population moments over the batch, mean of the axes; [B, 2] each -> scalar.

    rows: [B] bool, which rows count; without data-dependent shapes, so that a GPU need not be waited for. One row alone
    scores 1, because nothing can vary together.
    """
    share = _shares(pred, rows)
    pred_mean, target_mean = (share * pred).sum(0), (share * target).sum(0)
    pred, target = pred - pred_mean, target - target_mean
    whole = (share * (pred**2 + target**2)).sum(0) + (pred_mean - target_mean) ** 2
    return (1 - 2 * (share * pred * target).sum(0) / (whole + _TINY)).mean()


def label_term(emotion: Tensor, labels: Tensor, labelled: Tensor) -> Tensor:
    """Return 1 - CCC + MSE to the ratings over the rated rows; 0, with a gradient of 0, where no row is rated."""
    error = (_shares(emotion, labelled) * (emotion - labels) ** 2).sum(0).mean()
    return (one_minus_ccc(emotion, labels, labelled) + error) * labelled.any()


def response_term(emotion: Tensor, teacher: Tensor, measure: str = "mse") -> Tensor:
    """Return the distance to the teacher's answers [B, 2]: "mse", or "ccc" for 1 - CCC over the batch."""
    teacher = teacher.detach()
    return one_minus_ccc(emotion, teacher) if measure == "ccc" else nn.functional.mse_loss(emotion, teacher)


def feature_term(projected: Tensor, teacher: Tensor) -> Tensor:
    """Return 1 - cosine of layer-normalised features, both [B, F]: only the direction counts, so nothing swamps."""
    shape = projected.shape[1:]
    ours = nn.functional.layer_norm(projected, shape)
    theirs = nn.functional.layer_norm(teacher.detach(), shape)
    return 1 - nn.functional.cosine_similarity(ours, theirs).mean()


def spread_term(spread: Tensor, emotion: Tensor, targets: Targets) -> Tensor:
    """Return the Gaussian negative log likelihood of one listener's rating over the rated rows.

    A rating scatters around the label by the raters' deviation, so its second moment about our answer is
    deviation^2 + (label - emotion)^2. The answer is detached: the spread must not bend the emotion.
    """
    moment = targets.deviations**2 + (targets.labels - emotion.detach()) ** 2
    variance = spread**2
    likelihood = 0.5 * (torch.log(variance) + moment / variance)
    return (_shares(spread, targets.labelled) * likelihood).sum(0).mean()


def distillation_loss(
    student: StudentOutput, projected: Tensor, targets: Targets, weights: LossConfig
) -> dict[str, Tensor]:
    """Compare the student with the people who rated the music and with the teacher.

    Returns the unweighted terms "labels", "response", "features" and "spread", each one's share of the weighted whole
    as "labels_share", ..., and the weighted sum, "loss".
    """
    terms = {
        "labels": label_term(student.emotion, targets.labels, targets.labelled),
        "response": response_term(student.emotion, targets.emotion, weights.response_measure),
        "features": feature_term(projected, targets.features),
        "spread": spread_term(student.spread, student.emotion, targets),
    }
    weighted = {name: getattr(weights, name) * value for name, value in terms.items()}
    sizes = {name: value.detach().abs() for name, value in weighted.items()}
    whole = torch.stack(list(sizes.values())).sum() + _TINY
    shares = {f"{name}_share": size / whole for name, size in sizes.items()}
    return {"loss": torch.stack(list(weighted.values())).sum(), **terms, **shares}


def _shares(like: Tensor, rows: Tensor | None) -> Tensor:
    """Return what each row counts in a mean, [B, 1]: equal shares of the chosen rows, all 0 where none is chosen."""
    if rows is None:
        return torch.full_like(like[:, :1], 1 / len(like))
    chosen = rows.to(like.dtype)[:, None]
    return chosen / chosen.sum().clamp(min=1)
