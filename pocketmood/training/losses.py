"""Concordance and a listener's rating as losses in torch: the definitions that teacher and student share.

Conventions: predictions, ratings and deviations are [B, 2], valence before arousal, in [-1, 1]. Moments are those of
the batch (population moments), the same that `pocketmood.metrics` scores with.

How rows are weighed and averaged stays with each stage: the teacher weighs ratings, the student leaves unrated rows
out. Nor are their sums brought into one form: the values would agree to the bit, but autograd would add the same
contributions to a gradient in another order, and each result of one stage would move in its last digits.
"""

from __future__ import annotations

from torch import Tensor


def ccc_from_moments(covariance: Tensor, variances: Tensor, gap: Tensor, least: float) -> Tensor:
    """Return 1 - Lin's CCC per axis: 1 - 2 covariance / (variances + gap^2).

    variances: the sum of both variances; gap: the difference of the means; all [D]. least: keeps the quotient finite
    where nothing varies, and so 1 there.
    """
    return 1 - 2 * covariance / (variances + gap**2 + least)


def rating_moment(prediction: Tensor, label: Tensor, deviation: Tensor) -> Tensor:
    """Return the second moment of one listener's rating around the prediction: deviation^2 + (label - prediction)^2.

    A rating scatters around the mean rating, `label`, by the raters' deviation. The prediction is detached: a
    `rater_sd` trained on this must explain the prediction's errors, not move it to excuse them. An unknown
    deviation (NaN) counts as 0 here; leave such rows out of the mean.
    """
    return deviation.nan_to_num() ** 2 + (label - prediction.detach()) ** 2
