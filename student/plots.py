"""Plots of the student stage: learning curves, agreement with the teacher, songs on the valence-arousal plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pocketmood.label_kind import RATINGS, WHO
from pocketmood.metrics import AXES, Array, ccc
from pocketmood.predictions import Predictions
from pocketmood.training import curves

_COLOURS = ("#1b6ca8", "#d1495b", "#66a182", "#edae49", "#6d597a")


def plot_all(
    folder: Path, training: Path, heard: str, student: Predictions, teacher: Predictions, kind: str = RATINGS
) -> None:
    """Write curves.png, agreement.png and plane.png; predictions are of the test part.

    training: the folder of the student's training; heard: what its batches held; kind: of the labels, of
    `pocketmood.label_kind`.
    """
    import matplotlib

    # No window: a training runs where there is no screen.
    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    # The ratings' term alone is known of validation songs: they have no soft targets.
    curves.draw(training, folder / "curves.png", heard, "labels", kind)
    _agreement(folder / "agreement.png", student, teacher)
    _plane(folder / "plane.png", student, WHO[kind])


def _agreement(path: Path, student: Predictions, teacher: Predictions) -> None:
    """Draw the student's prediction against the teacher's for every test song."""
    from matplotlib.figure import Figure

    # Rows are matched by id: each file has an order of its own.
    row = {id_: index for index, id_ in enumerate(teacher.ids)}
    of_teacher = teacher.emotion[[row[id_] for id_ in student.ids]]
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    for axis, (name, place) in enumerate(zip(AXES, figure.subplots(1, 2), strict=True)):
        of_student = student.emotion[:, axis]
        limit = _limit(of_student, of_teacher[:, axis])
        place.plot([-limit, limit], [-limit, limit], color="0.8", lw=1, zorder=0)
        place.scatter(of_teacher[:, axis], of_student, s=14, alpha=0.7, color=_COLOURS[axis], linewidths=0)
        place.set(title=f"{name}: CCC with the teacher {ccc(of_student, of_teacher[:, axis]):.2f}", xlabel="teacher",
                  ylabel="student", xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")  # fmt: skip
    _save(figure, path)


def _plane(path: Path, student: Predictions, who: str) -> None:
    """Draw labels, named after `who` gave them, and predictions on the plane, joined by a line per test song."""
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    limit = _limit(student.emotion, student.labels)
    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    place = figure.subplots()
    place.axhline(0, color="0.8", lw=1, zorder=0)
    place.axvline(0, color="0.8", lw=1, zorder=0)
    lines = np.stack([student.labels, student.emotion], 1)  # [N, 2 ends, 2 axes]
    place.add_collection(LineCollection(list(lines), colors="0.8", linewidths=0.6, zorder=1))
    place.scatter(
        student.labels[:, 0], student.labels[:, 1], s=14, color=_COLOURS[0], label=who, linewidths=0, zorder=2
    )
    place.scatter(
        student.emotion[:, 0], student.emotion[:, 1], s=14, color=_COLOURS[1], label="student", linewidths=0, zorder=3
    )
    # Equal axes: a miss of one size is as long in every direction.
    place.set(title="test songs", xlabel="valence", ylabel="arousal", xlim=(-limit, limit), ylim=(-limit, limit),
              aspect="equal")  # fmt: skip
    place.legend(frameon=False, loc="upper left")
    _save(figure, path)


def _limit(*values: Array) -> float:
    """Find a symmetric limit that holds all values, at most 1."""
    return float(min(1.0, 1.08 * max(np.abs(value).max() for value in values) + 0.02))


def _save(figure: Any, path: Path) -> None:
    """Drop the frame's upper and right side and write the picture."""
    for place in figure.axes:
        place.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
