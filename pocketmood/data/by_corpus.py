"""Scores corpus by corpus, beside those of all songs together: what a run of several corpora says of each.

Conventions: scored are test songs; CCC is the mean of both axes with its 95 % interval over songs; AUC is that of the
sign of each axis, which corpora of quadrants and of ratings both have, as they have quadrants. Errors in units of a
scale are not told: corpora differ in it, and tags have none. A run of one corpus has nothing to say here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pocketmood import signs
from pocketmood.data.clips import ClipStore
from pocketmood.data.record import DataRecord
from pocketmood.label_kind import QUADRANTS, TAGS
from pocketmood.metrics import bootstrap, score
from pocketmood.predictions import Predictions
from pocketmood.records import from_json
from pocketmood.runs import read_json, write_json

BY_CORPUS_FILE = "by_corpus.json"
TOGETHER = "all"
FEWEST_SONGS = 20
"""With fewer, the interval of a CCC says nothing."""


@dataclass(frozen=True)
class CorpusScores:
    """One model on the test songs of one corpus."""

    corpus: str
    """Name of the corpus; "all" for all together."""
    label_kind: str
    """Kind of its labels, of `pocketmood.label_kind`."""
    model: str
    """Name of the model."""
    songs: int
    """Songs that were scored."""
    ccc_valence: float
    ccc_arousal: float
    ccc_mean: float
    """Agreement with the labels; of quadrants with targets of +-.5, so that only one corpus's models compare."""
    low: float | None
    high: float | None
    """95 % interval of `ccc_mean`; None for fewer than FEWEST_SONGS."""
    auc_valence: float | None
    auc_arousal: float | None
    """AUC of the label's sign; None where all labels have the same."""
    quadrant_accuracy: float
    """Share of songs put into their quadrant."""


def score_each(
    models: Mapping[str, Predictions], store: ClipStore, record: DataRecord, repeats: int = 1000, seed: int = 0
) -> list[CorpusScores]:
    """Score the test songs of every corpus, then all together; nothing for a run of one corpus.

    record: says which corpora there are, and the kind of each one's labels. repeats, seed: of the intervals.
    """
    if not record.mixed:
        return []
    kinds = {corpus.name: corpus.label_kind for corpus in record.corpora} | {TOGETHER: record.label_kind}
    found = []
    for model, predictions in models.items():
        test = predictions.only("test")
        corpora = store.corpus_of(test.ids)
        for name in (*sorted(set(corpora)), TOGETHER):
            part = test.take([row for row, corpus in enumerate(corpora) if name in (corpus, TOGETHER)])
            ends = (
                bootstrap(part.emotion, part.labels, part.ids, repeats, seed)
                if len(part.ids) >= FEWEST_SONGS
                else (None, None)
            )
            found.append(_score(name, kinds[name], model, part, ends))
    return sorted(found, key=lambda scores: (scores.corpus == TOGETHER, scores.corpus))


def _score(
    name: str, kind: str, model: str, test: Predictions, ends: tuple[float | None, float | None]
) -> CorpusScores:
    values = score(test.emotion, test.labels)
    v, a, mean = (float(values[f"ccc_{axis}"]) for axis in ("valence", "arousal", "mean"))
    auc_v, auc_a = (_auc(test, axis) for axis in (0, 1))
    right = signs.quadrant_accuracy(test.emotion, test.labels)
    return CorpusScores(name, kind, model, len(test.ids), v, a, mean, ends[0], ends[1], auc_v, auc_a, right)


def _auc(test: Predictions, axis: int) -> float | None:
    """Return the AUC of one axis's sign; None where a few songs all have the same."""
    positive = test.labels[:, axis] >= 0  # as `signs` has it
    return (
        None if positive.all() or not positive.any() else float(signs.auc(test.emotion[:, axis], test.labels[:, axis]))
    )


class Row(NamedTuple):
    """One line of the table by corpus, as text; its fields are the columns."""

    corpus: str
    model: str
    songs: str
    ccc_valence: str
    ccc_arousal: str
    ccc_mean: str
    interval: str
    auc_valence: str
    auc_arousal: str
    quadrants: str


HEADS = Row("corpus", "model", "songs", "CCC V", "CCC A", "mean", "95 % interval", "AUC V", "AUC A", "quadrants")
"""The heading of each column."""
WORDS = 2
"""So many of the first columns are words."""


def rows(found: Sequence[CorpusScores]) -> list[Row]:
    """Write scores as text, for every table of them."""
    return [
        Row(
            corpus=f"{each.corpus} (tags)" if each.label_kind == QUADRANTS else each.corpus,
            model=each.model,
            songs=str(each.songs),
            ccc_valence=f"{each.ccc_valence:.3f}",
            ccc_arousal=f"{each.ccc_arousal:.3f}",
            ccc_mean=f"{each.ccc_mean:.3f}",
            interval="too few songs" if each.low is None else f"[{each.low:.3f}, {each.high:.3f}]",
            auc_valence="-" if each.auc_valence is None else f"{each.auc_valence:.3f}",
            auc_arousal="-" if each.auc_arousal is None else f"{each.auc_arousal:.3f}",
            quadrants=f"{each.quadrant_accuracy:.3f}",
        )
        for each in found
    ]


def remark(found: Sequence[CorpusScores]) -> str:
    """Say in a sentence what a reader of the table must know of corpora of tags; nothing where there are none."""
    tags = dict.fromkeys(each.corpus for each in found if each.label_kind == QUADRANTS and each.corpus != TOGETHER)
    if not tags:
        return ""
    return f"{', '.join(tags)}: {TAGS}; AUC and quadrants count there, and a CCC is one of signs."


def lines(found: Sequence[CorpusScores]) -> list[str]:
    """Lay the scores out for people."""
    table = [HEADS, *rows(found)] if found else []
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADS))] if table else []
    laid_out = [
        "  ".join(
            cell.ljust(width) if column < WORDS else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    return laid_out + ([remark(found)] if remark(found) else [])


def markdown(found: Sequence[CorpusScores]) -> list[str]:
    """Lay the scores out as a Markdown table, with the remark below it; no line where there is nothing to tell."""
    if not found:
        return []
    rule = ["---" if column < WORDS else "---:" for column in range(len(HEADS))]
    table = [f"| {' | '.join(cells)} |" for cells in (HEADS, rule, *rows(found))]
    return [*table, "", *([remark(found), ""] if remark(found) else [])]


def publish(folder: Path, models: Mapping[str, Predictions], store: ClipStore, record: DataRecord) -> None:
    """Write and print the scores of each corpus into a stage's folder; nothing for a run of one corpus."""
    found = score_each(models, store, record)
    if found:
        write_json(folder / BY_CORPUS_FILE, found)
        print("\n".join(lines(found)), flush=True)


def load(folder: Path) -> list[CorpusScores]:
    """Read what `publish` wrote into a stage's folder; nothing where it wrote nothing."""
    path = folder / BY_CORPUS_FILE
    if not path.is_file():
        return []
    return [from_json(CorpusScores, values, str(path), "run the stage again") for values in read_json(path)]
