"""Corpora of a run: every one of the registry keeps the contract, several join without a collision or a leak."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pocketmood.data import plots, sources, stage
from pocketmood.data.clips import Clip
from pocketmood.data.corpora import deam, registry
from pocketmood.data.corpora.contract import Corpus, Options
from pocketmood.data.corpora.files import Files, Reject
from pocketmood.data.run_folder import RunFolder
from pocketmood.data.sources import Source
from pocketmood.data.split import refuse_leaks
from pocketmood.data.stage import DataConfig
from pocketmood.emotion import Emotion
from pocketmood.errors import ConfigError, DataError
from pocketmood.label_kind import KINDS
from tests.helpers import deam_miniature, table_miniature


@pytest.mark.parametrize("name", registry.CORPORA)
def test_every_corpus_says_what_it_is(name: str, tmp_path: Path) -> None:
    corpus = registry.corpus(name)
    assert corpus.name == name and name.isalnum() and name == name.lower()
    assert corpus.title and corpus.label_set and corpus.label_kind in KINDS
    # A formula's labels have nobody to cite, nor has a table of one's own; all else names authors and terms.
    assert (corpus.citation and corpus.licence) or corpus.synthetic_labels or name == "table"
    assert set(corpus.options) <= set(vars(Options()))
    assert corpus.scale or "scale" in corpus.options
    for wrong in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError) as error:
            corpus.clips(corpus.find(wrong, None), Options(scale="1..9"))
        assert str(wrong) in str(error.value)


def test_unknown_and_doubled_names_are_refused_with_the_list() -> None:
    with pytest.raises(ConfigError, match=r'corpus "dream" is unknown; choose from deam, rendered, 4q, pmemo, table'):
        DataConfig(Path("run"), (Path("x"), Path("y")), "deam+dream")
    with pytest.raises(ConfigError, match="names deam twice"):
        DataConfig(Path("run"), (Path("x"), Path("y")), "deam+deam")


@pytest.mark.parametrize(
    ("corpus", "folders", "more", "message"),
    [
        (
            "deam+table",
            1,
            {"scale": "1..9"},
            r"needs 2 folders .* --music /path/to/deam /path/to/table \(make: CORPUS=",
        ),
        ("deam", 2, {}, "needs 1 folder of music"),
        ("deam", 1, {"scale": "1..9"}, r"--scale 1\.\.9 means nothing to deam"),
        ("table", 1, {"scale": "1..9", "label_fix": "swap-2013"}, "--label-fix swap-2013 means nothing to table"),
        ("table", 1, {}, "a table does not say its scale"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_work(
    corpus: str, folders: int, more: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        DataConfig(Path("run"), (Path("x"),) * folders, corpus, **more)  # type: ignore[arg-type]


def made(name: str, *clips: Clip) -> Source:
    """Return a source of clips that are there already."""
    corpus = Corpus(
        name=name,
        title=name.upper(),
        label_set="made up",
        scale="1..9",
        find=lambda root, _: Files(root),
        clips=lambda *_: (list(clips), [Reject("3", "3.mp3", "lost"), Reject("", "a.csv", "lost")]),
        audit=lambda *_: ("", ""),
    )
    return Source(corpus, Files(Path(name)), Options())


def test_ids_have_the_corpus_before_them_in_company_alone() -> None:
    song = Clip("12", Path("12.mp3"), Emotion(0, 0), None)
    alone, rejects = sources.join([made("a", song)])
    assert [(clip.id, clip.corpus) for clip in alone] == [("12", "a")]
    assert [reject.id for reject in rejects] == ["3", ""] and {reject.corpus for reject in rejects} == {"a"}
    both, rejects = sources.join([made("a", song), made("b", song)])
    assert [(clip.id, clip.corpus) for clip in both] == [("a-12", "a"), ("b-12", "b")]
    assert [(reject.id, reject.corpus) for reject in rejects] == [("a-3", "a"), ("", "a"), ("b-3", "b"), ("", "b")]


def test_a_rendered_folder_is_no_deam_whatever_it_is_called(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deam.really(tmp_path) == "deam"
    (tmp_path / "truth.csv").touch()
    (source,) = sources.find("deam", [tmp_path], Options(label_fix="swap-2013"))
    assert source.corpus.name == "rendered" and source.corpus.synthetic_labels
    assert source.options.label_fix == "swap-2013" and "it is taken as that" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="two of the folders hold the corpus rendered"):
        sources.find("deam+rendered", [tmp_path, tmp_path], Options())


def test_two_corpora_go_through_the_stage_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "draw", lambda *_: [])
    mini = deam_miniature.make(tmp_path / "DEAM")
    mine = table_miniature.make(tmp_path / "my music")
    config = DataConfig(tmp_path / "run", (mini.root, mine), "deam+table", scale=table_miniature.SCALE, workers=1)
    stage.run(config)

    run = RunFolder(tmp_path / "run")
    record, split = run.data_record, run.split
    refuse_leaks(split, run.store.clips)
    assert [(c.name, c.songs, c.scale, c.label_kind) for c in record.corpora] == [
        ("deam", len(deam_miniature.GOOD), "1..9", "ratings"),
        ("table", table_miniature.SONGS, "0..10", "ratings"),
    ]
    assert record.mixed and record.corpus == "DEAM + table" and record.songs == len(run.store)
    assert run.store.corpus_of(["deam-3", "table-my songs/Song 1.mp3"]) == ["deam", "table"]
    # The band of DEAM's songs 2, 3 and 1001 has one in the table, too: all four are in one part.
    part_of = split.part_of()
    assert len({part_of[f"deam-{id_}"] for id_ in (2, 3, 1001)} | {part_of["table-my songs/Song 0.mp3"]}) == 1
    assert record.warnings[0].startswith("data: DEAM: Audit: valence and arousal look swapped")
    audit = (tmp_path / "run/data/audit.txt").read_text()
    assert audit.startswith("DEAM\nAudit: ") and "\ntable\nAudit: the songs use valence" in audit

    with (tmp_path / "run/data/rejects.csv").open(newline="") as file:
        rejects = {(row["corpus"], row["file"]): row["reason"] for row in csv.DictReader(file)}
    assert "no file" in rejects["table", "ratings.csv:14"] and ("deam", "11.mp3") in rejects
    assert run.command("data").endswith("CORPUS=deam+table MUSIC=/path/to/deam:/path/to/table")


def test_every_corpus_of_a_run_has_a_usable_song(tmp_path: Path) -> None:
    mini = deam_miniature.make(tmp_path / "DEAM", audio=False)
    mine = table_miniature.make(tmp_path / "mine", sound=False)
    with pytest.raises(DataError, match=r"DEAM: no usable song; \d+ things were left out"):
        stage.run(DataConfig(tmp_path / "run", (mini.root, mine), "deam+table", scale="0..10", workers=1))
