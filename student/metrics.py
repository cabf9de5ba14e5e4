"""Metrics of a trained student: its scores beside those of teacher and floor on the same songs, and its intervals.

Conventions: CCC and differences are means over valence and arousal; intervals are 95 % intervals over resampled songs.
`StudentMetrics.as_json` is what metrics.json holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pocketmood import signs
from pocketmood.calibration import LEVELS
from pocketmood.errors import DataError
from pocketmood.label_kind import RATINGS, TARGETS, ccc_name, has_signs, score
from pocketmood.metrics import AXES, NO_SHARE, Interval, Paired, bootstrap, paired_difference, share_kept
from pocketmood.predictions import Predictions

PARTS = ("validation", "test")
REFERENCES = ("teacher", "floor")
"""Whom a student is compared with: the model that it learns from, and the ridge regression that it must beat."""


@dataclass(frozen=True)
class Scores:
    """How well one model's predictions agree with people."""

    values: dict[str, float]
    """Every metric of `pocketmood.label_kind.score`, by name: ccc_valence, ccc_arousal, ccc_mean, ..."""
    low: float
    high: float
    """95 % interval of `ccc_mean` over songs."""
    of_signs: dict[str, Interval] = field(default_factory=dict)
    """The same of every metric of `pocketmood.signs`, by its name; empty where labels are ratings."""

    @classmethod
    def of(cls, predictions: Predictions, kind: str = RATINGS) -> Scores:
        """Score predictions against labels of this kind."""
        # By song id: clips of one song are resampled together.
        low, high = bootstrap(predictions.emotion, predictions.labels, predictions.ids)
        values = score(kind, predictions.emotion, predictions.labels)
        of_signs = (
            signs.score_intervals(predictions.emotion, predictions.labels, predictions.ids) if has_signs(kind) else {}
        )
        return cls(values, low, high, of_signs)

    def as_json(self) -> dict[str, float]:
        """Return the metrics by name, and intervals as ccc_mean_low, ccc_mean_high, auc_valence_low, ..."""
        ends = {f"{name}_{end}": getattr(pair, end) for name, pair in self.of_signs.items() for end in pair._fields}
        return {**self.values, **ends, "ccc_mean_low": self.low, "ccc_mean_high": self.high}


@dataclass(frozen=True)
class PartMetrics:
    """A student on one part of the split, beside its references."""

    songs: int
    """Songs that were scored."""
    student: Scores
    """The student's own scores."""
    references: dict[str, Scores]
    """Teacher and floor."""
    differences: dict[str, Paired]
    """The student's CCC less that of each reference."""
    ratio_to_teacher: dict[str, float] | None
    """Share of the teacher's CCC that the student keeps: ratio, low, high; None where no share can be told."""
    coverage: dict[str, Any] | None = None
    """Shares of songs and listeners inside the intervals, as `pocketmood.calibration.coverage` gives them."""

    def as_json(self) -> dict[str, Any]:
        """Return all of it by name, the student's own scores at the top."""
        values: dict[str, Any] = {"songs": self.songs, **self.student.as_json()}
        for name, scores in self.references.items():
            values[name] = scores.as_json()
            values[f"difference_to_{name}"] = self.differences[name]._asdict()
        values["ratio_to_teacher"] = self.ratio_to_teacher
        return values if self.coverage is None else {**values, "coverage": self.coverage}


@dataclass(frozen=True)
class StudentMetrics:
    """What is known of a trained student."""

    parts: dict[str, PartMetrics]
    """Validation and test."""
    interval_scale: dict[str, float]
    """Per axis: the factor that calibration put on the head's output."""
    parameters: int
    """Numbers in the network."""
    epochs: int
    """Epochs that were trained; fewer than asked for where patience ended them."""
    step_seconds: float
    """Seconds per step, median over epochs."""
    examples_per_second: float
    """Crops per second of training."""

    def as_json(self) -> dict[str, Any]:
        """Return all of it by name, the parts at the top."""
        # Written out rather than by `asdict`: the file keeps the flat names that stored runs have.
        return {
            **{part: metrics.as_json() for part, metrics in self.parts.items()},
            "interval_scale": self.interval_scale,
            "parameters": self.parameters,
            "epochs": self.epochs,
            "step_seconds": self.step_seconds,
            "examples_per_second": self.examples_per_second,
        }


def compare(student: Predictions, references: Mapping[str, Predictions], kind: str = RATINGS) -> dict[str, PartMetrics]:
    """Score a student on validation and test, beside references on the same songs, with intervals.

    kind: of the labels, of `pocketmood.label_kind`.
    """
    return {part: _part(student.only(part), part, references, kind) for part in PARTS}


def _part(student: Predictions, part: str, references: Mapping[str, Predictions], kind: str) -> PartMetrics:
    others = {name: _same_songs(student, predictions.only(part), name) for name, predictions in references.items()}
    return PartMetrics(
        songs=len(student.ids),
        student=Scores.of(student, kind),
        references={name: Scores.of(other, kind) for name, other in others.items()},
        differences={
            name: paired_difference(student.emotion, other.emotion, student.labels, student.ids)
            for name, other in others.items()
        },
        ratio_to_teacher=share_kept(student.emotion, others["teacher"].emotion, student.labels, student.ids),
    )


def _same_songs(student: Predictions, other: Predictions, name: str) -> Predictions:
    """Bring another model's predictions into the student's order; DataError if a song is missing."""
    # Floor and teacher predict for all rated songs, in an order of their own.
    row = {id_: index for index, id_ in enumerate(other.ids)}
    lacking = [id_ for id_ in student.ids if id_ not in row]
    if lacking:
        raise DataError(f"{name}: no prediction for {len(lacking)} songs, first {lacking[0]!r}; run the teacher again")
    # Paired resampling goes by row, so that one order must be everybody's.
    return replace(other.take([row[id_] for id_ in student.ids]), splits=student.splits, labels=student.labels)


def table(model: str, metrics: StudentMetrics, kind: str = RATINGS) -> str:
    """Format the metrics for people: CCC of floor, teacher and student, what is kept, and the intervals.

    Where labels are signs, AUC and accuracy of the quadrant stand first.
    """
    validation, test = (metrics.parts[part] for part in PARTS)
    name_of_ccc = ccc_name(kind)
    of_signs: list[str] = []
    rows = [
        f"{'' if kind == RATINGS else name_of_ccc:22}{'validation':>12}{'test':>8}   95 % interval   valence  arousal"
    ]
    models = {"floor (ridge)": "floor", "teacher": "teacher", f"student ({model})": None}
    for title, name in models.items():
        seen, unseen = ((part.references[name] if name else part.student) for part in (validation, test))
        if has_signs(kind):
            of_signs.append(_sign_line(title, unseen))
        rows.append(
            f"{title:22}{seen.values['ccc_mean']:12.3f}{unseen.values['ccc_mean']:8.3f}   "
            f"[{unseen.low:.3f}, {unseen.high:.3f}]  {unseen.values['ccc_valence']:8.3f} "
            f"{unseen.values['ccc_arousal']:8.3f}"
        )

    # None where a resampled teacher scores 0: a ratio to it would say nothing.
    kept, above = test.ratio_to_teacher, test.differences["floor"]
    share = f"{kept['ratio']:.1%} [{kept['low']:.1%}, {kept['high']:.1%}]" if kept else NO_SHARE
    rows.append(f"kept of the teacher: {share}")
    rows.append(f"above the floor: {above.difference:+.3f} [{above.low:+.3f}, {above.high:+.3f}]")
    rows += interval_lines(metrics, kind)
    if of_signs:
        heads = "".join(f"{signs.TITLES[name]:24}" for name in signs.NAMES)
        rows = [f"{f'{test.songs} test songs':24}{heads}".rstrip(), *of_signs, "", *rows]
    rows.append(f"mean {name_of_ccc} on {test.songs} test songs; {metrics.examples_per_second:.0f} crops per second")
    return "\n".join(rows)


def _sign_line(title: str, scores: Scores) -> str:
    """Lay out one model's metrics of signs, each with its interval."""
    cells = (
        f"{scores.values[name]:.3f} [{scores.of_signs[name].low:.3f}, {scores.of_signs[name].high:.3f}]"
        for name in signs.NAMES
    )
    return f"{title:24}{''.join(f'{cell:24}' for cell in cells)}".rstrip()


def interval_lines(metrics: StudentMetrics, kind: str = RATINGS) -> list[str]:
    """Say how often ratings of test songs lie inside the intervals, and what the calibration did."""
    covered = metrics.parts["test"].coverage
    if covered is None:
        return []
    factors = ", ".join(f"{axis} x{metrics.interval_scale[axis]:.2f}" for axis in AXES)
    lines = [f"interval68, scaled on validation ({factors}):"]
    for level in LEVELS:
        songs, single = covered["songs"][level], covered["listeners"][level]
        # A single listener's rating is not known: its share is reckoned from the raters' deviation.
        share = f"{single['mean']:.0%} of single ratings (expected)" if single else "(no deviations known)"
        lines.append(f"  inside the {level} % interval: the {TARGETS[kind]} of {songs['mean']:.0%} of songs, {share}")
    return lines
