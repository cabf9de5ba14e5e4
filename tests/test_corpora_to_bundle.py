"""From music on disk to the bundle, as a user types it: PMEmo, a table of one's own, and two corpora in one run."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from export.__main__ import main as export
from pocketmood.bundle import Bundle
from pocketmood.data import by_corpus
from pocketmood.data.corpora import four_q, pmemo
from pocketmood.data.run_folder import RunFolder
from pocketmood.data.split import artist_key
from pocketmood.data.stage import main as data
from pocketmood.label_kind import TAGS
from pocketmood.predictions import read_predictions
from pocketmood.runs import read_json
from student.__main__ import main as student
from teacher.__main__ import main as teacher
from tests.helpers import four_q_miniature, pmemo_miniature, table_miniature

FP32_LIMIT = 1e-4
"""Of an fp32 program against PyTorch, absolute: `ExportConfig.fp32_limit`."""


class Made(NamedTuple):
    """A run that went all the way, and what its bundle says."""

    run: RunFolder
    about: dict[str, Any]
    card: str
    printed: str
    """What the stages printed."""


Walk = Callable[..., Made]


@pytest.fixture
def walk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Walk:
    """Return a function that makes data, teacher, student and bundle of a corpus, from the commands' own flags."""

    def make(corpus: str, *music: Path, more: tuple[str, ...] = ()) -> Made:
        place = ["--run", str(tmp_path / "run")]
        smoke = ["--preset", "smoke", *place]
        folders = ["--music", *map(str, music)]
        assert data([*place, "--corpus", corpus, *folders, "--workers", "1", *more]) == 0
        # As small as it gets: no GAN, no baseline, one format.
        assert teacher([*smoke, "--synthetic", "0", "--no-baseline"]) == 0
        assert student(smoke) == 0
        few = ["--golden", "1", "--held-out", "1", "--processes", "0"]
        assert export([*smoke, "--to", "onnx", "--precision", "fp32", *few]) == 0
        run = RunFolder(tmp_path / "run")
        bundle = run.folder("bundle")
        card = (bundle / "MODEL_CARD.md").read_text()
        made = Made(run, read_json(bundle / "bundle.json"), card, capsys.readouterr().out)
        check(made)
        return made

    return make


def check(made: Made) -> None:
    """Check what holds for any corpus: artists in one part, a program that predicts as the student, the card."""
    run, about = made.run, made.about
    part_of = run.split.part_of()
    parts: dict[str, set[str]] = {}
    for clip in run.store.clips:
        parts.setdefault(artist_key(clip), set()).add(part_of[clip.id])
    assert {len(of) for of in parts.values()} == {1} and run.split.by == "artist"

    test = read_predictions(run.folder("student") / "predictions.csv").only("test")
    bundle = Bundle.open(run.folder("bundle"))
    bundle.verify()
    emotion, interval68 = bundle.predictor()(run.store.waveform(test.ids[0]))
    assert test.interval68 is not None
    np.testing.assert_allclose(
        [*emotion, *interval68], [*test.emotion[0], *test.interval68[0]], rtol=0, atol=FP32_LIMIT
    )

    for corpus in run.data_record.corpora:
        assert f"- **{corpus.title}**: {corpus.songs} songs; {corpus.label_set}" in made.card
        assert corpus.citation.rstrip(".") in made.card and corpus.licence.rstrip(".") in made.card
    warnings = run.warnings("data", "teacher", "student")
    assert warnings and set(warnings) <= set(about["warnings"]) and warnings == bundle.warnings[: len(warnings)]
    assert all(f"> - {sentence}" in made.card for sentence in warnings)
    assert about["metrics"]["songs"] == len(run.split.test)


@pytest.mark.slow
def test_pmemo(walk: Walk, tmp_path: Path) -> None:
    made = walk("pmemo", pmemo_miniature.make(tmp_path / "PMEmo"))
    record = made.run.data_record
    (corpus,) = made.about["corpora"]
    assert (corpus["name"], corpus["label_kind"], corpus["citation"]) == ("pmemo", "ratings", pmemo.CITATION)
    assert (corpus["songs"], corpus["deviations"]) == (len(pmemo_miniature.GOOD), len(pmemo_miniature.GOOD) - 1)
    assert record.songs == len(pmemo_miniature.GOOD)
    # Half of its scale from 0 to 1: what a reader of `emotion` multiplies with.
    assert made.about["outputs"][0]["unit"] == "1 unit = 0.5 points of the 0-1 rating scale"
    assert "mean rating" in made.about["outputs"][1]["unit"] and TAGS not in made.card
    assert "It predicts what an average listener" in made.card and "It learnt expert tags" not in made.card
    assert made.about["deviations_known"] and made.about["metrics"]["by_corpus"] == [] and "By corpus" not in made.card


@pytest.mark.slow
def test_a_table_of_ones_own(walk: Walk, tmp_path: Path) -> None:
    music = table_miniature.make(tmp_path / "my music")
    made = walk("table", music, more=(f"--scale={table_miniature.SCALE}",))
    (corpus,) = made.about["corpora"]
    assert (corpus["name"], corpus["scale"], corpus["songs"]) == ("table", "0..10", table_miniature.SONGS)
    assert made.about["outputs"][0]["unit"] == "1 unit = 5 points of the 0-10 rating scale"
    with (made.run.folder("data") / "rejects.csv").open(newline="") as file:
        reasons = {row["file"]: row["reason"] for row in csv.DictReader(file)}
    assert all(part in reasons[f"ratings.csv:{line}"] for line, part in table_miniature.BAD.items())
    labels = dict(zip(made.run.store.ids, made.run.store.labels(made.run.store.ids), strict=True))
    assert set(labels) == {f"my songs/Song {n}.mp3" for n in range(table_miniature.SONGS)}


@pytest.mark.slow
def test_two_corpora_in_one_run(walk: Walk, tmp_path: Path) -> None:
    tagged = four_q_miniature.make(tmp_path / "4Q")
    rated = table_miniature.make(tmp_path / "my music")
    made = walk("4q+table", tagged, rated, more=(f"--scale={table_miniature.SCALE}",))
    run, about = made.run, made.about
    corpora = {corpus["name"]: corpus for corpus in about["corpora"]}
    assert {name: corpus["label_kind"] for name, corpus in corpora.items()} == {"4q": "quadrants", "table": "ratings"}
    assert corpora["4q"]["citation"] == four_q.CITATION and corpora["4q"]["deviations"] == 0
    assert {clip.corpus for clip in run.store.clips} == {"4q", "table"}
    assert all(clip.id.startswith(f"{clip.corpus}-") for clip in run.store.clips)
    # 8 of the table's 12 songs have deviations of both axes: of some songs, if not of all.
    assert corpora["table"]["deviations"] == 8 and about["deviations_known"]

    assert about["metrics"]["label_kind"] == "mixed" and "rmse_mean" not in about["metrics"]
    unit = about["outputs"][0]["unit"]
    assert unit.startswith("1 unit = 5 points of the 0-10 rating scale; of 4Q only the sign was told (expert tags")
    assert any(sentence.startswith(f"data: 4Q: {TAGS}") for sentence in about["warnings"])

    found = about["metrics"]["by_corpus"]
    assert [row["corpus"] for row in found] == ["4q", "table", "all"]
    assert [row["songs"] for row in found][:2] == [
        sum(id_.startswith(f"{name}-") for id_ in run.split.test) for name in ("4q", "table")
    ]
    lines = by_corpus.markdown([by_corpus.CorpusScores(**row) for row in found])
    assert "### By corpus\n" + "\n".join(lines) in made.card and "| 4q (tags) | student |" in made.card
    # The student's own file has the same figures of it, beside teacher and floor, and the terminal had them.
    own = {(row.corpus, row.model): row for row in by_corpus.load(run.folder("student"))}
    assert {model for _, model in own} == {"floor", "teacher", "student"}
    for row in found:
        of_student = own[row["corpus"], "student"]
        # PyTorch's predictions in one process and in another: batches round differently.
        assert row["ccc_mean"] == pytest.approx(of_student.ccc_mean, rel=0, abs=1e-3)
    assert "It predicts what an average listener" in made.card and "It learnt expert tags" in made.card
    assert "4q (tags)" in made.printed and f"4q: {TAGS}" in made.printed
