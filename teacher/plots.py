"""Pictures of a fine-tuned teacher: how it learnt, and where its answers lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pocketmood.predictions import Predictions

AXES = ("valence", "arousal")
_TRUTH, _ANSWER, _GREY = "#1b6ca8", "#d1495b", "#9a9a9a"


def curves(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw loss terms of training and CCC on validation, by epoch."""
    figure = _figure(10, 4)
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    for name in history[0]["terms"]:
        left.plot(epochs, [row["terms"][name] for row in history], label=name, linewidth=2 if name == "loss" else 1)
    left.set(title="training", xlabel="epoch", ylabel="term (unweighted; loss is their weighted sum)")
    for name in ("ccc_valence", "ccc_arousal", "ccc_mean"):
        right.plot(epochs, [row["validation"][name] for row in history], label=name.removeprefix("ccc_"))
    best = max(history, key=lambda row: row["validation"]["ccc_mean"])
    right.axvline(best["epoch"], color=_GREY, linestyle=":", label=f"kept: epoch {best['epoch']}")
    right.set(title="validation", xlabel="epoch", ylabel="CCC")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
    _save(figure, path)


def scatter(answers: Predictions, title: str, path: Path) -> None:
    """Draw answer against rating for both axes, with the identity line."""
    from pocketmood.metrics import ccc

    figure = _figure(10, 5)
    for number, axes in enumerate(figure.subplots(1, 2)):
        label, answer = answers.labels[:, number], answers.emotion[:, number]
        axes.plot([-1, 1], [-1, 1], color=_GREY, linewidth=1)
        axes.scatter(label, answer, s=14, alpha=0.6, color=_ANSWER, edgecolors="none")
        axes.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xlabel=f"rated {AXES[number]}", ylabel="answered")
        axes.set_title(f"{AXES[number]}: CCC {ccc(answer, label):.2f} on {len(label)} songs")
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    _save(figure, path)


def plane(answers: Predictions, title: str, path: Path) -> None:
    """Draw ratings and answers on the valence-arousal plane, joined song by song."""
    figure = _figure(6, 6)
    axes: Axes = figure.subplots()
    for label, answer in zip(answers.labels, answers.emotion, strict=True):
        axes.plot([label[0], answer[0]], [label[1], answer[1]], color=_GREY, linewidth=0.4, alpha=0.5)
    axes.scatter(*answers.labels.T, s=14, color=_TRUTH, alpha=0.7, edgecolors="none", label="rated")
    axes.scatter(*answers.emotion.T, s=14, color=_ANSWER, alpha=0.7, edgecolors="none", label="answered")
    axes.axhline(0, color=_GREY, linewidth=0.8)
    axes.axvline(0, color=_GREY, linewidth=0.8)
    axes.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xlabel="valence", ylabel="arousal", title=title)
    axes.legend(frameon=False, loc="upper left")
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    """Make a figure without pyplot, which keeps global state and wants a display."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    """Write a PNG, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
