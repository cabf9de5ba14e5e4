"""The report's part on accuracy: quadrants, blocks, ceiling, spread, and the songs that went wrong, to see and hear.

All text is escaped; sounds and pictures travel inside the page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.config import BenchmarksConfig
from benchmarks.measure import Measured
from benchmarks.report import breakdown
from benchmarks.report.sections import table
from benchmarks.rows import CEILING, STUDENT
from benchmarks.table import number
from benchmarks.torch_rows import store_of
from pocketmood.emotion import Emotion, mood_word
from pocketmood.predictions import read_predictions

if TYPE_CHECKING:
    from pocketmood.spec import MelSpec

WORST = 4
PLAYED_S = 10.0
"""Seconds that a reader hears of a song: some 50 kB as Ogg Vorbis."""
COLUMNS_SHOWN = 320
"""Width of a spectrogram's picture in pixels, one per frame or so."""


def section(config: BenchmarksConfig, measured: Measured, rows: Sequence[str]) -> str:
    """Lay out all tables, for the rows that matter: those of `rows` that were scored."""
    answers = {name: measured.answers[name] for name in rows if name in measured.answers}
    if not answers:
        return '<p class="say">No row was scored.</p>'
    left = [
        _card("By quadrant of the plane", _quadrants(measured, answers),
              "Error: root mean square over both axes. Lean: the mean of answer less rating; a model that shrinks the "
              "range leans towards the middle. Put there: share whose answer lies in the same quadrant."),
        _card("Do the spreads hold?", _coverage(config, measured),
              "How many songs have their mean rating inside the student's 68 % and 95 % intervals, and how many single "
              "ratings lie there: listeners scatter about their mean."),
    ]  # fmt: skip
    right = [
        _card("By block of song ids", _blocks(config, measured, answers),
              "DEAM was collected in three years; a model may have learnt one of them better."),
        _card("Against the ceiling", _ceiling(measured),
              "A perfect listener knows every song's true score, and still disagrees with the noise of a few raters."),
    ]  # fmt: skip
    return f'<div class="two uneven"><div>{"".join(left)}</div><div>{"".join(right)}</div></div>'


def worst(config: BenchmarksConfig, measured: Measured, spec: MelSpec) -> str:
    """Show the songs that the student answered worst, with their spectrograms, and play them."""
    if STUDENT not in measured.answers:
        return ""
    store = store_of(config.run)
    said = measured.answers[STUDENT]
    cards = []
    for row in breakdown.worst_songs(measured.ids, measured.labels, said, WORST):
        wave = store.waveform(measured.ids[row])
        cards.append(
            f'<figure class="card song"><h3>Song {escape(measured.ids[row])}</h3>{_picture(wave, spec)}'
            f"{_player(wave, spec.sample_rate)}<dl>{_told('raters', measured.labels[row])}"
            f"{''.join(_told(name, measured.answers[name][row]) for name in _asked(measured))}</dl></figure>"
        )
    return f'<div class="songs">{"".join(cards)}</div>'


def ogg(wave: NDArray[np.float32], rate: int) -> bytes:
    """Return a waveform [S] as Ogg Vorbis of low quality."""
    import soundfile

    sound = io.BytesIO()
    with soundfile.SoundFile(sound, "w", rate, 1, format="OGG", subtype="VORBIS", compression_level=0.9) as file:
        for start in range(0, len(wave), rate):  # libsndfile's encoder overflows its stack on long blocks
            file.write(wave[start : start + rate])
    return sound.getvalue()


def _asked(measured: Measured) -> list[str]:
    return [name for name in ("teacher", STUDENT, "model.int8.pte") if name in measured.answers]


def _told(name: str, emotion: NDArray[np.float64]) -> str:
    valence, arousal = map(float, emotion)
    words = f"{valence:+.2f}, {arousal:+.2f} ({mood_word(Emotion(valence, arousal))})"
    return f"<dt>{escape(name)}</dt><dd>{words}</dd>"


def _player(wave: NDArray[np.float32], rate: int) -> str:
    middle = max((len(wave) - int(PLAYED_S * rate)) // 2, 0)
    data = base64.b64encode(ogg(wave[middle : middle + int(PLAYED_S * rate)], rate)).decode()
    return f'<audio controls preload="none" src="data:audio/ogg;base64,{data}"></audio>'


def _picture(wave: NDArray[np.float32], spec: MelSpec) -> str:
    """Draw the spectrogram that the models see, low bands below, as an inlined PNG."""
    import torch
    from matplotlib import colormaps
    from matplotlib.image import imsave

    from pocketmood.mel import MelFrontEnd

    frames = spec.frames(spec.samples)
    with torch.inference_mode():
        mel = MelFrontEnd(spec, max(frames // COLUMNS_SHOWN, 1))(torch.from_numpy(wave)[None])[0, 0].numpy()  # [M, T]
    png = io.BytesIO()
    imsave(png, mel[::-1], cmap=colormaps["magma"], vmin=-1, vmax=1, format="png")
    data = base64.b64encode(png.getvalue()).decode()
    return f'<img alt="its spectrogram, low bands below" src="data:image/png;base64,{data}">'


def _quadrants(measured: Measured, answers: Mapping[str, Any]) -> str:
    found = breakdown.by_quadrant(measured.labels, answers)
    heads = ("quadrant", "row", "songs", "error", "lean V", "lean A", "put there")
    lines = [
        (one["part"], one["row"], str(one["songs"]), number(one["rmse"], 2), number(one["bias_valence"], 2, True),
         number(one["bias_arousal"], 2, True), f"{one['put_there']:.0%}")
        for part in breakdown.QUADRANTS
        for one in found
        if one["part"] == part
    ]  # fmt: skip
    return table(heads, _said_once(lines), texts=2)


def _blocks(config: BenchmarksConfig, measured: Measured, answers: Mapping[str, Any]) -> str:
    found = breakdown.by_block(measured.ids, measured.labels, answers, config.bootstrap, config.seed)
    lines = [
        (one["part"], one["row"], str(one["songs"]), number(one["ccc"], 2),
         "too few songs" if one["ccc"] is None else f"{one['low']:.2f} to {one['high']:.2f}")
        for one in sorted(found, key=lambda one: one["part"])
    ]  # fmt: skip
    return table(("ids", "row", "songs", "CCC", "95 %"), _said_once(lines), texts=2)


def _said_once(lines: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Leave out the first word of a line where the line above has it."""
    above = ["", *(line[0] for line in lines)]
    return [("" if line[0] == said else line[0], *line[1:]) for line, said in zip(lines, above, strict=False)]


def _ceiling(measured: Measured) -> str:
    shares = breakdown.ceiling_shares(measured.records, CEILING)
    if not shares:
        return '<p class="say">Not known: this corpus does not tell its songs\' true scores.</p>'
    return table(("row", "share of its CCC"), [(name, f"{share:.0%}") for name, share in shares.items()])


def _coverage(config: BenchmarksConfig, measured: Measured) -> str:
    from pocketmood.calibration import LEVELS, coverage

    said = read_predictions(config.run / "student" / "predictions.csv").only("test")
    if said.interval68 is None:
        return '<p class="say">The student\'s predictions hold no intervals.</p>'
    deviations = store_of(config.run).deviations(said.ids)
    shares = coverage(said.emotion, said.interval68, said.labels, deviations)
    lines = [
        (f"{level} % interval, {who}", *("-" if shares[who][level] is None else f"{shares[who][level][axis]:.0%}"
                                         for axis in ("valence", "arousal")))
        for level in LEVELS
        for who in ("songs", "listeners")
    ]  # fmt: skip
    return table(("", "valence", "arousal"), lines)


def _card(title: str, body: str, say: str) -> str:
    return f'<div class="card below"><h3>{escape(title)}</h3><p class="say">{escape(say)}</p>{body}</div>'
