"""The teacher's loss: 1 - CCC, squared error, and a Gaussian likelihood of single listeners' ratings.

Conventions: predictions, ratings, deviations and weights are [B, D] or [B, 2], valence before arousal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pocketmood.training.losses import ccc_from_moments, rating_moment
from teacher.vit import TeacherOutput

if TYPE_CHECKING:
    from teacher.recipe import Recipe

LEAST_DEVIATION = 0.25
"""Ratings whose raters agree to the last step of the scale still err by about this much: one point of nine."""
_TINY = 1e-6


def ccc_loss(prediction: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return 1 - CCC over a batch, per axis [D], with population moments; 1 where both are constant.

    weight: how much each rating counts in all moments; any positive numbers, the same for all rows if left out.
    """
    share = torch.ones_like(label) if weight is None else weight
    share = share / share.sum(0)
    # Means first, then squares around them: E[x^2] - E[x]^2 loses digits where the mean is large.
    predicted_mean, label_mean = (share * prediction).sum(0), (share * label).sum(0)
    covariance = (share * (prediction - predicted_mean) * (label - label_mean)).sum(0)
    variances = (share * ((prediction - predicted_mean) ** 2 + (label - label_mean) ** 2)).sum(0)
    return ccc_from_moments(covariance, variances, predicted_mean - label_mean, _TINY)


def rater_sd_loss(prediction: Tensor, rater_sd: Tensor, label: Tensor, deviation: Tensor) -> Tensor:
    """Gaussian negative log likelihood of one listener's rating around the prediction, mean over what is known.

    The rating's second moment is that of `rating_moment`. Rows with unknown (NaN) deviation do not count.
    """
    known = ~deviation.isnan()
    moment = rating_moment(prediction, label, deviation)
    # Without the constant ln(2 pi) / 2, which has no gradient; so the term may fall below 0.
    likelihood = rater_sd.log() + moment / (2 * rater_sd**2)
    return torch.where(known, likelihood, 0.0).sum() / known.sum().clamp(min=1)


def agreement_weight(deviation: Tensor) -> Tensor:
    """Weigh a rating by how well its raters agree: 1 / (LEAST_DEVIATION^2 + deviation^2), mean 1 per axis.

    The inverse variance of a mean over equally many raters, bounded for those who agree by chance. A rating whose
    deviation is unknown (NaN) counts like the average one.
    """
    known = ~deviation.isnan()
    weight = 1 / (LEAST_DEVIATION**2 + deviation.nan_to_num() ** 2)
    # Mean 1, so that the weighted error keeps the size, and the learning rate the meaning, of the plain one.
    mean = torch.where(known, weight, 0.0).sum(0) / known.sum(0).clamp(min=1)
    return torch.where(known, weight / mean.clamp(min=_TINY), 1.0)


def emotion_loss(output: TeacherOutput, label: Tensor, deviation: Tensor, config: Recipe) -> dict[str, Tensor]:
    """Compare predictions with ratings.

    Returns the unweighted terms "ccc", "mse" (valence and arousal by `valence_share`) and "rater_sd", and the weighted
    sum "loss".
    """
    shares = label.new_tensor([config.valence_share, 1 - config.valence_share])
    # In float32 whatever autocast computed in: a CCC of half precision would be rounded to three digits.
    emotion, rater_sd = output.emotion.float(), output.rater_sd.float()
    weight = agreement_weight(deviation) if config.weigh_by_agreement else torch.ones_like(label)
    terms = {
        "ccc": (ccc_loss(emotion, label, weight) * shares).sum(),
        "mse": ((weight * (emotion - label) ** 2).mean(0) * shares).sum(),
        "rater_sd": rater_sd_loss(emotion, rater_sd, label, deviation),
    }
    loss = config.ccc_weight * terms["ccc"] + config.mse_weight * terms["mse"]
    loss = loss + config.rater_sd_weight * terms["rater_sd"]
    return {"loss": loss, **terms}
