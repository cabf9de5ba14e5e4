"""What a bundle says of the corpora that its student learnt from: who to cite, what labels are worth, units, scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pocketmood.data import by_corpus
from pocketmood.data.clips import ClipStore
from pocketmood.data.corpora.table import Scale
from pocketmood.data.record import CorpusRecord, DataRecord
from pocketmood.label_kind import IN_WORDS, QUADRANTS, TAGS
from pocketmood.metrics import Array
from pocketmood.predictions import Predictions

NO_DEVIATIONS = (
    "no deviations of single listeners are known: `interval68` was learnt from how far predictions miss their targets, "
    "and scaled on validation songs; how far single listeners scatter is not known"
)
"""What is to be said of a student of whose songs none has the deviations of its raters."""


def describe(record: DataRecord, store: ClipStore) -> list[dict[str, Any]]:
    """Return what bundle.json says of each corpus: its record, and how many songs have deviations of their raters."""
    rated = [clip for clip in store.clips if clip.label is not None]
    return [
        asdict(corpus) | {"deviations": sum(clip.deviation is not None for clip in rated if clip.corpus == corpus.name)}
        for corpus in record.corpora
    ]


def scores(record: DataRecord, store: ClipStore, songs: Sequence[str], emotion: Array) -> list[dict[str, Any]]:
    """Return the scores of a student on the test songs of each corpus; nothing for a run of one."""
    test = Predictions(tuple(songs), ("test",) * len(songs), emotion, store.labels(songs))
    return [asdict(found) for found in by_corpus.score_each({"student": test}, store, record)]


def units(corpora: Iterable[CorpusRecord]) -> str:
    """Say what 1 unit of emotion is on the scale of the labels; tags have no scale, and a unit of theirs no meaning."""
    scales: dict[str, list[str]] = {}
    tags: list[str] = []
    for corpus in corpora:
        titles = tags if corpus.label_kind == QUADRANTS else scales.setdefault(_points(corpus), [])
        titles.append(corpus.title)
    # Whose scale it is needs to be told only where there are two.
    of = {points: f" ({', '.join(titles)})" if len(scales) > 1 else "" for points, titles in scales.items()}
    parts = [f"1 unit = {', '.join(points + of[points] for points in scales)}"] if scales else []
    if tags:
        start = f"of {', '.join(tags)} " if parts else ""
        parts.append(f"{start}only the sign was told ({TAGS}): a unit is no step of any rating scale")
    return "; ".join(parts)


def _points(corpus: CorpusRecord) -> str:
    """Name the half of a corpus's scale, which is one unit."""
    if not corpus.scale:
        return "half the scale that raters had"
    scale = Scale.parse(corpus.scale)
    return f"{scale.half:g} points of the {scale.low:g}-{scale.high:g} rating scale"


def card_lines(described: Iterable[Mapping[str, Any]]) -> list[str]:
    """Write a line for each corpus: what it is, how many songs, kind of labels, scale, terms, and whom to cite."""
    found = []
    for corpus in described:
        kind = "synthetic labels" if corpus["synthetic_labels"] else IN_WORDS[corpus["label_kind"]]
        # A label set of tags says so itself; once is enough.
        facts = [corpus["label_set"], *([kind] if kind not in corpus["label_set"] else [])]
        if corpus["label_kind"] != QUADRANTS:
            facts.append(f"{corpus['deviations']} with deviations of their raters")
            facts += [f"scale {corpus['scale']}"] if corpus["scale"] else []
        facts += [f"label fix {corpus['label_fix']}"] if corpus["label_fix"] != "none" else []
        sentences = [f"{corpus['songs']} songs; {'; '.join(facts)}."]
        sentences += [f"Terms: {corpus['licence'].rstrip('.')}."] if corpus["licence"] else []
        sentences += [f"Cite: {corpus['citation'].rstrip('.')}."] if corpus["citation"] else []
        found.append(f"- **{corpus['title']}**: {' '.join(sentences)}")
    return found


def card_scores(scored: Iterable[Mapping[str, Any]]) -> list[str]:
    """Write the table of scores by corpus; nothing for a run of one."""
    found = [by_corpus.CorpusScores(**values) for values in scored]
    return ["### By corpus", *by_corpus.markdown(found)] if found else []
