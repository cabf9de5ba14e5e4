"""Scores corpus by corpus: a value worked by hand, nothing for one corpus, and what a few songs cannot tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketmood.data import by_corpus
from pocketmood.data.clips import Clip, ClipStore
from pocketmood.data.record import CorpusRecord, DataRecord, SplitSizes
from pocketmood.emotion import Emotion
from pocketmood.label_kind import QUADRANTS, RATINGS
from pocketmood.predictions import Predictions


def store(tmp_path: Path, corpora: list[str]) -> ClipStore:
    clips = [Clip(str(n), None, Emotion(0, 0), None, corpus=name) for n, name in enumerate(corpora)]
    return ClipStore(tmp_path, clips, 1, 1)


def record(*corpora: str, tags: str = "") -> DataRecord:
    """Return the record of a run of some corpora; `tags`: which of them has quadrants."""
    kinds = {name: QUADRANTS if name == tags else RATINGS for name in corpora}
    found = tuple(CorpusRecord(name, name.upper(), 2, "made up", label_kind=kind) for name, kind in kinds.items())
    return DataRecord(found, 0, 0, SplitSizes(0, 0, 4, "song"))


def predictions(emotion: list[list[float]], labels: list[list[float]]) -> Predictions:
    ids = tuple(str(n) for n in range(len(labels)))
    return Predictions(ids, ("test",) * len(ids), np.array(emotion), np.array(labels))


def test_each_corpus_and_all_together(tmp_path: Path) -> None:
    labels = [[-0.5, -0.5], [0.5, 0.5], [-0.5, 0.1], [0.5, 0.2]]
    # The first corpus is predicted exactly, the second the wrong way round in valence.
    emotion = [[-0.5, -0.5], [0.5, 0.5], [0.5, 0.1], [-0.5, 0.2]]
    mixed = store(tmp_path, ["a", "a", "b", "b"])
    found = by_corpus.score_each({"student": predictions(emotion, labels)}, mixed, record("a", "b"))
    assert [(each.corpus, each.songs) for each in found] == [("a", 2), ("b", 2), ("all", 4)]
    assert [each.ccc_valence for each in found] == pytest.approx([1, -1, 0], rel=0, abs=1e-12)
    assert [each.auc_valence for each in found] == pytest.approx([1, 0, 0.5], rel=0, abs=1e-12)
    # Both songs of b are excited: there is no sign to tell apart, and two songs give no interval.
    assert found[1].auc_arousal is None and found[1].low is None
    assert "too few songs" in by_corpus.lines(found)[2]
    by_corpus.publish(tmp_path, {"student": predictions(emotion, labels)}, mixed, record("a", "b"))
    assert by_corpus.load(tmp_path) == found


def test_corpora_of_tags_are_marked_in_every_table(tmp_path: Path) -> None:
    labels = [[-0.5, -0.5], [0.5, 0.5], [-0.2, 0.1], [0.3, 0.2]]
    emotion = [[-0.5, 0.5], [0.5, 0.5], [-0.5, 0.1], [0.5, 0.2]]
    mixed = store(tmp_path, ["a", "a", "b", "b"])
    found = by_corpus.score_each({"student": predictions(emotion, labels)}, mixed, record("a", "b", tags="a"))
    assert [(each.label_kind, each.quadrant_accuracy) for each in found] == [
        ("quadrants", 0.5), ("ratings", 1.0), ("mixed", 0.75)
    ]  # fmt: skip
    table = by_corpus.markdown(found)
    assert table[2].startswith("| a (tags) | student | 2 |") and table[3].startswith("| b | student | 2 |")
    assert table[-2] == by_corpus.lines(found)[-1] == by_corpus.remark(found)
    assert by_corpus.remark(found).startswith("a: expert tags, not ratings")


def test_one_corpus_has_nothing_to_tell(tmp_path: Path) -> None:
    labels = [[-0.5, -0.5], [0.5, 0.5]]
    by_corpus.publish(tmp_path, {"student": predictions(labels, labels)}, store(tmp_path, ["a", "a"]), record("a"))
    assert not (tmp_path / by_corpus.BY_CORPUS_FILE).exists()
    assert by_corpus.load(tmp_path) == by_corpus.lines([]) == by_corpus.markdown([]) == []
