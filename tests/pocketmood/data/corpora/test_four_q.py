"""4Q's folders, tables and oddities, on a miniature; and its data stage."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from pocketmood.data import stage
from pocketmood.data.corpora import four_q
from pocketmood.data.corpora.files import Reason
from pocketmood.data.run_folder import RunFolder
from pocketmood.emotion import Emotion
from pocketmood.errors import DataError
from tests.helpers import four_q_miniature as mini


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini.make(tmp_path_factory.mktemp("4q"))


def test_quadrants_become_targets_without_deviations(root: Path) -> None:
    songs, _ = four_q.clips(four_q.find(root))
    by_id = {clip.id: clip for clip in songs}
    assert len(songs) == mini.GOOD
    assert by_id[mini.song(1, 1)].label == Emotion(0.5, 0.5)
    assert by_id[mini.song(2, 1)].label == Emotion(-0.5, 0.5)
    assert by_id[mini.song(3, 1)].label == Emotion(-0.5, -0.5)
    assert by_id[mini.song(4, 1)].label == Emotion(0.5, -0.5)
    assert {clip.deviation for clip in songs} == {None}
    # The annotation decides, wherever the file lies; and the first of two rows.
    assert by_id[mini.WRONG_FOLDER].label == four_q.TARGETS["Q2"]
    assert by_id[mini.TWICE].label == four_q.TARGETS["Q2"]


def test_what_is_left_out_is_listed_with_its_reason(root: Path) -> None:
    _, rejects = four_q.clips(four_q.find(root))
    found = {(reject.id, reject.file): reject.reason for reject in rejects}
    assert len(found) == 6
    assert "second audio file" in found[mini.song(1, 0), f"copies/{mini.song(1, 0)}.mp3"]
    assert "no audio file" in found[mini.MISSING, f"{mini.MISSING}.mp3"]
    assert found[mini.NO_QUADRANT, four_q.ANNOTATIONS] == 'the quadrant is "Q5", expected Q1, Q2, Q3, Q4'
    assert found[mini.TWICE, four_q.ANNOTATIONS] == "second row for this song; the first is used"
    assert found["", four_q.ANNOTATIONS] == 'a row without a song, of quadrant "Q1"'
    assert found[mini.UNLISTED, f"Q1/{mini.UNLISTED}.mp3"] == "audio without a quadrant"


def test_artists_are_known_but_for_nobody(root: Path) -> None:
    by = four_q.artists(four_q.find(root), [])
    assert by[mini.SAME_ARTIST[0]] == by[mini.SAME_ARTIST[1]] == "The Same Band"
    assert mini.NOBODY not in by
    assert mini.VARIOUS not in by
    # A byte of another encoding costs its letter only.
    assert by[mini.ACCENTED] == "Udo 5 J\ufffdrgens"


def test_the_audit_names_folders_that_disagree(root: Path) -> None:
    sentence, lines = four_q.audit(four_q.find(root))
    assert f"folders DISAGREE with the annotations for 1 of {mini.GOOD} songs ({mini.WRONG_FOLDER})" in sentence
    assert "metadata agree with the annotations for all" in sentence
    assert "quadrants are even (6, 6, 5, 6 songs)" in sentence
    assert f"artists known of {mini.GOOD - 2} of {mini.GOOD} songs" in sentence
    assert f"{mini.WRONG_FOLDER}: annotated Q2, folder Q4" in lines
    assert "Q3: 5 songs, valence -0.5, arousal -0.5" in lines


def test_the_audit_sees_uneven_quadrants_and_says_why_it_could_not_run(tmp_path: Path) -> None:
    table = tmp_path / four_q.ANNOTATIONS
    table.write_text("Song,Quadrant\n" + "".join(f"MT{n},Q{1 if n < 20 else n % 4 + 1}\n" for n in range(10, 40)))
    (tmp_path / "all").mkdir()
    for number in range(10, 40):
        (tmp_path / "all" / f"mt{number}.wav").write_bytes(b"")
    sentence, _ = four_q.audit(four_q.find(tmp_path))
    assert "quadrants are UNEVEN (15, 5, 5, 5 songs)" in sentence
    assert "folders name no quadrants; metadata name no quadrants" in sentence
    table.write_text("Song,Mood\n")
    assert 'no column "Quadrant" (found: Song, Mood)' in four_q.audit(four_q.find(tmp_path))[0]


def test_errors_name_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no {four_q.ANNOTATIONS} in or below it"):
        four_q.clips(four_q.find(tmp_path))
    with pytest.raises(DataError, match="no such folder"):
        four_q.find(tmp_path / "nowhere")


def test_short_rows_and_small_letters_are_read() -> None:
    file = io.StringIO('"Song","Quadrant"\r\nmt0000000001,q3\r\n\r\nMT0000000002\r\n')
    file.name = four_q.ANNOTATIONS
    assert list(four_q.read_quadrants(file)) == [
        ("MT0000000001", "Q3"),
        ("MT0000000002", Reason('the quadrant is "", expected Q1, Q2, Q3, Q4')),
    ]


def test_the_data_stage_splits_it_by_artist(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = stage.DataConfig(tmp_path / "run", corpus="4q", music=(root,), workers=1)
    assert stage.run(config) == 0
    run = RunFolder(tmp_path / "run")
    record = run.data_record
    assert (record.label_kind, record.songs, record.split.by) == ("quadrants", mini.GOOD - 1, "artist")
    assert record.corpora[0].citation == four_q.CITATION
    parts = {id_: part for part in ("train", "validation", "test") for id_ in getattr(run.split, part)}
    assert parts[mini.SAME_ARTIST[0]] == parts[mini.SAME_ARTIST[1]]
    assert np.isnan(run.store.deviations(run.store.ids)).all()
    assert set(np.abs(run.store.labels(run.store.ids)).ravel()) == {0.5}
    out = capsys.readouterr().out
    assert "expert tags, not ratings" in out
    # 24 annotated songs, one of an unknown quadrant and one without a row: one has no file, one no sound.
    assert f"  {mini.GOOD - 1} of {mini.GOOD + 3} songs used; labels: 4Q quadrants" in out


def test_what_is_left_out_for_one_reason_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = mini.make(tmp_path / "4Q")
    for number in range(3):
        (root / "Q2" / f"{mini.song(2, number)}.mp3").unlink()
    assert stage.run(stage.DataConfig(tmp_path / "run", corpus="4q", music=(root,), workers=1)) == 0
    out = capsys.readouterr().out
    assert f"{mini.GOOD - 4} of {mini.GOOD + 3} songs used" in out
    assert f"{mini.song(2, 0)}.mp3 and 3 more: no audio file of this name below 4Q" in out
