"""Scores corpus by corpus: a value worked by hand, nothing for one corpus, and what a few songs cannot tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketmood.data import by_corpus
from pocketmood.data.clips import Clip, ClipStore
from pocketmood.emotion import Emotion
from pocketmood.predictions import Predictions
from pocketmood.runs import read_json


def store(tmp_path: Path, corpora: list[str]) -> ClipStore:
    clips = [Clip(str(n), None, Emotion(0, 0), None, corpus=name) for n, name in enumerate(corpora)]
    return ClipStore(tmp_path, clips, 1, 1)


def predictions(emotion: list[list[float]], labels: list[list[float]]) -> Predictions:
    ids = tuple(str(n) for n in range(len(labels)))
    return Predictions(ids, ("test",) * len(ids), np.array(emotion), np.array(labels))


def test_each_corpus_and_all_together(tmp_path: Path) -> None:
    labels = [[-0.5, -0.5], [0.5, 0.5], [-0.5, 0.1], [0.5, 0.2]]
    # The first corpus is predicted exactly, the second the wrong way round in valence.
    emotion = [[-0.5, -0.5], [0.5, 0.5], [0.5, 0.1], [-0.5, 0.2]]
    mixed = store(tmp_path, ["a", "a", "b", "b"])
    found = by_corpus.score_each({"student": predictions(emotion, labels)}, mixed)
    assert [(each.corpus, each.songs) for each in found] == [("a", 2), ("b", 2), ("all", 4)]
    assert [each.ccc_valence for each in found] == pytest.approx([1, -1, 0], rel=0, abs=1e-12)
    assert [each.auc_valence for each in found] == pytest.approx([1, 0, 0.5], rel=0, abs=1e-12)
    # Both songs of b are excited: there is no sign to tell apart, and two songs give no interval.
    assert found[1].auc_arousal is None and found[1].low is None
    assert "too few songs" in by_corpus.lines(found)[2]
    by_corpus.publish(tmp_path, {"student": predictions(emotion, labels)}, mixed)
    assert [row["corpus"] for row in read_json(tmp_path / by_corpus.BY_CORPUS_FILE)] == ["a", "b", "all"]


def test_one_corpus_has_nothing_to_tell(tmp_path: Path) -> None:
    labels = [[-0.5, -0.5], [0.5, 0.5]]
    by_corpus.publish(tmp_path, {"student": predictions(labels, labels)}, store(tmp_path, ["a", "a"]))
    assert not (tmp_path / by_corpus.BY_CORPUS_FILE).exists() and by_corpus.lines([]) == []
