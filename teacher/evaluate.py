"""Evaluation of several models side by side: every metric with its interval, and paired differences.

Conventions: scored are the validation and the test songs, on which no model was fitted; intervals are 95 % percentile
intervals over resampled songs, and differences are taken on the same songs (`pocketmood.metrics`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pocketmood import signs
from pocketmood.errors import DataError
from pocketmood.label_kind import RATINGS, ccc_name, has_signs, score, score_intervals
from pocketmood.metrics import paired_difference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pocketmood.predictions import Predictions

METRICS_FILE = "metrics.json"
"""A `Comparison` as JSON, in the teacher's folder."""
PARTS = ("validation", "test")
MAIN, FLOOR = "teacher", "floor"


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    """The value over all songs."""
    low: float
    high: float
    """Ends of its 95 % interval."""


@dataclass(frozen=True)
class PartScores:
    """Scores of all models on one part of the split."""

    songs: int
    """How many songs the part has."""
    models: dict[str, dict[str, Estimate]]
    """By name of the model, then by name of the metric as in `pocketmood.label_kind.score`: `ccc_valence`, ..."""
    differences: dict[str, Estimate]
    """By name of each other model: mean CCC of the compared model less its own."""
    sign_differences: dict[str, dict[str, Estimate]]
    """The same of every metric of `pocketmood.signs`, by its name; empty where labels are ratings."""


@dataclass(frozen=True)
class Comparison:
    """One model beside others, on validation and on test songs."""

    main: str
    """Name of the model that the others are compared with."""
    validation: PartScores
    test: PartScores
    """Scores on each part of the split."""
    label_kind: str
    """Kind of the labels, of `pocketmood.label_kind`: it decides which metrics there are."""

    def part(self, name: str) -> PartScores:
        """Return the scores of "validation" or "test"."""
        return {"validation": self.validation, "test": self.test}[name]


def compare(models: Mapping[str, Predictions], main: str = MAIN, kind: str = RATINGS) -> Comparison:
    """Score models on validation and test songs; DataError where they predict for different songs.

    kind: of the labels, "ratings", "quadrants" or "mixed".
    """
    if main not in models:
        raise DataError(f"no predictions of {main!r} among {sorted(models)}; nothing to compare the others with")
    parts = [_part({name: model.only(part) for name, model in models.items()}, main, kind) for part in PARTS]
    return Comparison(main, parts[0], parts[1], kind)


def table(comparison: Comparison) -> str:
    """Format a comparison for people: CCC of valence, arousal and their mean with its interval, per model."""
    lines = []
    for part in PARTS:
        scores = comparison.part(part)
        if has_signs(comparison.label_kind):
            lines += [*_sign_lines(scores, part), ""]
        title = f"{ccc_name(comparison.label_kind)}, {scores.songs} {part} songs"
        lines.append(f"{title:<28}{'V':>7}{'A':>7}{'mean':>7}  {'95 % interval':<18}{comparison.main} - model")

        for name, values in scores.models.items():
            numbers = "".join(f"{values[f'ccc_{axis}'].value:>7.3f}" for axis in ("valence", "arousal", "mean"))
            interval = f"[{values['ccc_mean'].low:.3f}, {values['ccc_mean'].high:.3f}]"
            # Nothing for the compared model itself, and then no blanks at the line's end either.
            line = f"  {name:<26}{numbers}  {interval:<18}{difference_text(scores.differences.get(name))}"
            lines.append(line.rstrip())
    return "\n".join([*lines, sentence(comparison)])


def _sign_lines(scores: PartScores, part: str) -> list[str]:
    """Lay out the metrics of signs of one part, which stand before any CCC."""
    heads = "".join(f"{signs.TITLES[name]:<24}" for name in signs.NAMES)
    lines = [f"{f'signs, {scores.songs} {part} songs':<28}  {heads}".rstrip()]
    for name, values in scores.models.items():
        cells = "".join(f"{_with_interval(values[metric]):<24}" for metric in signs.NAMES)
        lines.append(f"  {name:<26}  {cells}".rstrip())
    return lines


def _with_interval(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def sentence(comparison: Comparison) -> str:
    """Say whether the teacher beats the floor on the test songs."""
    # By the interval, not by the value: with 270 test songs that of a CCC near .7 still is about +-.06.
    gain = comparison.test.differences[FLOOR]
    if gain.low > 0:
        return "The teacher beats the ridge floor on test songs; the interval of the difference lies above zero."
    if gain.high < 0:
        return "THE TEACHER STAYS BELOW THE RIDGE FLOOR on test songs: three numbers per band say more."
    return f"On {comparison.test.songs} test songs teacher and ridge floor cannot be told apart."


def difference_text(gain: Estimate | None) -> str:
    """Format a paired difference with its interval; nothing for the model that is compared with itself."""
    return "" if gain is None else f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"


def _part(models: Mapping[str, Predictions], main: str, kind: str) -> PartScores:
    """Score all models on one part of the split."""
    chief = models[main]
    # Paired differences resample rows: a model in another order would be compared song by song with the wrong song.
    for name, model in models.items():
        if model.ids != chief.ids:
            raise DataError(
                f"{name} predicts for {len(model.ids)} songs, {main} for {len(chief.ids)}, and they are not the same "
                "in the same order; make both again from one split"
            )

    differences = {
        name: Estimate(*paired_difference(chief.emotion, model.emotion, chief.labels, chief.ids))
        for name, model in models.items()
        if name != main
    }
    of_signs = {
        name: {
            metric: Estimate(*paired)
            for metric, paired in signs.paired_differences(
                chief.emotion, models[name].emotion, chief.labels, chief.ids
            ).items()
        }
        for name in (differences if has_signs(kind) else ())
    }
    scores = {name: _scored(model, kind) for name, model in models.items()}
    return PartScores(len(chief.ids), scores, differences, of_signs)


def _scored(model: Predictions, kind: str) -> dict[str, Estimate]:
    """Score one model's predictions, each metric with its interval."""
    # Resampled by song, one row each: the same draws as the paired differences, seed and order included.
    intervals = score_intervals(kind, model.emotion, model.labels, model.ids)
    return {name: Estimate(value, *intervals[name]) for name, value in score(kind, model.emotion, model.labels).items()}
