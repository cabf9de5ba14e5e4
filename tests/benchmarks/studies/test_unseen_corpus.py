"""Scores on a corpus that a run has not met: what is refused, what is compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies import unseen_corpus
from benchmarks.studies.known_songs import refuse_known_songs
from pocketmood.calibration import coverage
from pocketmood.data.clips import ClipStore
from pocketmood.errors import DataError, RunError
from pocketmood.metrics import paired_ratio, score


def test_songs_that_the_run_has_met_are_refused(tiny_data: Path) -> None:
    store = ClipStore.open(tiny_data / "data" / "store")
    with pytest.raises(DataError, match=rf"song {store.ids[3]} is song {store.ids[3]} of the run itself"):
        refuse_known_songs(store, store, [store.ids[3]])


def test_too_few_songs_and_missing_runs_are_refused(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match="make data RUN="):
        unseen_corpus.main(["--run", str(tmp_path), "--songs", str(tiny_data)])
    monkeypatch.setattr(unseen_corpus, "LEAST_SONGS", 25)
    with pytest.raises(DataError, match="24 rated songs; give at least 25"):
        unseen_corpus.main(["--run", str(tiny_data), "--songs", str(tiny_data)])


def test_models_are_compared_on_the_same_songs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels = rng.uniform(-0.8, 0.8, (300, 2))
    emotion = {name: labels + noise * rng.standard_normal(labels.shape) for name, noise in
            (("floor", 0.6), ("teacher", 0.3), ("student", 0.35))}  # fmt: skip
    songs = [str(number) for number in range(300)]
    wide = np.full(labels.shape, 0.4)
    covered = coverage(emotion["student"], wide, labels, wide)
    result = unseen_corpus.compare(emotion, labels, songs, covered)
    values = result.as_json()
    assert values["models"]["teacher"]["ccc_mean"] == pytest.approx(
        score(emotion["teacher"], labels)["ccc_mean"], rel=0, abs=1e-12
    )
    assert values["differences"]["student - floor"]["low"] > 0 > values["differences"]["student - teacher"]["high"]
    ratio = paired_ratio(emotion["student"], emotion["teacher"], labels, songs)
    assert values["kept_of_teacher"]["ratio"] == ratio.difference
    text = "\n".join([unseen_corpus.table(result), *unseen_corpus.notes(result)])
    assert f"The student keeps {ratio.difference:.1%} [{ratio.low:.1%}, {ratio.high:.1%}]" in text
    assert text.count("| floor |") == 1 and "300 songs" in text
    # ratings deviate by .4 from labels that the predictions miss by .35: P(|N(0, .53)| < .4) = .55
    single, songs = (values["coverage"][who]["68"]["mean"] for who in ("listeners", "songs"))
    assert single == pytest.approx(0.548, rel=0, abs=0.02)
    assert f"the 68 % interval holds the mean rating of {songs:.0%} of songs and {single:.0%} of single" in text


def test_of_tags_signs_come_first_and_nobody_is_a_listener() -> None:
    labels = np.random.default_rng(0).choice([-0.5, 0.5], (60, 2))
    emotion = {"floor": -labels, "teacher": labels * 0.2, "student": labels * 0.9}
    covered = coverage(emotion["student"], np.full(labels.shape, 0.1), labels, np.full(labels.shape, np.nan))
    result = unseen_corpus.compare(emotion, labels, [str(number) for number in range(60)], covered, "quadrants")
    assert "rmse_mean" not in result.as_json()["models"]["student"] and result.as_json()["label_kind"] == "quadrants"
    head, _, floor, _, student = unseen_corpus.table(result).splitlines()
    assert head.startswith("| model | AUC V | 95 % | AUC A | 95 % | quadrants | 95 % | CCC of signs V |")
    assert floor.startswith("| floor | 0.000 |") and student.startswith("| student | 1.000 | 1.000 .. 1.000 |")
    text = "\n".join(unseen_corpus.notes(result))
    assert "expert tags, not ratings" in text and "of the teacher's CCC of signs" in text
    assert "the 68 % interval holds the target (+-.5) of 100% of songs, the 95 %" in text and "single" not in text


def test_a_teacher_that_knows_nothing_leaves_a_share_untold() -> None:
    labels = np.random.default_rng(0).uniform(-0.8, 0.8, (30, 2))
    emotion = {"floor": labels * 0.5, "teacher": np.zeros_like(labels), "student": labels * 0.9}
    wide = np.full(labels.shape, 0.4)
    covered = coverage(emotion["student"], wide, labels, wide)
    result = unseen_corpus.compare(emotion, labels, [str(number) for number in range(30)], covered)
    assert result.kept_of_teacher is None and result.differences["student - teacher"].low > 0.5
    assert "no share can be told: too few songs, or too weak a teacher." in unseen_corpus.notes(result)[0]
