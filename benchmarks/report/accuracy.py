"""The report's part on accuracy: quadrants, blocks, ceiling, intervals, and the songs predicted worst, to see and hear.

All text is escaped; sounds and pictures travel inside the page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.config import BenchmarksConfig
from benchmarks.measure import Measurements
from benchmarks.report import breakdown
from benchmarks.report.sections import table
from benchmarks.rows import CEILING, STUDENT
from benchmarks.table import number
from pocketmood.data import by_corpus
from pocketmood.data.run_folder import PREDICTIONS_FILE, RunFolder
from pocketmood.emotion import Emotion, mood_word, quadrant
from pocketmood.label_kind import IN_WORDS, MIXED, QUADRANTS, RATINGS, WHO, has_signs
from pocketmood.predictions import read_predictions

if TYPE_CHECKING:
    from pocketmood.spec import MelSpec

WORST = 4
PLAYED_S = 10.0
"""Seconds that a reader hears of a song: some 50 kB as Ogg Vorbis."""
COLUMNS_SHOWN = 320
"""Width of a spectrogram's picture in pixels, one per frame or so."""
_NO_ERROR = "Put there: share whose prediction lies in the same quadrant. How far from it the others lie is not told: "
_QUADRANTS_SAY = {
    RATINGS: "Error: root mean square over both axes. Lean: the mean of prediction less rating; a model that shrinks "
    "the range leans towards the middle. Put there: share whose prediction lies in the same quadrant.",
    QUADRANTS: f"{_NO_ERROR}the labels are {IN_WORDS[QUADRANTS]}.",
    MIXED: f"{_NO_ERROR}the labels are {IN_WORDS[MIXED]}.",
}
_COVERAGE_SAY = {
    RATINGS: "How many songs have their mean rating inside the student's 68 % and 95 % intervals, and how many single "
    "ratings lie there: listeners scatter about their mean.",
    QUADRANTS: "How many songs have their target of +-.5 inside the student's 68 % and 95 % intervals. Nobody rated "
    "them, so of single ratings nothing is known.",
    MIXED: "How many songs have their mean rating, or the target of +-.5 of their tag, inside the student's 68 % and "
    "95 % intervals, and how many single ratings of rated songs lie there.",
}
"""What is written above a card, by kind of the labels."""


def section(config: BenchmarksConfig, run: RunFolder, measured: Measurements, rows: Sequence[str]) -> str:
    """Lay out all tables, for the rows that matter: those of `rows` that were scored."""
    predictions = {name: measured.predictions[name] for name in rows if name in measured.predictions}
    if not predictions:
        return '<p class="say">No row was scored.</p>'
    kind = measured.label_kind
    left = [
        _card("By quadrant of the plane", _quadrants(measured, predictions), _QUADRANTS_SAY[kind]),
        _card("Do the intervals hold?", _coverage(run), _COVERAGE_SAY[kind]),
    ]
    right = [_corpora(measured) if measured.by_corpus else _blocks(config, run, measured, predictions)]
    if kind != QUADRANTS:
        say = "A perfect listener knows every song's true score, and still disagrees with the noise of a few raters."
        right.append(_card("Against the ceiling", _ceiling(measured), say))
    return f'<div class="two uneven"><div>{"".join(left)}</div><div>{"".join(right)}</div></div>'


def worst(run: RunFolder, measured: Measurements) -> str:
    """Show the songs that the student predicts worst, with their spectrograms, and play them."""
    if STUDENT not in measured.predictions:
        return ""
    spec = run.bundle.spec
    # Through the program's own window: a reader must hear what the model heard, and no more.
    store = run.store_of(run.bundle.samples)
    cards = []
    labelled = WHO[measured.label_kind]
    for row in breakdown.worst_songs(measured.ids, measured.labels, measured.predictions[STUDENT], WORST):
        wave = store.waveform(measured.ids[row])
        models = [name for name in ("teacher", STUDENT, "model.int8.pte") if name in measured.predictions]
        label = _emotion(labelled, measured.labels[row])
        if measured.label_kind == QUADRANTS:
            # The target of a tag is a number that nobody gave.
            label = f"<dt>{labelled}</dt><dd>{quadrant(Emotion(*map(float, measured.labels[row])))}</dd>"
        emotions = "".join(_emotion(name, measured.predictions[name][row]) for name in models)
        cards.append(
            f'<figure class="card song"><h3>Song {escape(measured.ids[row])}</h3>{_picture(wave, spec)}'
            f"{_player(wave, spec.sample_rate)}<dl>{label}{emotions}</dl></figure>"
        )
    return f'<div class="songs">{"".join(cards)}</div>'


def ogg(wave: NDArray[np.float32], rate: int) -> bytes:
    """Return a waveform [S] as Ogg Vorbis of low quality."""
    import soundfile

    sound = io.BytesIO()
    with soundfile.SoundFile(sound, "w", rate, 1, format="OGG", subtype="VORBIS", compression_level=0.9) as file:
        # Second by second: libsndfile's encoder overflows its stack on long blocks.
        for start in range(0, len(wave), rate):
            file.write(wave[start : start + rate])
    return sound.getvalue()


def _emotion(name: str, emotion: NDArray[np.float64]) -> str:
    valence, arousal = map(float, emotion)
    words = f"{valence:+.2f}, {arousal:+.2f} ({mood_word(Emotion(valence, arousal))})"
    return f"<dt>{escape(name)}</dt><dd>{words}</dd>"


def _player(wave: NDArray[np.float32], rate: int) -> str:
    # From the middle, which is also what a model of a shorter window hears.
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
    # Rows upside down, as pictures count theirs from above; the scale is fixed, so that songs can be compared.
    imsave(png, mel[::-1], cmap=colormaps["magma"], vmin=-1, vmax=1, format="png")
    data = base64.b64encode(png.getvalue()).decode()
    return f'<img alt="its spectrogram, low bands below" src="data:image/png;base64,{data}">'


def _quadrants(measured: Measurements, predictions: Mapping[str, breakdown.Array]) -> str:
    found = breakdown.by_quadrant(measured.labels, predictions)
    if has_signs(measured.label_kind):
        shares = [
            (errors.part, errors.row, str(errors.songs), f"{errors.put_there:.0%}")
            for part in breakdown.QUADRANTS
            for errors in found
            if errors.part == part
        ]
        return table(("quadrant", "row", "songs", "put there"), _without_repeats(shares), texts=2)
    heads = ("quadrant", "row", "songs", "error", "lean V", "lean A", "put there")
    # Quadrant by quadrant, so that rows are compared on the same songs.
    lines = [
        (
            errors.part,
            errors.row,
            str(errors.songs),
            number(errors.rmse, 2),
            number(errors.bias_valence, 2, True),
            number(errors.bias_arousal, 2, True),
            f"{errors.put_there:.0%}",
        )
        for part in breakdown.QUADRANTS
        for errors in found
        if errors.part == part
    ]
    return table(heads, _without_repeats(lines), texts=2)


def _corpora(measured: Measurements) -> str:
    """Lay out the scores of each corpus of a mixed run, corpus by corpus, so that rows are compared on its songs."""
    about = "Corpora differ in raters, scale and music; a model may have learnt one of them better. "
    lines = [tuple(row) for row in by_corpus.rows(measured.by_corpus)]
    body = table(by_corpus.HEADS, _without_repeats(lines), texts=by_corpus.WORDS)
    return _card("By corpus", body, about + by_corpus.remark(measured.by_corpus))


def _blocks(
    config: BenchmarksConfig, run: RunFolder, measured: Measurements, predictions: Mapping[str, breakdown.Array]
) -> str:
    """Lay out the agreement per block of DEAM's ids; nothing for another corpus."""
    parts = breakdown.blocks(measured.ids, run.store.corpus_of(measured.ids))
    found = breakdown.by_block(parts, measured.labels, predictions, config.bootstrap, config.seed)
    lines = [
        (
            block.part,
            block.row,
            str(block.songs),
            number(block.ccc, 2),
            "too few songs" if block.ccc is None else f"{block.low:.2f} to {block.high:.2f}",
        )
        for block in sorted(found, key=lambda block: block.part)
    ]
    if not lines:
        return ""
    about = "DEAM was collected in three years; a model may have learnt one of them better."
    body = table(("ids", "row", "songs", "CCC", "95 %"), _without_repeats(lines), texts=2)
    return _card("By block of song ids", body, about)


def _without_repeats(lines: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Leave out the first word of a line where the line above has it."""
    above = ["", *(line[0] for line in lines)]
    return [("" if line[0] == word else line[0], *line[1:]) for line, word in zip(lines, above, strict=False)]


def _ceiling(measured: Measurements) -> str:
    shares = breakdown.ceiling_shares(measured.records, CEILING)
    if not shares:
        return '<p class="say">Not known: this corpus does not tell its songs\' true scores.</p>'
    return table(("row", "share of its CCC"), [(name, f"{share:.0%}") for name, share in shares.items()])


def _coverage(run: RunFolder) -> str:
    from pocketmood.calibration import LEVELS, coverage

    predictions = read_predictions(run.folder("student") / PREDICTIONS_FILE).only("test")
    if predictions.interval68 is None:
        return '<p class="say">The student\'s predictions hold no intervals.</p>'
    # Whole clips: ratings belong to the song, whatever part of it a program hears.
    deviations = run.store.deviations(predictions.ids)
    shares = coverage(predictions.emotion, predictions.interval68, predictions.labels, deviations)
    lines = [
        (f"{level} % interval, {who}", *(f"{shares[who][level][axis]:.0%}" for axis in ("valence", "arousal")))
        for level in LEVELS
        for who in ("songs", "listeners")
        # Of tags no listener's rating is known, and a line of dashes would only ask why.
        if shares[who][level] is not None
    ]  # fmt: skip
    return table(("", "valence", "arousal"), lines)


def _card(title: str, body: str, say: str) -> str:
    return f'<div class="card below"><h3>{escape(title)}</h3><p class="say">{escape(say)}</p>{body}</div>'
