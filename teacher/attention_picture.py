"""Where a teacher looked, over the spectrograms of some songs: attention rollout as heat on grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketmood.emotion import Emotion, quadrant
from pocketmood.label_kind import LABELLED, RATINGS, has_signs
from pocketmood.mel import MelFrontEnd
from pocketmood.spec import MelSpec, hz_to_mel
from teacher.attention import attend

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.predictions import Predictions
    from teacher.record import SavedTeacher
    from teacher.vit import Teacher

_TICKS_HZ = (200, 500, 1000, 2000, 4000, 8000)
_COLUMNS = 2
_HEAT = "autumn"
"""From red to yellow: both stand out from grey, however faint."""
_OPAQUE = 0.85
"""Of the brightest heat: what lies below is still to be seen."""


@dataclass(frozen=True)
class Look:
    """One song as a teacher saw it."""

    title: str
    """Name of the song, and what the teacher predicts for it."""
    mel: NDArray[np.float32]
    """[M, T] spectrogram in [-1, 1]."""
    relevance: NDArray[np.float32]
    """[rows, columns] shares of patches; they sum to 1."""
    seconds: float
    """Length of the spectrogram."""

    @property
    def heat(self) -> NDArray[np.float32]:
        """Shares as multiples of an even one: 1 is what each patch has where the teacher looks everywhere alike."""
        return self.relevance * self.relevance.size


def look(teacher: Teacher, saved: SavedTeacher, wave: NDArray[np.float32], title: str) -> Look:
    """Show a teacher a waveform [S]; its prediction becomes the second line of the title."""
    import torch

    spec, place = saved.training.spec, next(teacher.parameters()).device
    front = MelFrontEnd(spec, saved.vit.stride, saved.vit.frames).to(place)
    with torch.no_grad():
        mel = front(torch.from_numpy(wave)[None].to(place))
    seen = attend(teacher, mel)

    valence, arousal = seen.output.emotion[0].tolist()
    seconds = mel.shape[3] * front.step_samples / spec.sample_rate
    words = f"{title}\npredicted {valence:+.2f}, {arousal:+.2f}"
    return Look(words, mel[0, 0].cpu().numpy(), seen.relevance()[0].float().cpu().numpy(), seconds)


def draw_quadrants(folder: Path, store: ClipStore, test: Predictions, path: Path, kind: str = RATINGS) -> None:
    """Draw what the teacher of a folder looked at in the most decidedly rated test song of each quadrant.

    kind: of the labels, of `pocketmood.label_kind`; songs of a tag are all alike, and the first of them is drawn.
    """
    from pocketmood.training.device import default_device
    from teacher.vit import load_teacher

    teacher, saved = load_teacher(folder)
    teacher.to(default_device())
    looks = []
    for row in examples(test.labels):
        song, (valence, arousal) = test.ids[row], map(float, test.labels[row])
        # The target of a tag is a number that nobody gave: the quadrant says all of it.
        numbers = "" if has_signs(kind) else f" {valence:+.2f}, {arousal:+.2f}"
        title = f"song {song}, {quadrant(Emotion(valence, arousal))}, {LABELLED[kind]}{numbers}"
        looks.append(look(teacher, saved, store.waveform(song), title))
    if looks:
        draw(looks, path)


def examples(labels: NDArray[np.floating[Any]]) -> list[int]:
    """Choose a row of ratings [N, 2] per quadrant: the furthest from both axes, counter-clockwise from the first."""
    chosen = []
    for corner in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
        # The nearer of the two axes counts: a song at (.9, .01) hardly belongs to any quadrant.
        depth = (labels * np.array(corner)).min(1)
        if len(depth) and depth.max() > 0:
            chosen.append(int(depth.argmax()))
    return chosen


def draw(looks: Sequence[Look], path: Path, spec: MelSpec | None = None) -> None:
    """Draw songs with one scale of heat; axes in seconds and Hz, beside them what rows and columns sum to."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    spec = spec or MelSpec()
    across = min(_COLUMNS, len(looks))
    down = -(-len(looks) // across)
    # Without pyplot, which keeps global state and wants a display.
    figure = Figure((7 * across + 0.8, 3.9 * down + 0.5), layout="constrained")
    # From an even share up: what was looked at less than evenly stays grey.
    scale = Normalize(1, max(1.5, max(float(song.heat.max()) for song in looks)))
    body, side = np.ravel(figure.subfigures(1, 2, squeeze=False, width_ratios=(7 * across, 0.9)))
    for panel, song in zip(np.ravel(body.subfigures(down, across, squeeze=False)), looks, strict=False):
        _panel(panel, song, scale, spec)

    bar = figure.colorbar(ScalarMappable(scale, _HEAT), cax=side.subplots(1, 2)[0])
    side.axes[1].set_axis_off()
    bar.set_label("share of the features, as multiples of an even one")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _panel(panel: SubFigure, song: Look, scale: Any, spec: MelSpec) -> None:
    """Draw one song: the spectrogram under the heat, below it time alone, at its right frequency alone."""
    import matplotlib

    grid = panel.subplots(2, 2, width_ratios=(8, 1), height_ratios=(5, 1), squeeze=False)
    low, high = hz_to_mel(spec.low_hz), hz_to_mel(spec.high_hz)
    extent = (0.0, song.seconds, low, high)
    main: Axes = grid[0][0]
    main.imshow(song.mel, cmap="gray", aspect="auto", origin="lower", extent=extent, vmin=-1, vmax=1)
    colours = matplotlib.colormaps[_HEAT](scale(song.heat))
    colours[..., 3] = np.clip(scale(song.heat), 0, 1) * _OPAQUE
    main.imshow(colours, aspect="auto", origin="lower", extent=extent, interpolation="bilinear")
    ticks = [hz for hz in _TICKS_HZ if spec.low_hz < hz < spec.high_hz]
    main.set_yticks([hz_to_mel(hz) for hz in ticks], [f"{hz:,d}".replace(",", " ") for hz in ticks])
    main.set(ylabel="Hz", xticklabels=[])
    main.set_title(song.title, fontsize="medium", parse_math=False)

    rows, columns = song.heat.mean(1), song.heat.mean(0)
    below, right = grid[1][0], grid[0][1]
    below.stairs(columns, np.linspace(0, song.seconds, len(columns) + 1), fill=True, color="#d1495b")
    below.set(xlim=(0, song.seconds), ylim=(0, None), xlabel="s", ylabel="by time")
    right.stairs(rows, np.linspace(low, high, len(rows) + 1), fill=True, orientation="horizontal", color="#d1495b")
    right.set(ylim=(low, high), xlim=(0, None), yticks=[], title="by band")
    right.title.set_fontsize("small")
    below.axhline(1, color="#9a9a9a", linewidth=0.8)
    right.axvline(1, color="#9a9a9a", linewidth=0.8)
    grid[1][1].set_axis_off()
