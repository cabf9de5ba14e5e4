"""Pictures of a fine-tuned teacher: predictions against labels, and their errors where labels are ratings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pocketmood.emotion import Emotion, quadrant
from pocketmood.label_kind import LABELLED, RATINGS, ccc_name, has_signs
from pocketmood.label_kind import QUADRANTS as TAGGED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from pocketmood.predictions import Predictions

AXES = ("valence", "arousal")
_CORNERS = ((1, 1), (-1, 1), (-1, -1), (1, -1))
QUADRANTS = tuple(quadrant(Emotion(*corner)) for corner in _CORNERS)
"""Names of the four quadrants, counter-clockwise from the pleasant and excited one."""
_RATED, _PREDICTED, _GREY = "#1b6ca8", "#d1495b", "#9a9a9a"
_SCATTER = 0.04
"""Standard deviation by which songs with the same target are drawn apart."""
_DPI = 150
"""At 110 a marker of six pixels has visible corners."""


def teacher_pictures(test: Predictions, folder: Path, kind: str = RATINGS) -> None:
    """Draw everything that the report shows of the teacher's predictions for the test songs.

    kind: of the labels, of `pocketmood.label_kind`. Of tags no error is drawn: their targets are no numbers that
    anybody gave.
    """
    title = "teacher on test songs"
    for draw in (scatter, plane, confusion):
        draw(test, title, folder / f"{draw.__name__}.png", kind)
    # A stage that was killed, or labels that were corrected, may have left one here.
    (folder / "errors.png").unlink(missing_ok=True)
    if not has_signs(kind):
        errors(test, title, folder / "errors.png")


def sizes(songs: Mapping[str, int], synthetic: Mapping[str, int], path: Path) -> None:
    """Draw how many songs each part of the split has, and how many synthetic clips were drawn and are trained on."""
    rows = [(f"songs, {name}", count, _RATED) for name, count in songs.items()]
    rows += [(f"synthetic clips, {name}", count, _PREDICTED) for name, count in synthetic.items()]
    figure = _figure(10, 0.7 + 0.45 * len(rows))
    axes: Axes = figure.subplots()
    bars = axes.barh([name for name, _, _ in rows], [n for _, n, _ in rows], color=[hue for _, _, hue in rows])
    # The number itself: beside thousands of synthetic clips the bar of some dozen songs is a line.
    axes.bar_label(bars, [f"{count:,d}" for _, count, _ in rows], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    _save(figure, path)


def scatter(predictions: Predictions, title: str, path: Path, kind: str = RATINGS) -> None:
    """Draw prediction against label for both axes, with the identity line; tags in two columns, points side by side."""
    from pocketmood.metrics import ccc

    figure = _figure(10, 5)
    for number, axes in enumerate(figure.subplots(1, 2)):
        label, predicted = predictions.labels[:, number], predictions.emotion[:, number]
        # The identity, not a fitted line: CCC falls with every departure from it, bias and collapsed range included.
        axes.plot([-1, 1], [-1, 1], color=_GREY, linewidth=1)
        # Songs of a tag share two targets: on two lines a hundred points would look like a dozen.
        shown = label + np.random.default_rng(number).normal(0, _SCATTER, len(label)) * (kind == TAGGED)
        axes.scatter(shown, predicted, s=14, alpha=0.6, color=_PREDICTED, edgecolors="none")
        axes.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", ylabel="predicted")
        axes.set_xlabel(f"{LABELLED[kind]} {AXES[number]}" + (", drawn near its target" if kind == TAGGED else ""))
        axes.set_title(f"{AXES[number]}: {ccc_name(kind)} {ccc(predicted, label):.2f} on {len(label)} songs")
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    _save(figure, path)


def plane(predictions: Predictions, title: str, path: Path, kind: str = RATINGS) -> None:
    """Draw labels and predictions on the valence-arousal plane, joined song by song."""
    figure = _figure(6, 6.3)
    axes: Axes = figure.subplots()
    _cross(axes)

    for label, predicted in zip(predictions.labels, predictions.emotion, strict=True):
        axes.plot([label[0], predicted[0]], [label[1], predicted[1]], color=_GREY, linewidth=0.6, alpha=0.4)
    ends = ((LABELLED[kind], predictions.labels, _RATED), ("predicted", predictions.emotion, _PREDICTED))
    for name, points, colour in ends:
        # Above the lines (zorder 2), or a hundred of them would veil the points they join.
        axes.scatter(points[:, 0], points[:, 1], s=16, color=colour, alpha=0.7, edgecolors="none", label=name, zorder=2)
    axes.set(title=title)

    # Below the plane: in each of its corners stands a quadrant's name, and may stand a song.
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    _save(figure, path)


def errors(predictions: Predictions, title: str, path: Path) -> None:
    """Draw a histogram of prediction less rating for both axes, with the mean error."""
    wrong = predictions.emotion - predictions.labels
    # The same bins on both axes, symmetric, so that a shift to one side is seen as one.
    reach = max(0.5, float(np.ceil(np.abs(wrong).max() * 10) / 10))
    bins = np.linspace(-reach, reach, 31)

    figure = _figure(10, 4)
    for number, axes in enumerate(figure.subplots(1, 2, sharey=True)):
        error = wrong[:, number]
        axes.hist(error, bins, color=_PREDICTED, alpha=0.75)
        axes.axvline(0, color=_GREY, linewidth=1)
        axes.axvline(error.mean(), color=_RATED, linestyle="--", label=f"mean {error.mean():+.2f}")
        axes.set(xlim=(-reach, reach), xlabel=f"predicted less rated {AXES[number]}")
        axes.set_title(f"{AXES[number]}: mean absolute error {np.abs(error).mean():.2f}, deviation {error.std():.2f}")
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
    figure.supylabel("songs", fontsize="medium")
    figure.suptitle(title)
    _save(figure, path)


def quadrant_counts(predictions: Predictions) -> NDArray[np.int64]:
    """Count songs by rated quadrant (rows) and predicted quadrant (columns), [4, 4] in the order of `QUADRANTS`."""
    counts = np.zeros((len(QUADRANTS), len(QUADRANTS)), np.int64)
    for points in zip(predictions.labels, predictions.emotion, strict=True):
        rated, predicted = (QUADRANTS.index(quadrant(Emotion(*map(float, point)))) for point in points)
        counts[rated, predicted] += 1
    return counts


def confusion(predictions: Predictions, title: str, path: Path, kind: str = RATINGS) -> None:
    """Draw the label's quadrant against the predicted one: songs, and their share of the label's quadrant."""
    counts, word = quadrant_counts(predictions), LABELLED[kind]
    rated = counts.sum(1, keepdims=True)
    # Shares of a row, not of all songs: a quadrant with many songs would outshine the others.
    shares = counts / np.maximum(rated, 1)

    figure = _figure(7, 5.6)
    axes: Axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for row, column in np.ndindex(counts.shape):
        # White on the dark half of the scale.
        colour = "white" if shares[row, column] > 0.55 else "#1d1f24"
        text = f"{counts[row, column]}\n{shares[row, column]:.0%}" if rated[row, 0] else "0"
        axes.text(column, row, text, ha="center", va="center", color=colour)

    names = [name.replace("-", "-\n") for name in QUADRANTS]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), [f"{name}\n({n})" for name, n in zip(names, rated[:, 0], strict=True)])
    axes.set(xlabel="predicted quadrant", ylabel=f"{word} quadrant (songs)")
    axes.set_title(f"{title}\n{int(np.trace(counts))} of {int(counts.sum())} in the {word} quadrant", fontsize="medium")
    figure.colorbar(image, ax=axes, shrink=0.8, label=f"share of the {word} quadrant's songs")
    _save(figure, path)


def predictions_on_plane(
    names: Sequence[str], emotion: NDArray[np.floating[Any]], rater_sd: NDArray[np.floating[Any]], path: Path
) -> None:
    """Draw named predictions [N, 2] on the plane, each in an ellipse of one standard deviation of a listener's rating.

    Names stand in a column beside the plane, so that they stay legible however close the songs lie.
    """
    from matplotlib.patches import Ellipse

    figure = _figure(8.5, 6)
    axes: Axes = figure.subplots()
    _cross(axes)
    step = min(0.09, 2 / len(names))
    height = 1.0

    # From the highest arousal down, so that each name needs to keep clear of the one above only.
    for above, row in enumerate(np.argsort(-emotion[:, 1], kind="stable")):
        (valence, arousal), (across, up) = emotion[row], rater_sd[row]
        colour = f"C{row % 10}"
        axes.add_patch(Ellipse((valence, arousal), 2 * across, 2 * up, color=colour, alpha=0.15, linewidth=0))
        axes.plot(valence, arousal, "o", color=colour, markersize=6, clip_on=False)

        # No higher than the song itself, no closer than a line to the name above, and never below the plane.
        height = max(min(float(arousal), height - step), -1 + step * (len(names) - 1 - above))
        axes.annotate(
            names[row],
            (valence, arousal),
            (1.08, height),
            color=colour,
            va="center",
            annotation_clip=False,
            parse_math=False,  # a file name may hold dollar signs
            fontsize="small" if len(names) > 20 else "medium",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "alpha": 0.6},
        )
    axes.set_title("predictions, with one standard deviation of a listener's rating", fontsize="medium")
    _save(figure, path)


def _cross(axes: Axes) -> None:
    """Lay out the plane: its range, its middle, its quadrants."""
    axes.axhline(0, color=_GREY, linewidth=0.8)
    axes.axvline(0, color=_GREY, linewidth=0.8)
    axes.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xlabel="valence", ylabel="arousal")
    for name, (valence, arousal) in zip(QUADRANTS, _CORNERS, strict=True):
        axes.text(0.97 * valence, 0.96 * arousal, name, color=_GREY, fontsize="small", va="center",
                  ha="right" if valence > 0 else "left")  # fmt: skip


def _figure(width: float, height: float) -> Figure:
    """Make a figure without pyplot, which keeps global state and wants a display."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    """Write a PNG, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI)
