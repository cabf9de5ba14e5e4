"""Pictures of the adversarial training and of the quality of its clips. Spectrograms [M, T] in [-1, 1] throughout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from teacher.gan.record import WEIGHTS
from teacher.gan.similarity import BINS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from teacher.gan.record import Verdict
    from teacher.gan.similarity import Description
    from teacher.gan.turns import TurnRecord

REAL, FAKE, MUTED = "#1f6f8b", "#d1495b", "#9aa5b1"
_DPI = 110
# One figure's worth of pixels; more columns than that would only be averaged away by the renderer.
_COLUMNS = 646


def sheet(mels: NDArray[np.float32], names: Sequence[str], title: str, path: Path) -> None:
    """Draw spectrograms [N, M, T] in rows of one per name."""
    rows = len(mels) // len(names)
    figure = Figure(figsize=(3 * len(names), 1.9 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, len(names), squeeze=False)
    for index, axis in enumerate(axes.flat):
        image = _spectrogram(axis, mels[index])
        if index < len(names):
            axis.set_title(names[index], fontsize=9)
    figure.colorbar(image, ax=list(axes.flat), shrink=0.7, label="front end's scale")
    _save(figure, title, path)


def training_curves(turns: Sequence[TurnRecord], steps: int, path: Path) -> None:
    """Draw losses, accuracies, loss ratio and steps of each turn against epochs."""
    epochs = np.array([turn.epoch + (turn.step + 1) / steps for turn in turns])
    figure = Figure(figsize=(10, 6), layout="constrained")
    (losses, accuracy), (ratio, taken) = figure.subplots(2, 2, sharex=True)

    losses.plot(epochs, [turn.discriminator_loss for turn in turns], color=REAL, label="discriminator")
    losses.plot(epochs, [turn.generator_loss for turn in turns], color=FAKE, label="generator")
    losses.set_ylabel("loss")

    accuracy.plot(epochs, [turn.accuracy_real for turn in turns], color=REAL, label="on real")
    accuracy.plot(epochs, [turn.accuracy_fake for turn in turns], color=FAKE, label="on generated")
    accuracy.set(ylabel="discriminator's accuracy", ylim=(-0.03, 1.03))

    ratio.plot(epochs, [turn.loss_ratio for turn in turns], color=MUTED)
    ratio.set(ylabel="generator's / discriminator's loss", xlabel="epoch")

    # Whole numbers of steps, so a staircase; one dashed, because both are often the same.
    taken.step(epochs, [turn.discriminator_steps for turn in turns], where="pre", color=REAL, label="discriminator")
    taken.step(epochs, [turn.generator_steps for turn in turns], where="pre", color=FAKE, label="generator", ls="--")
    taken.set(ylabel="steps per turn", xlabel="epoch", ylim=(0, None))

    for axis in (losses, accuracy, taken):
        axis.legend(fontsize=8)
    for axis in (losses, accuracy, ratio, taken):
        axis.grid(alpha=0.3)
    _save(figure, "adversarial training", path)


def side_by_side(
    real: Sequence[NDArray[np.float32]],
    fake: Sequence[NDArray[np.float32]],
    captions: Sequence[Sequence[str]],
    path: Path,
) -> None:
    """Draw real spectrograms above synthetic ones, each with its emotion."""
    figure = Figure(figsize=(3.4 * len(real), 4.6), layout="constrained")
    axes = figure.subplots(2, len(real), squeeze=False)
    for row, (mels, texts, name) in enumerate(zip((real, fake), captions, ("real", "synthetic"), strict=True)):
        for axis, mel, text in zip(axes[row], mels, texts, strict=True):
            image = _spectrogram(axis, mel)
            axis.set_title(f"{name}  {text}", fontsize=9)
    figure.colorbar(image, ax=list(axes.flat), shrink=0.7, label="front end's scale")
    _save(figure, "real and synthetic clips (synthetic: emotion asked for)", path)


def distributions(real: Description, fake: Description, path: Path) -> None:
    """Draw frequency profiles, histograms of values, change between frames, and level over time."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    (profile, values), (change, time) = figure.subplots(2, 2)
    middles = (BINS[1:] + BINS[:-1]) / 2

    for clips, colour, name in ((real, REAL, "real"), (fake, FAKE, "synthetic")):
        _band(profile, np.arange(clips.band_mean.shape[1]), clips.band_mean, colour, name)
        _band(change, np.arange(clips.band_change.shape[1]), clips.band_change, colour, name)
        _band(time, np.arange(clips.frame_mean.shape[1]), clips.frame_mean, colour, name)
        values.step(middles, clips.histogram.mean(0), where="mid", color=colour, label=name)

    # Mean over clips, and its deviation as an area: a collapsed generator has the right line and no area.
    profile.set(
        xlabel="mel band", ylabel="mean level", title="frequency profile (line: mean, area: deviation over clips)"
    )
    values.set(xlabel="value", ylabel="share", title="histogram of values")
    change.set(xlabel="mel band", ylabel="mean |frame difference|", title="temporal smoothness")
    time.set(xlabel="frame", ylabel="mean level", title="temporal evolution")
    for axis in (profile, values, change, time):
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    _save(figure, "statistics of real and synthetic clips", path)


def score_bars(verdict: Verdict, least: float, path: Path) -> None:
    """Draw the score of each candidate with the gate's limit, and the similarities that it is made of."""
    table = verdict.table
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    scores, parts = figure.subplots(1, 2, width_ratios=(1, 1.6))
    names = [row.candidate for row in table]

    colours = [REAL, FAKE, *[MUTED] * (len(table) - 2)]
    bars = scores.barh(names, [row.measures.score for row in table], color=colours)
    scores.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
    scores.axvline(least, color="black", ls=":", label=f"gate at {least:.0f}")
    # What so many songs can reach at all: a score is read against this line, not against 100.
    scores.axvline(verdict.reference, color=REAL, ls="--", label=f"real halves, mean: {verdict.reference:.0f}")
    scores.set(xlim=(0, 112), xlabel="quality score")
    scores.invert_yaxis()
    scores.legend(fontsize=8, loc="lower right")

    width = 0.8 / len(table)
    shades = [REAL, FAKE, "#5c6773", MUTED, "#d5dae0"]
    for index, (row, colour) in enumerate(zip(table, shades, strict=True)):
        heights = [getattr(row.measures.similarity, name) for name in WEIGHTS]
        parts.bar(np.arange(len(WEIGHTS)) + index * width, heights, width, color=colour, label=row.candidate)
    parts.set_xticks(np.arange(len(WEIGHTS)) + 0.4 - width / 2, list(WEIGHTS))
    parts.set(ylabel="similarity", ylim=(0, 1.35))  # up to 1; the legend stands above
    parts.legend(fontsize=8, ncols=3, loc="upper center")
    _save(figure, f"quality of synthetic clips: {verdict.grade}", path)


def conditioning(asked: NDArray[np.float32], read: NDArray[np.float64], ccc: float, path: Path) -> None:
    """Draw emotions asked for against emotions read back."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    for index, (axis, name) in enumerate(zip(figure.subplots(1, 2), ("valence", "arousal"), strict=True)):
        axis.plot([-1, 1], [-1, 1], color=MUTED, lw=1)
        axis.scatter(asked[:, index], read[:, index], s=10, color=FAKE, alpha=0.7)
        axis.set(xlim=(-1, 1), ylim=(-1, 1), xlabel=f"{name} asked for", ylabel=f"{name} read back", aspect="equal")
        axis.grid(alpha=0.3)
    _save(figure, f"conditioning of synthetic clips, mean CCC {ccc:.2f}", path)


def _spectrogram(axis: Axes, mel: NDArray[np.float32]) -> Any:
    """Draw one spectrogram, low bands at the bottom, on the fixed scale: a quiet clip looks quiet beside a loud one."""
    columns = np.linspace(0, mel.shape[1] - 1, min(_COLUMNS, mel.shape[1])).astype(int)
    axis.set_xticks([])
    axis.set_yticks([])
    return axis.imshow(mel[:, columns], origin="lower", aspect="auto", vmin=-1, vmax=1, cmap="magma")


def _band(axis: Axes, x: NDArray[Any], clips: NDArray[np.float64], colour: str, name: str) -> None:
    """Draw the mean over clips as a line and one deviation as an area."""
    mean, deviation = clips.mean(0), clips.std(0)
    axis.plot(x, mean, color=colour, label=name, lw=1.2)
    axis.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.18, lw=0)


def _save(figure: Figure, title: str, path: Path) -> None:
    """Write a PNG under a title."""
    figure.suptitle(title, fontsize=11)
    # Without matplotlib's version in it, so that the same figures give the same file.
    figure.savefig(path, dpi=_DPI, metadata={"Software": ""})
