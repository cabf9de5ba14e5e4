"""Three ways of asking that the student's features be like the teacher's, each a function [B, F'], [B, F] -> scalar.

    cosine                 direction of each clip's features after a projector (Projector): says what each clip is
    relational             distances and angles between clips (Park et al. 2019, "Relational Knowledge Distillation",
                           equations 3 to 6): says how clips lie to each other, whatever the axes; no projector
    distance-correlation   1 - dCor (Szekely, Rizzo and Bakirov 2007, definitions 4 and 5, V-statistics): 0 where the
                           distances of one side follow from those of the other; no projector. In a small batch of many
                           features dCor is high for unrelated features as well

The teacher's side never receives a gradient. No shape depends on the data, so that a GPU need not be waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from student.config import FeatureMeasure

ANGLES = 2.0
"""How much the angles count beside the distances in the relational term: 50 against 25 in the paper."""
_TINY = 1e-8
_NEAREST = 1e-4
"""Clips nearer to each other have no direction: a slope of 1 over their distance would drown all others."""


class Projector(nn.Module):
    """Bring student features [B, F'] to the teacher's width; used in training only, never saved with the student."""

    def __init__(self, width: int, teacher_width: int) -> None:
        """One linear layer; both sides are normalised by `cosine_term`."""
        super().__init__()
        self.linear = nn.Linear(width, teacher_width)

    def forward(self, features: Tensor) -> Tensor:
        """Project [B, F'] -> [B, F]."""
        projected: Tensor = self.linear(features)
        return projected


def cosine_term(projected: Tensor, teacher: Tensor) -> Tensor:
    """Return 1 - cosine of layer-normalised features, both [B, F]: only the direction counts, so nothing swamps."""
    shape = projected.shape[1:]
    student = nn.functional.layer_norm(projected, shape)
    target = nn.functional.layer_norm(teacher.detach(), shape)
    return 1 - nn.functional.cosine_similarity(student, target).mean()


def relational_term(features: Tensor, teacher: Tensor) -> Tensor:
    """Return how far the clips' relations differ (Huber): those of distances, plus `ANGLES` times those of angles.

    Means over pairs and triplets of distinct clips.
    """
    teacher = teacher.detach()
    # Only the counts leave out what a clip has with itself: it is the same on both sides and adds nothing to the sums.
    pairs = len(features) * (len(features) - 1)
    triplets = pairs * (len(features) - 2)
    distance = _huber(relative_distances(features), relative_distances(teacher)) / max(pairs, 1)
    return distance + ANGLES * _huber(angles(features), angles(teacher)) / max(triplets, 1)


def distance_correlation_term(features: Tensor, teacher: Tensor) -> Tensor:
    """Return 1 - dCor of two sets of features; 1 where either side is the same for all clips."""
    student, target = _centred(pairwise_distances(features)), _centred(pairwise_distances(teacher.detach()))
    scale = ((student * student).mean() * (target * target).mean()).clamp(min=_TINY**2).sqrt()
    # Rounding may bring the covariance of unrelated features below 0, and the root's slope there is infinite.
    return 1 - ((student * target).mean() / scale).clamp(min=_TINY).sqrt()


FEATURE_TERMS: dict[FeatureMeasure, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": cosine_term,
    "relational": relational_term,
    "distance-correlation": distance_correlation_term,
}
"""The term of each `LossConfig.feature_measure`."""


def pairwise_distances(x: Tensor) -> Tensor:
    """Return the Euclidean distances [B, B] between rows [B, F]; the gradient of a distance of 0 is 0."""
    squared = (x[:, None] - x[None]).square().sum(2)
    near = squared < _TINY**2
    # Twice `where`: the root's gradient at 0 is infinite, the diagonal is always 0, and infinity times 0 is NaN.
    return torch.where(near, 0.0, torch.where(near, 1.0, squared).sqrt())


def relative_distances(x: Tensor) -> Tensor:
    """Return the distances [B, B] between rows as shares of their mean over distinct rows."""
    distances = pairwise_distances(x)
    mean = distances.sum() / max(len(x) * (len(x) - 1), 1)
    return distances / mean.clamp(min=_TINY)


def angles(x: Tensor) -> Tensor:
    """Return the cosine of the angle at row j between rows i and k, [j, i, k]; 0 where i or k is j."""
    arms = nn.functional.normalize(
        x[:, None] - x[None], dim=2, eps=_NEAREST
    )  # [j, i, F], from i to j, of length 1 or 0
    return torch.bmm(arms, arms.transpose(1, 2))


def _huber(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the sum of half the squares of differences, linear from 1 on."""
    return nn.functional.smooth_l1_loss(student, teacher, reduction="sum")


def _centred(distances: Tensor) -> Tensor:
    """Take the mean of its row and of its column off each value, and add that of all."""
    return distances - distances.mean(0, keepdim=True) - distances.mean(1, keepdim=True) + distances.mean()
