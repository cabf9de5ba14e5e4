"""The report's drawings: matplotlib figures as SVG whose colours follow the page's light or dark theme.

Each colour of THEME stands for a CSS variable of `report.css` and is replaced by it in the finished SVG. Figures are
drawn 360 points wide, so that their letters stay readable on a phone.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
THEME = {
    name: f"#0{place:02d}fa{place % 10}"
    for place, name in enumerate(
        ("ink", "muted", "line", "grid", "card", "truth", "teacher", "student", "artefact", "floor", "ceiling")
    )
}
POINTS_PER_INCH = 72
LABEL_GAP = 0.075
"""Least distance between two labels beside a chart, as a share of its height."""


def colour_of(record: Record) -> str:
    """Pick a row's theme colour: our stages have their own, every artefact shares one."""
    known = {"perfect listener": "ceiling", "ridge floor": "floor", "teacher": "teacher", "student": "student"}
    return THEME[known.get(record.name, "artefact" if record.name.startswith("model.") else "truth")]


def plane(labels: Array, answers: Mapping[str, Array]) -> str:
    """Draw the valence-arousal plane: raters, teacher and student; a thin line joins each song's raters and student."""
    figure, (axes,) = _figure(360, 350)
    for spot, word, across, up in (
        ((0.98, 0.98), "happy-energetic", "right", "top"),
        ((0.02, 0.98), "angry-tense", "left", "top"),
        ((0.02, 0.02), "sad-calm", "left", "bottom"),
        ((0.98, 0.02), "content-relaxed", "right", "bottom"),
    ):
        axes.text(*spot, word, transform=axes.transAxes, ha=across, va=up, color=THEME["muted"], fontsize=10)
    axes.axhline(0, color=THEME["line"], linewidth=1)
    axes.axvline(0, color=THEME["line"], linewidth=1)
    if "student" in answers:
        for start, end in zip(labels, answers["student"], strict=True):
            axes.plot(*zip(start, end, strict=True), color=THEME["line"], linewidth=0.9, zorder=1)
    axes.scatter(labels[:, 0], labels[:, 1], s=15, color=THEME["truth"], label="raters", linewidths=0, zorder=2)
    for name in ("teacher", "student"):
        if name in answers:
            x, y = answers[name].T
            axes.scatter(x, y, s=15, color=THEME[name], alpha=0.8, label=name, linewidths=0, zorder=3)
    axes.set(xlim=(-1, 1), ylim=(-1, 1), xlabel="valence", ylabel="arousal", aspect="equal")
    ticks = (-1, -0.5, 0, 0.5, 1)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    _legend(axes, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=3)
    return svg(figure, "plane", "Valence-arousal plane with raters, teacher and student")


def scatter(labels: Array, answers: Mapping[str, Array], axis: int) -> str:
    """Draw answers against raters on one axis; perfect answers lie on the diagonal."""
    word = ("valence", "arousal")[axis]
    figure, (axes,) = _figure(360, 350)
    axes.plot([-1, 1], [-1, 1], color=THEME["line"], linewidth=1)
    for name in ("teacher", "student"):
        if name in answers:
            xy = labels[:, axis], answers[name][:, axis]
            axes.scatter(*xy, s=15, color=THEME[name], alpha=0.75, label=name, linewidths=0)
    drawn = [labels[:, axis], *(answers[name][:, axis] for name in ("teacher", "student") if name in answers)]
    reach = min(1.0, math.ceil(5 * max(float(np.abs(values).max()) for values in drawn)) / 5)
    axes.set(
        xlim=(-reach, reach), ylim=(-reach, reach), xlabel=f"{word}, raters", ylabel=f"{word}, model", aspect="equal"
    )
    ticks = [-reach, round(-reach / 2, 2), 0, round(reach / 2, 2), reach]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    _grid(axes)
    _legend(axes, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=2)
    return svg(figure, f"scatter-{word}", f"{word} of the models against that of the raters")


def intervals(records: Sequence[Record]) -> str:
    """Draw each scored row's mean CCC with its 95 % interval."""
    scored = [record for record in records if record.ccc_mean is not None]
    figure, (axes,) = _figure(360, 70 + 27 * len(scored))
    for place, record in enumerate(scored):
        colour = colour_of(record)
        low, middle, high = (value or 0.0 for value in (record.ccc_mean_low, record.ccc_mean, record.ccc_mean_high))
        axes.plot([low, high], [place, place], color=colour, linewidth=2.5)
        axes.plot(middle, place, "o", color=colour, markersize=6)
    axes.set_yticks(range(len(scored)), [record.name for record in scored])
    axes.set(ylim=(len(scored) - 0.4, -0.6), xlabel="mean CCC on test songs")
    _grid(axes, across=False)
    return svg(figure, "intervals", "Mean CCC of each row with its 95 % interval")


def speed_and_size(records: Sequence[Record]) -> str:
    """Draw latency against size; the lower left corner is where a phone wants to be. Names stand beside the chart."""
    shown = [record for record in records if record.latency_ms_median is not None and record.size_bytes is not None]
    figure, (axes,) = _figure(360, 320)
    x = [float(record.latency_ms_median or 0) for record in shown]
    y = [float(record.size_bytes or 0) / 1e6 for record in shown]
    _scale(axes.set_xscale, axes.set_xlim, axes.xaxis, x)
    _scale(axes.set_yscale, axes.set_ylim, axes.yaxis, y)
    axes.set(xlabel="ms per clip, median", ylabel="file, MB")
    axes.scatter(x, y, s=70, c=[colour_of(record) for record in shown], linewidths=0, zorder=3)
    _grid(axes)
    axes.set_position((0.13, 0.14, 0.46, 0.82))
    to_share = axes.transAxes.inverted()
    heights = [to_share.transform(axes.transData.transform(point))[1] for point in zip(x, y, strict=True)]
    for record, point, height in zip(shown, zip(x, y, strict=True), spread_out(heights), strict=True):
        colour = colour_of(record)
        axes.annotate(
            record.name,
            xy=point,
            xytext=(1.06, height),
            textcoords="axes fraction",
            va="center",
            fontsize=10,
            color=colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "alpha": 0.6, "shrinkB": 4},
        )
    return svg(figure, "speed", "Latency against file size", tight=False)


def curves(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> str | None:
    """Draw the validation CCC of teacher and student by epoch; None where no history holds one."""
    known = {}
    for name, rows in histories.items():
        points = [
            (row["epoch"], row["validation"]["ccc_mean"]) for row in rows if "ccc_mean" in row.get("validation", {})
        ]
        if points:
            known[name] = points
    if not known:
        return None
    figure, (axes,) = _figure(360, 300)
    for name, points in known.items():
        axes.plot(*zip(*points, strict=True), color=THEME.get(name, THEME["artefact"]), linewidth=1.8, label=name)
    axes.set(xlabel="epoch", ylabel="mean CCC, validation songs")
    _grid(axes)
    _legend(axes, loc="lower right")
    return svg(figure, "curves", "Validation CCC by epoch")


def spread_out(heights: Sequence[float], gap: float = LABEL_GAP) -> list[float]:
    """Move label heights (shares of a chart) apart to at least `gap`, keeping their order and staying inside [0, 1]."""
    order = sorted(range(len(heights)), key=lambda place: heights[place])
    placed = [0.0] * len(heights)
    floor = -math.inf
    for place in order:
        floor = placed[place] = max(heights[place], floor + gap)
    ceiling = 1.0
    for place in reversed(order):
        placed[place] = min(placed[place], ceiling)
        ceiling = placed[place] - gap
    return placed


def svg(figure: Figure, salt: str, words: str, tight: bool = True) -> str:
    """Turn a figure into inline SVG: theme colours as CSS variables, letters as text, unused ids removed."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        box = {"bbox_inches": "tight", "pad_inches": 0.06} if tight else {}
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None}, **box)
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>\s*", "", drawing, flags=re.DOTALL)
    for name, colour in THEME.items():
        drawing = drawing.replace(colour, f"var(--{name})")
    used = set(re.findall(r"#([\w-]+)", drawing))
    drawing = re.sub(r' id="([^"]+)"', lambda found: found.group(0) if found.group(1) in used else "", drawing)
    drawing = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", drawing)
    drawing = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", drawing)
    return drawing.replace("<svg", f'<svg role="img" aria-label="{words}"', 1)


def _figure(width: int, height: int) -> tuple[Figure, tuple[Axes]]:
    """Make a figure of so many points with one axes in the theme's colours; no window system, no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / POINTS_PER_INCH, height / POINTS_PER_INCH), layout=None)
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(THEME["line"])
    axes.tick_params(colors=THEME["muted"], labelcolor=THEME["ink"], labelsize=10, length=3)
    axes.xaxis.label.set(color=THEME["muted"], fontsize=10.5)
    axes.yaxis.label.set(color=THEME["muted"], fontsize=10.5)
    return figure, (axes,)


def _grid(axes: Axes, across: bool = True) -> None:
    axes.grid(True, axis="both" if across else "x", color=THEME["grid"], linewidth=0.8)
    axes.set_axisbelow(True)


def _legend(axes: Axes, **where: Any) -> None:
    axes.legend(frameon=False, fontsize=10, labelcolor=THEME["ink"], handletextpad=0.3, columnspacing=1.0, **where)


def _scale(set_scale: Any, set_limits: Any, axis: Any, values: Sequence[float]) -> None:
    """Start a scale at zero, unless values differ by more than ten times: then logarithmic, with plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if not values or min(values) <= 0 or max(values) <= 10 * min(values):
        set_limits(0, 1.12 * max(values, default=1.0))
        return
    set_scale("log")
    set_limits(min(values) / 1.5, max(values) * 1.5)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
