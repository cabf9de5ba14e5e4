"""Metrics of labels that are only signs: AUC of valence's and of arousal's sign, accuracy of the quadrant.

Conventions: predictions and labels [N, 2] in [-1, 1]; 0 counts as positive on both sides, as in `emotion.quadrant`. A
label's size is never looked at, so +-.5 and +-1 give the same figures. Intervals are 95 % percentile intervals over the
same resampled songs as those of `metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketmood.metrics import AXES, Array, Interval, Paired, checked, percentile_interval, resampled_rows

AUC_NAMES = tuple(f"auc_{axis}" for axis in AXES)
NAMES = (*AUC_NAMES, "quadrant_accuracy")
"""Names of the three metrics, in the order of tables."""
TITLES = {"auc_valence": "AUC V", "auc_arousal": "AUC A", "quadrant_accuracy": "quadrants"}
"""How tables and pages head them."""
CHANCE = 0.5
"""The AUC of what knows nothing, and of labels that all have one sign: there is nothing to order."""


def auc(pred: Array, label: Array) -> float:
    """Area under the ROC curve of predictions [N] for the label's sign, in [0, 1]: Mann and Whitney 1947, U / (P Q).

    The share of pairs, one song of each sign, that the prediction puts in the right order; a tie counts half. 0.5 where
    all labels have one sign.
    """
    pred, label = checked(pred, label)
    return float(_aucs(pred, label, np.ones((1, len(label))))[0]) if _both_signs(label) else CHANCE


def quadrant_accuracy(pred: Array, label: Array) -> float:
    """Share of predictions [N, 2] that lie in their label's quadrant, in [0, 1]."""
    pred, label = checked(pred, label, dimensions=2)
    return float(_in_quadrant(pred, label).mean())


def score(pred: Array, label: Array) -> dict[str, float]:
    """Compute the metrics of predictions [N, 2], by the names in `NAMES`."""
    pred, label = checked(pred, label, dimensions=2)
    values = [auc(pred[:, axis], label[:, axis]) for axis in range(2)]
    return dict(zip(NAMES, [*values, quadrant_accuracy(pred, label)], strict=True))


def score_intervals(
    pred: Array, label: Array, songs: Sequence[str] | None = None, repeats: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """Return the interval of every metric of `score`; rows of one song are drawn together.

    Draws whose songs all have one sign say nothing of its AUC and are left out; [0, 1] where no draw is left.
    """
    samples = _samples([pred], label, songs, repeats, seed)[0]
    return {name: _interval(values, Interval(0.0, 1.0)) for name, values in samples.items()}


def paired_differences(
    pred_a: Array, pred_b: Array, label: Array, songs: Sequence[str] | None = None, repeats: int = 1000, seed: int = 0
) -> dict[str, Paired]:
    """Return each metric of a less that of b, both [N, 2], with the interval over the same resampled songs."""
    a, b = _samples([pred_a, pred_b], label, songs, repeats, seed)
    whole_a, whole_b = score(pred_a, label), score(pred_b, label)
    return {
        name: Paired(whole_a[name] - whole_b[name], *_interval(a[name] - b[name], Interval(-1.0, 1.0)))
        for name in NAMES
    }


def _samples(
    preds: Sequence[Array], label: Array, songs: Sequence[str] | None, repeats: int, seed: int
) -> list[dict[str, Array]]:
    """Return every metric [repeats] of each prediction, all on the same resampled songs; NaN where there is no AUC."""
    rows = resampled_rows(len(label), songs, repeats, seed)
    # How often each row was drawn: the AUCs of all draws are then one product of matrices, and no draw is sorted.
    counts = np.stack([np.bincount(row, minlength=len(label)) for row in rows]).astype(np.float64)  # [R, N]
    found = []
    for pred in preds:
        pred, truth = checked(pred, label, dimensions=2)
        columns = [_aucs(pred[:, axis], truth[:, axis], counts) for axis in range(2)]
        columns.append(counts @ _in_quadrant(pred, truth) / counts.sum(1))
        found.append(dict(zip(NAMES, columns, strict=True)))
    return found


def _aucs(pred: Array, label: Array, counts: Array) -> Array:
    """Compute the AUC [R] of draws in which row n occurs counts[r, n] times; NaN where a draw has one sign only."""
    positive = label >= 0
    higher, lower = pred[positive][:, None], pred[~positive][None]
    order = (higher > lower) + 0.5 * (higher == lower)  # [P, Q]
    ones, zeros = counts[:, positive], counts[:, ~positive]
    pairs = ones.sum(1) * zeros.sum(1)
    right = ((ones @ order) * zeros).sum(1)
    result: Array = np.where(pairs > 0, right / np.maximum(pairs, 1), np.nan)
    return result


def _in_quadrant(pred: Array, label: Array) -> Array:
    """Return 1 for rows of [N, 2] whose two signs are both right, else 0."""
    right: Array = ((pred >= 0) == (label >= 0)).all(1).astype(np.float64)
    return right


def _both_signs(label: Array) -> bool:
    return bool((label >= 0).any() and (label < 0).any())


def _interval(samples: Array, unknown: Interval) -> Interval:
    known = samples[np.isfinite(samples)]
    return percentile_interval(known) if len(known) else unknown
