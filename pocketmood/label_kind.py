"""Kinds of labels, and which metrics say something of each: mean ratings, or quadrants by experts' tags.

Of a quadrant only the signs are known: its targets of +-.5 say nothing of how far out a song lies. So AUC of both signs
and accuracy of the quadrant come first, a CCC is one of signs, and errors (RMSE and its like), which would measure the
distance to a number that nobody gave, are not reported at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from pocketmood import metrics, signs
from pocketmood.metrics import Array, Interval

RATINGS, QUADRANTS, MIXED = "ratings", "quadrants", "mixed"
"""Kinds of the labels of a corpus, or of a run whose corpora differ."""
KINDS = (RATINGS, QUADRANTS)
"""Those of a corpus."""
TAGS = "expert tags, not ratings"
"""What every report and card says of quadrants."""
IN_WORDS = {RATINGS: "ratings by people", QUADRANTS: TAGS, MIXED: f"ratings by people, part of them {TAGS}"}
"""Whose the labels of each kind are, for cards and pages."""
TARGETS = {RATINGS: "mean rating", QUADRANTS: "target (+-.5)", MIXED: "mean rating or tag's target (+-.5)"}
"""What a song of each kind has, that a prediction can meet."""
WHO = {RATINGS: "raters", QUADRANTS: "expert tags", MIXED: "labels"}
"""Who or what a prediction stands beside in pictures."""
LABELLED = {RATINGS: "rated", QUADRANTS: "tagged", MIXED: "labelled"}
"""What was done to a song, for titles and axes."""
_OF_SIGNS = {QUADRANTS: "CCC of signs", MIXED: "CCC, partly of signs"}
# What depends on order and side alone keeps a meaning, if a weaker one, on targets of two values.
_KEPT = tuple(f"{name}_{axis}" for name in ("ccc", "pearson") for axis in (*metrics.AXES, "mean"))


def has_signs(kind: str) -> bool:
    """Whether labels of this kind are signs, all or some of them."""
    return kind != RATINGS


def ccc_name(kind: str) -> str:
    """Name the CCC as it must be told: of signs, where the labels are."""
    return _OF_SIGNS.get(kind, "CCC")


def score(kind: str, pred: Array, label: Array) -> dict[str, float]:
    """Compute every metric of predictions [N, 2] that means something: those of signs first, or `metrics.score`."""
    whole = metrics.score(pred, label)
    if not has_signs(kind):
        return whole
    return signs.score(pred, label) | {name: whole[name] for name in _KEPT}


def score_intervals(
    kind: str, pred: Array, label: Array, songs: Sequence[str] | None = None, repeats: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """Return the interval of every metric of `score`, all over the same resampled songs."""
    whole = metrics.score_intervals(pred, label, songs, repeats, seed)
    if not has_signs(kind):
        return whole
    return signs.score_intervals(pred, label, songs, repeats, seed) | {name: whole[name] for name in _KEPT}
