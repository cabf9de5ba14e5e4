"""Scores of a model, or of a descriptor, on a corpus it was not trained on: per axis, with intervals over songs.

Conventions: predictions and labels [N, 2]; all intervals are 95 % percentile intervals over the same resampled songs.
A descriptor has a unit of its own (Hz, dB), so only its order can be right or wrong: AUC and rank correlation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.result_files import markdown_table
from pocketmood import metrics, signs
from pocketmood.metrics import AXES, Array, Interval

ORDER = ("auc", "rank_correlation")
"""What a descriptor is scored by."""
SIZE = ("ccc", "bias", "range_ratio")
"""What a model is scored by as well."""


class Figure(NamedTuple):
    """A value with its 95 % interval over songs."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Write it with two decimals; three would be less than the interval shows."""
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Scores:
    """Figures of one model or descriptor."""

    axes: Mapping[str, Mapping[str, Figure]]
    """Axis -> score -> figure; only those of ORDER for a descriptor."""
    quadrant_accuracy: Figure | None = None
    """Share of songs whose two signs are both right; None for a descriptor."""

    def as_json(self) -> dict[str, Any]:
        """Return all figures by name, as the result's file holds them."""
        axes = {
            axis: {name: figure._asdict() for name, figure in figures.items()} for axis, figures in self.axes.items()
        }
        return axes | ({"quadrant_accuracy": self.quadrant_accuracy._asdict()} if self.quadrant_accuracy else {})


def of_model(emotion: Array, labels: Array, songs: Sequence[str]) -> Scores:
    """Score predictions [N, 2] in [-1, 1] on labels [N, 2] by order, size and quadrant."""
    order = of_order(emotion, labels, songs)
    values, intervals = metrics.score(emotion, labels), metrics.score_intervals(emotion, labels, songs)
    axes = {}
    for column, axis in enumerate(AXES):
        sized = {
            name: Figure(values[f"{name}_{axis}"], *intervals[f"{name}_{axis}"]) for name in ("ccc", "range_ratio")
        }
        sized["bias"] = _figure(bias, emotion[:, column], labels[:, column], songs)
        axes[axis] = dict(order.axes[axis]) | {name: sized[name] for name in SIZE}
    right = Figure(
        signs.score(emotion, labels)["quadrant_accuracy"],
        *signs.score_intervals(emotion, labels, songs)["quadrant_accuracy"],
    )
    return Scores(axes, right)


def of_order(values: Array, labels: Array, songs: Sequence[str]) -> Scores:
    """Score how values [N, 2] order songs, by AUC of the label's sign and by rank correlation."""
    aucs, intervals = signs.score(values, labels), signs.score_intervals(values, labels, songs)
    return Scores(
        {
            axis: {
                "auc": Figure(aucs[f"auc_{axis}"], *intervals[f"auc_{axis}"]),
                "rank_correlation": _figure(rank_correlation, values[:, column], labels[:, column], songs),
            }
            for column, axis in enumerate(AXES)
        }
    )


def rank_correlation(pred: Array, label: Array) -> float:
    """Spearman's rho of 1-D arrays, in [-1, 1]: Pearson's r of ranks, ties sharing their mean rank; 0 for constants."""
    return metrics.pearson(ranks(pred), ranks(label))


def ranks(values: Array) -> NDArray[np.float64]:
    """Rank values [N] from 1; equal ones get the mean of the ranks that they take up."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: NDArray[np.float64] = (last - (counts - 1) / 2)[place]
    return shared


def bias(pred: Array, label: Array) -> float:
    """Mean prediction less mean label, in [-1, 1] units."""
    return float(np.mean(pred) - np.mean(label))


def table(scored: Mapping[str, Scores], axis: str, signs_only: bool) -> str:
    """Lay out one axis as a Markdown table; signs_only: the labels are quadrants, which the CCC's heading then says."""
    ccc = "CCC (of signs)" if signs_only else "CCC"
    titles = {
        "auc": "AUC", "rank_correlation": "rank correlation", "ccc": ccc, "bias": "bias", "range_ratio": "range"
    }  # fmt: skip
    rows = [
        [name, *(str(scores.axes[axis][column]) if column in scores.axes[axis] else "" for column in titles)]
        for name, scores in scored.items()
    ]
    return markdown_table([axis, *titles.values()], rows)


def _figure(function: Callable[[Array, Array], float], pred: Array, label: Array, songs: Sequence[str]) -> Figure:
    """Compute a score of 1-D arrays with its interval, one draw of songs at a time."""
    pred, label = metrics.checked(pred, label)
    drawn = metrics.resampled_rows(len(label), songs, repeats=1000, seed=0)
    interval: Interval = metrics.percentile_interval(np.array([function(pred[rows], label[rows]) for rows in drawn]))
    return Figure(function(pred, label), *interval)
