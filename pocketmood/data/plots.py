"""Pictures of a data set: where its songs lie on the plane, how raters used the scale, how it sounds and looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketmood import label_kind
from pocketmood.data.clips import ClipStore
from pocketmood.data.record import DataRecord
from pocketmood.data.split import PARTS, Split
from pocketmood.emotion import Emotion, quadrant
from pocketmood.sound_file import opened
from pocketmood.spec import MelSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by every kind of colour vision.
COLOURS = {"train": "#0072B2", "validation": "#E69F00", "test": "#D55E00"}
INK, FAINT = "#222222", "#B8B8B8"
QUADRANTS = {
    "angry-tense": (-1, 1),
    "happy-energetic": (1, 1),
    "sad-calm": (-1, -1),
    "content-relaxed": (1, -1),
}
_STYLE = {
    "figure.dpi": 130,
    "savefig.dpi": 130,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "normal",
    "axes.titlecolor": "#444444",
    "figure.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
}
# Standard deviation by which songs with the same target are drawn apart.
_SCATTER = 0.08
_TICKS = [-1, -0.5, 0, 0.5, 1]
# A full-scale sine is -3 dB; digital silence has no level, and is drawn at the left edge.
_SILENCE_DB = -96.0


def draw(store: ClipStore, split: Split, folder: Path, spec: MelSpec, record: DataRecord) -> list[str]:
    """Write all pictures as PNG files; return their names, or none (with a word about it) without matplotlib.

    record: names the corpus and what its labels are worth, for titles.
    """
    try:
        import matplotlib
    except ImportError:
        print("data: no plots, because matplotlib is not installed (pip install matplotlib)", flush=True)
        return []
    matplotlib.use("Agg")
    from matplotlib import pyplot, style

    folder.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, Callable[[], Figure]] = {
        "plane.png": lambda: plane(store, split, record),
        "ratings.png": lambda: ratings(store, split, record),
        "spectrograms.png": lambda: spectrograms(store, split, spec, record),
        "sound.png": lambda: sound(store, record),
    }
    with style.context(["default", _STYLE]):
        for name, picture in pictures.items():
            figure = picture()
            figure.savefig(folder / name)
            pyplot.close(figure)
    return list(pictures)


def plane(store: ClipStore, split: Split, record: DataRecord) -> Figure:
    """Draw the songs on the valence-arousal plane, over their density, with a histogram along each axis."""
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(7.2, 7.4))
    grid = figure.add_gridspec(2, 2, width_ratios=(5, 1), height_ratios=(1, 5), wspace=0.03, hspace=0.03)
    axes = figure.add_subplot(grid[1, 0])
    top, side = figure.add_subplot(grid[0, 0], sharex=axes), figure.add_subplot(grid[1, 1], sharey=axes)
    everyone = store.labels(_ids(split))
    edge = np.linspace(-1, 1, 121)
    axes.contourf(edge, edge, density(everyone, edge), levels=12, cmap=_paper(), antialiased=True, zorder=0)
    # Points shrink with their number, so that a thousand songs do not become one blot.
    size = float(np.clip(4000 / len(everyone), 5, 30))
    tags, rng = record.label_kind == label_kind.QUADRANTS, np.random.default_rng(0)
    for part in PARTS:
        labels = store.labels(getattr(split, part))
        if tags:
            # Songs of a quadrant share one target: drawn where they are, five hundred would look like four.
            labels = labels + rng.normal(0, _SCATTER, labels.shape).astype(np.float32)
        axes.scatter(
            labels[:, 0], labels[:, 1], s=size, color=COLOURS[part], edgecolor="white", linewidth=0.3, zorder=2
        )
        axes.scatter([], [], s=30, color=COLOURS[part], label=f"{part} ({len(labels)})")
    _cross(axes)
    for word, (x, y) in QUADRANTS.items():
        axes.text(
            0.96 * x, 0.93 * y, word, ha="right" if x > 0 else "left", va="center", color="#666666", style="italic"
        )
    axes.set(xlim=(-1, 1), ylim=(-1, 1), xlabel="valence", ylabel="arousal", xticks=_TICKS, yticks=_TICKS)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, handletextpad=0.2)
    bins = list(np.linspace(-1, 1, 41))
    top.hist(everyone[:, 0], bins, color=FAINT)
    side.hist(everyone[:, 1], bins, color=FAINT, orientation="horizontal")
    for margin in (top, side):
        margin.axis("off")
    r = _correlation(everyone[:, 0], everyone[:, 1])
    caption = (
        f"{label_kind.TAGS}, each drawn near its quadrant's target" if tags else f"valence with arousal: r = {r:.2f}"
    )
    _headline(figure, f"{_name(record)}: {len(everyone)} songs\n{caption}")
    return figure


def ratings(store: ClipStore, split: Split, record: DataRecord) -> Figure:
    """Draw how both scales were used, part by part, and how far raters of one song were apart."""
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(2, 2, figsize=(9.6, 6.4), sharex="row", sharey="row")
    bins, tags = list(np.linspace(-1, 1, 33)), record.label_kind == label_kind.QUADRANTS
    whose = "target of its quadrant" if tags else "mean of its raters"
    for column, axis in enumerate(("valence", "arousal")):
        axes = rows[0, column]
        values = [store.labels(getattr(split, part))[:, column] for part in PARTS]
        axes.hist(values, bins, stacked=True, color=[COLOURS[part] for part in PARTS], label=PARTS)
        both = np.concatenate(values)
        axes.axvline(both.mean(), color=INK, linewidth=1, linestyle="--")
        axes.set_title(f"{axis}: mean {both.mean():+.2f}, sd {both.std():.2f}")
        axes.set(xlim=(-1, 1), xticks=_TICKS, xlabel=f"{axis} of a song ({whose})")

        deviation = store.deviations(_ids(split))[:, column]
        deviation = deviation[np.isfinite(deviation)]
        axes = rows[1, column]
        axes.hist(deviation, list(np.linspace(0, 1, 41)), color=FAINT)
        if len(deviation):
            axes.axvline(np.median(deviation), color=INK, linewidth=1, linestyle="--")
            axes.set_title(f"raters' deviation of {axis}: median {np.median(deviation):.2f}")
        else:
            axes.text(0.5, 0.5, "no deviations known", transform=axes.transAxes, ha="center", color="#666666")
        axes.set(xlim=(0, 1), xlabel="standard deviation among the raters of a song")
    for row in rows:
        row[0].set_ylabel("songs")
        row[0].locator_params(axis="y", integer=True)
    rows[0, 0].legend()
    caption = label_kind.TAGS if tags else "ratings, in units of [-1, 1] (one point of 1-9 is 0.25)"
    _headline(figure, f"{_name(record)}: {caption}")
    return figure


def spectrograms(store: ClipStore, split: Split, spec: MelSpec, record: DataRecord) -> Figure:
    """Draw what the models see of one training song per quadrant: the one that lies furthest out in it."""
    import torch
    from matplotlib import pyplot

    from pocketmood.mel import MelFrontEnd

    front = MelFrontEnd(spec).eval()
    figure, cells = pyplot.subplots(2, 2, figsize=(11, 6.6), sharex=True, sharey=True)
    labels = store.labels(split.train)
    image = None
    for axes, (word, direction) in zip(cells.flat, QUADRANTS.items(), strict=True):
        inside = [row for row, label in enumerate(labels) if quadrant(Emotion(*map(float, label))) == word]
        axes.set_title(word)
        if not inside:
            axes.text(0.5, 0.5, "no training song here", ha="center", transform=axes.transAxes, color="#666666")
            continue
        # The song whose nearer axis lies furthest out: clear on both, not extreme on one.
        row = max(inside, key=lambda row: float((labels[row] * direction).min()))
        with torch.inference_mode():
            wave = torch.from_numpy(store.waveform(split.train[row]))[None]
            mel = front(wave)[0, 0].numpy()  # [M, T]
        level = spec.low_db + (mel + 1) / 2 * (spec.high_db - spec.low_db)
        extent = (0.0, spec.seconds, 0.0, float(spec.bands))
        image = axes.imshow(
            level, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=spec.low_db, vmax=spec.high_db
        )
        valence, arousal = labels[row]
        axes.set_title(f"{word}: song {split.train[row]} (V {valence:+.2f}, A {arousal:+.2f})")
    _mel_ticks(cells, spec)
    if image is not None:
        figure.colorbar(image, ax=cells, label="dB re a power of 1", pad=0.01, aspect=40)
    _headline(figure, f"{_name(record)}: what the models see")
    return figure


def sound(store: ClipStore, record: DataRecord) -> Figure:
    """Draw lengths and sizes of the files, the levels of the clips, and how arousal goes with level."""
    from matplotlib import pyplot

    figure, cells = pyplot.subplots(2, 2, figsize=(9.6, 6.4))
    seconds, megabytes = file_facts(store)
    level = levels(store)
    labels = store.labels(store.ids)
    rated = np.isfinite(labels[:, 1])
    _histogram(cells[0, 0], seconds, f"{len(store)} files: length", "seconds, by the files' headers")
    _histogram(cells[0, 1], megabytes, f"files: {megabytes.sum():,.0f} MB in all", "size in MB")
    _histogram(cells[1, 0], level, f"loudness of clips: median {np.median(level):.0f} dB", "RMS in dB re full scale")
    axes = cells[1, 1]
    size = float(np.clip(4000 / max(rated.sum(), 1), 5, 30))
    axes.scatter(level[rated], labels[rated, 1], s=size, color=COLOURS["train"], edgecolor="white", linewidth=0.3)
    varied = rated.sum() > 2 and level[rated].std() > 0 and labels[rated, 1].std() > 0
    r = f": r = {_correlation(level[rated], labels[rated, 1]):.2f}" if varied else ""
    axes.set_title(f"arousal against loudness{r}")
    axes.set(xlabel="RMS in dB re full scale", ylabel="arousal", ylim=(-1, 1), yticks=_TICKS)
    axes.locator_params(axis="x", nbins=6)
    raw = f"{len(store)} clips of {store.samples / store.sample_rate:.0f} s, {store.raw.nbytes / 1e6:,.0f} MB decoded"
    _headline(figure, f"{_name(record)}: {raw}")
    return figure


def density(points: NDArray[Any], edge: NDArray[np.float64], width: float = 0.12) -> NDArray[np.float64]:
    """Return the density of points [N, 2] on the grid edge x edge (rows: second axis), by Gaussian kernels."""
    kernels = [np.exp(-0.5 * ((edge[:, None] - points[None, :, axis]) / width) ** 2) for axis in (0, 1)]
    grid: NDArray[np.float64] = kernels[1] @ kernels[0].T / (2 * np.pi * width**2 * len(points))
    return grid


def levels(store: ClipStore) -> NDArray[np.float64]:
    """Return the RMS level of every clip in dB re full scale, read row by row from the map."""
    # Row by row: the whole map in float32 may be larger than the memory.
    power = [float(np.mean((row.astype(np.float32) / 32768) ** 2)) for row in store.raw]
    return 10 * np.log10(np.maximum(power, 10 ** (_SILENCE_DB / 10)))


def file_facts(store: ClipStore) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return length in seconds and size in MB of every clip's file that is still there."""
    seconds, megabytes = [], []
    for clip in store.clips:
        if clip.path is not None and clip.path.is_file():
            with opened(clip.path) as file:
                seconds.append(file.frames / file.samplerate)
            megabytes.append(clip.path.stat().st_size / 1e6)
    return np.array(seconds), np.array(megabytes)


def _correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    matrix: NDArray[np.float64] = np.corrcoef(a, b)
    return float(matrix[0, 1])


def _ids(split: Split) -> list[str]:
    return [id_ for part in PARTS for id_ in getattr(split, part)]


def _headline(figure: Figure, text: str) -> None:
    figure.suptitle(text[0].upper() + text[1:], x=0.01, ha="left", fontsize=12)


def _name(record: DataRecord) -> str:
    """Name the data set, and say what its labels are worth."""
    name = record.corpus + (" (synthetic labels)" if record.synthetic_labels else "")
    return name if record.label_fix == "none" else f"{name}, label fix {record.label_fix}"


def _paper() -> Colormap:
    """Make a colour map from white to a soft blue grey, for what lies under points."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("paper", ["white", "#AEBCCB"])


def _cross(axes: Axes) -> None:
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=1)
    axes.axvline(0, color=FAINT, linewidth=0.8, zorder=1)


def _histogram(axes: Axes, values: NDArray[np.float64], title: str, label: str) -> None:
    axes.hist(values, bins=40, color=FAINT)
    axes.locator_params(axis="x", nbins=6)
    axes.locator_params(axis="y", integer=True)
    axes.set_title(title)
    axes.set(xlabel=label, ylabel="clips")


def _mel_ticks(cells: NDArray[Any], spec: MelSpec) -> None:
    """Label bands by the frequency of their centres."""
    from pocketmood.spec import hz_to_mel

    low, high = hz_to_mel(spec.low_hz), hz_to_mel(spec.high_hz)
    hertz = [hz for hz in (250, 500, 1000, 2000, 4000, 8000) if spec.low_hz < hz < spec.high_hz]
    places = [(hz_to_mel(hz) - low) / (high - low) * (spec.bands + 1) - 0.5 for hz in hertz]
    for axes in cells[:, 0]:
        axes.set_yticks(places, [f"{hz / 1000:g} kHz" for hz in hertz])
    for axes in cells[-1]:
        axes.set_xlabel("seconds")
