"""Learning curves as a picture: training loss beside validation loss, the loss's terms, CCC and MAE or r, by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketmood.label_kind import RATINGS, ccc_name, has_signs
from pocketmood.training.history import read_best, read_facts, read_history

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from pocketmood.training.history import BestRecord, EpochRecord, TrainingFacts

_HUES = {"valence": "#1b6ca8", "arousal": "#d1495b", "mean": "#30343b"}
_TRAINING, _VALIDATION, _GREY, _JOIN = "#66a182", "#6d3b9e", "#7a7a7a", "#c98a00"
_TERMS = ("#1b6ca8", "#d1495b", "#66a182", "#edae49", "#6d597a")
_WORDS = {"ccc_mean": "mean CCC", "mse_mean": "squared error", "loss": "loss"}
"""What an epoch is kept by, for people."""
_AXES = ("valence", "arousal", "mean")


def draw(training: Path, picture: Path, heard: str, compared: str = "loss", kind: str = RATINGS) -> None:
    """Draw the curves of a training's folder, from its metrics.jsonl, best.json and training.json.

    heard: what the training's batches hold, as "crops". compared: the term that training and validation have in
    common. kind: of the labels; tags have no unit that an error could be told in, so that a correlation stands in its
    place. What a training of an earlier version did not write is left out.
    """
    from matplotlib.figure import Figure

    history, best, facts = read_history(training), read_best(training), read_facts(training)
    figure = Figure((10, 7.2), layout="constrained")
    (loss, terms), (ccc, beside) = figure.subplots(2, 2)
    _compare(loss, history, heard, compared)
    _terms(terms, history)
    _scores(ccc, history, "ccc", f"{ccc_name(kind)}, validation songs")
    metric, title = ("pearson", "Pearson r") if has_signs(kind) else ("mae", "mean absolute error")
    _scores(beside, history, metric, f"{title}, validation songs")

    marks: list[tuple[str, Line2D]] = []
    for axes in (loss, terms, ccc, beside):
        marks = _mark(axes, history, best, facts)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize="small")
        else:
            axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color=_GREY)
    # Once for all four: the same lines stand in each of them.
    if marks:
        words, lines = zip(*marks, strict=True)
        figure.legend(lines, words, frameon=False, loc="outside lower center", ncols=2)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=150)


def _compare(axes: Axes, history: Sequence[EpochRecord], heard: str, compared: str) -> None:
    """Draw what training and validation have in common, from both."""
    epochs = [record.epoch for record in history]
    sides: Sequence[tuple[str, Sequence[Mapping[str, float]], str]] = (
        (f"training, {heard}", [record.terms for record in history], _TRAINING),
        ("validation, whole clips", [record.validation for record in history], _VALIDATION),
    )
    for name, rows, hue in sides:
        if all(compared in row for row in rows):
            axes.plot(epochs, [row[compared] for row in rows], marker=".", color=hue, label=name)
    axes.set_title("loss" if compared == "loss" else f"loss to the {compared}")


def _terms(axes: Axes, history: Sequence[EpochRecord]) -> None:
    """Draw the unweighted terms of the training loss; the sum and its shares would need axes of their own."""
    epochs = [record.epoch for record in history]
    names = [name for name in history[0].terms if name != "loss" and not name.endswith("_share")]
    for name, hue in zip(names, _TERMS, strict=False):
        label = "1 - CCC" if name == "ccc" else name.replace("_", " ")
        axes.plot(epochs, [record.terms[name] for record in history], marker=".", color=hue, label=label)
    axes.set_title("terms of the training loss, unweighted")


def _scores(axes: Axes, history: Sequence[EpochRecord], metric: str, title: str) -> None:
    """Draw one metric on validation songs, per axis and their mean."""
    epochs = [record.epoch for record in history]
    for axis in _AXES:
        if all(f"{metric}_{axis}" in record.validation for record in history):
            values = [record.validation[f"{metric}_{axis}"] for record in history]
            axes.plot(epochs, values, marker=".", color=_HUES[axis], label=axis, linewidth=2 if axis == "mean" else 1.2)
    axes.set_title(title)


def _mark(
    axes: Axes, history: Sequence[EpochRecord], best: BestRecord | None, facts: TrainingFacts | None
) -> list[tuple[str, Line2D]]:
    """Mark the kept epoch and those from which on more of the network learns; returns what a legend shows of them."""
    shown: list[tuple[str, Line2D]] = []
    if best is not None:
        by = _WORDS.get(best.metric, best.metric)
        label = f"kept: epoch {best.epoch} of {len(history)}, the best by validation {by}"
        shown.append((label, axes.axvline(best.epoch, color=_GREY, linestyle="--", linewidth=1.4)))
    for entry in facts.learning[1:] if facts else ():
        # Between two epochs: the layers join before the epoch's first step.
        line = axes.axvline(entry.epoch - 0.5, color=_JOIN, linestyle=":", linewidth=1.4)
        shown[1:] = [("further layers join", line)]
    return shown
