"""Scores corpus by corpus, beside those of all songs together: what a run of several corpora says of each.

Conventions: scored are test songs; CCC is the mean of both axes with its 95 % interval over songs; AUC is that of the
sign of each axis, which corpora of quadrants and of ratings both have. A run of one corpus has nothing to say here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketmood import signs
from pocketmood.data.clips import ClipStore
from pocketmood.metrics import bootstrap, score
from pocketmood.predictions import Predictions
from pocketmood.runs import write_json

BY_CORPUS_FILE = "by_corpus.json"
TOGETHER = "all"
FEWEST_SONGS = 20
"""With fewer, the interval of a CCC says nothing."""


@dataclass(frozen=True)
class CorpusScores:
    """One model on the test songs of one corpus."""

    corpus: str
    """Name of the corpus; "all" for all together."""
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


def score_each(models: Mapping[str, Predictions], store: ClipStore) -> list[CorpusScores]:
    """Score the test songs of every corpus, then all together; nothing for a run of one corpus."""
    if len({clip.corpus for clip in store.clips if clip.label is not None}) < 2:
        return []
    found = []
    for model, predictions in models.items():
        test = predictions.only("test")
        corpora = store.corpus_of(test.ids)
        for name in (*sorted(set(corpora)), TOGETHER):
            rows = [row for row, corpus in enumerate(corpora) if name in (corpus, TOGETHER)]
            found.append(_score(name, model, test.take(rows)))
    return sorted(found, key=lambda scores: (scores.corpus == TOGETHER, scores.corpus))


def _score(name: str, model: str, test: Predictions) -> CorpusScores:
    values = score(test.emotion, test.labels)
    low, high = bootstrap(test.emotion, test.labels, test.ids) if len(test.ids) >= FEWEST_SONGS else (None, None)
    valence, arousal = (_auc(test, axis) for axis in (0, 1))
    v, a, mean = (float(values[f"ccc_{axis}"]) for axis in ("valence", "arousal", "mean"))
    return CorpusScores(name, model, len(test.ids), v, a, mean, low, high, valence, arousal)


def _auc(test: Predictions, axis: int) -> float | None:
    """Return the AUC of one axis's sign; None where a few songs all have the same."""
    positive = test.labels[:, axis] > 0
    return (
        None if positive.all() or not positive.any() else float(signs.auc(test.emotion[:, axis], test.labels[:, axis]))
    )


def lines(found: Sequence[CorpusScores]) -> list[str]:
    """Lay the scores out for people."""
    head = f"{'by corpus':<12}{'model':<10}{'songs':>6}{'V':>8}{'A':>7}{'mean':>7}  {'95 % interval':<16}"
    head += f"{'AUC V':>7}{'A':>7}"
    rows = [head] if found else []
    for each in found:
        interval = "too few songs" if each.low is None else f"[{each.low:.3f}, {each.high:.3f}]"
        aucs = "".join(
            "      -" if value is None else f"{value:7.3f}" for value in (each.auc_valence, each.auc_arousal)
        )
        values = f"{each.ccc_valence:8.3f}{each.ccc_arousal:7.3f}{each.ccc_mean:7.3f}"
        rows.append(f"{each.corpus:<12}{each.model:<10}{each.songs:6}{values}  {interval:<16}{aucs}")
    return rows


def publish(folder: Path, models: Mapping[str, Predictions], store: ClipStore) -> None:
    """Write and print the scores of each corpus into a stage's folder; nothing for a run of one corpus."""
    found = score_each(models, store)
    if found:
        write_json(folder / BY_CORPUS_FILE, found)
        print("\n".join(lines(found)), flush=True)
