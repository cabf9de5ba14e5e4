"""DEAM: the miniature with all its oddities, the label map, the label fix, and the audit that finds what it is for."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from pocketmood.data.corpora import deam, deam_audit
from pocketmood.data.corpora.contract import Options
from pocketmood.data.corpora.deam_tables import Rating, read_ratings
from pocketmood.data.corpora.files import Reject, open_table
from pocketmood.emotion import Emotion
from pocketmood.errors import ConfigError, DataError
from tests.helpers import deam_miniature as miniature
from tests.helpers.deam_miniature import Miniature


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    """Return tables, and empty files in the place of audio: labels need no sound."""
    made = miniature.make(tmp_path_factory.mktemp("DEAM (copy of)"), audio=False)
    for id_ in (*miniature.EARLY, *miniature.MIDDLE, *miniature.LONG, miniature.UNRATED):
        if id_ != miniature.MISSING:
            (made.folders["audio"] / f"{id_}.mp3").touch()
    return made


def table(text: str) -> io.StringIO:
    file = io.StringIO(text)
    file.name = "static_annotations_averaged_songs_1_2000.csv"
    return file


def copy_of(mini: Miniature, root: Path) -> Path:
    """Copy the tables into one flat folder: no nesting is nesting too."""
    for path in (*mini.folders["song_level"].iterdir(), *mini.folders["dynamic"].iterdir()):
        (root / path.name).write_bytes(path.read_bytes())
    (root / "3.mp3").touch()
    return root


def test_labels_as_shipped_keep_the_exchanged_columns(mini: Miniature) -> None:
    songs, _ = deam.clips(deam.find(mini.root))
    by_id = {clip.id: clip for clip in songs}
    usable = [*miniature.GOOD, miniature.TRUNCATED, miniature.EMPTY]
    assert sorted(map(int, by_id)) == sorted(usable)
    for id_ in usable:
        valence, arousal = ((x - 5) / 4 for x in mini.mean[id_])
        dv, da = (x / 4 for x in mini.deviation[id_])
        wanted = (arousal, valence, da, dv) if id_ <= 1000 else (valence, arousal, dv, da)
        clip = by_id[str(id_)]
        assert clip.label and clip.deviation
        assert (*clip.label, *clip.deviation) == pytest.approx(wanted, rel=0, abs=1e-12)


def test_the_fix_puts_valence_and_arousal_right_for_every_song(mini: Miniature) -> None:
    songs, _ = deam.clips(deam.find(mini.root), Options(label_fix="swap-2013"))
    for clip in songs:
        wanted = [(x - 5) / 4 for x in mini.mean[int(clip.id)]] + [x / 4 for x in mini.deviation[int(clip.id)]]
        assert clip.label and clip.deviation
        assert [*clip.label, *clip.deviation] == pytest.approx(wanted, rel=0, abs=1e-12)


def test_what_is_left_out_is_listed_with_its_reason(mini: Miniature) -> None:
    _, rejects = deam.clips(deam.find(mini.root))
    static = mini.static().relative_to(mini.root).as_posix()
    audio = mini.folders["audio"].relative_to(mini.root).as_posix()
    assert set(rejects) == {
        Reject("11", "11.mp3", f"no audio file of this name below {mini.root.name}"),
        Reject("1010", static, 'valence_mean is "nan", expected a number from 1 to 9'),
        Reject("1011", static, 'arousal_mean is "9.5", expected a number from 1 to 9'),
        Reject("1012", static, "second row for this id; the first is used"),
        Reject("1013", static, 'arousal_std is "", expected a number from 0 to 4'),
        Reject("1999", f"{audio}/1999.mp3", "audio without a rating"),
    }


def test_artists_come_out_of_three_kinds_of_metadata(mini: Miniature) -> None:
    songs, _ = deam.clips(deam.find(mini.root))
    artist = {int(clip.id): clip.artist for clip in songs}
    assert artist[2] == artist[1001] == "The Same Band"
    assert artist[3] == "the same band"
    assert artist[4] is None and artist[1005] is None
    assert artist[1004] == "Quoted"
    assert artist[5] == "Early 2" and artist[2003] == "Late 2003"


def test_underscored_mirrors_and_flat_copies_are_found_too(mini: Miniature, tmp_path: Path) -> None:
    mirror = miniature.make(tmp_path / "mirror", mirror=True, audio=False)
    assert not any(" " in path.as_posix() for path in (mirror.root).rglob("*"))
    assert set(deam.find(mirror.root).tables) == set(deam.find(mini.root).tables)
    (tmp_path / "flat").mkdir()
    songs, rejects = deam.clips(deam.find(copy_of(mini, tmp_path / "flat")))
    assert [clip.id for clip in songs] == ["3"]
    assert "metadata_2014.csv" in {reject.file for reject in rejects if not reject.id}


def test_the_maximum_of_valence_is_never_read_as_arousal(mini: Miniature) -> None:
    with open_table(mini.static(miniature.STATIC_2)) as file:
        found = dict(read_ratings(file))
    rating = found["2001"]
    assert isinstance(rating, Rating)
    assert rating.label.arousal == pytest.approx((mini.mean[2001][1] - 5) / 4, rel=0, abs=1e-12)


@pytest.mark.parametrize("rating, value", [("1", -1.0), ("5", 0.0), ("9", 1.0), ("6.5", 0.375)])
def test_ratings_from_1_to_9_become_minus_1_to_1(rating: str, value: float) -> None:
    ((_, found),) = read_ratings(
        table(f"song_id, valence_mean, valence_std, arousal_mean, arousal_std\n2,{rating},2,{rating},1\n")
    )
    assert found == Rating(Emotion(value, value), Emotion(0.5, 0.25))


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    with pytest.raises(
        DataError,
        match=r'1_2000\.csv: no column "valence_mean" \(found: song_id, v, a\)\. Is this DEAM'
        r'.*See docs/data\.md, "What it reads"',
    ):
        list(read_ratings(table("song_id,v,a\n2,1,1\n")))
    with pytest.raises(DataError, match="found: nothing"):
        list(read_ratings(table("")))


def test_odd_rows_cost_themselves_only() -> None:
    text = (
        "\ufeffsong_id, valence_mean, valence_std, arousal_mean, arousal_std\n"
        "2.0,5,1,5,1\n\n , , ,\nseven,5,1,5,1\n3,5\n4,5,1,5,1,,,\n5,5,4.1,5,1\n6,inf,1,5,1\n"
    ).removeprefix("\ufeff")
    found = dict(read_ratings(table(text)))
    assert [id_ for id_, value in found.items() if isinstance(value, Rating)] == ["2", "4"]
    assert found["seven"] == '"seven" is no song id'
    assert found["3"] == 'arousal_mean is "", expected a number from 1 to 9'
    assert found["5"] == 'valence_std is "4.1", expected a number from 0 to 4'
    assert found["6"] == 'valence_mean is "inf", expected a number from 1 to 9'


def test_a_folder_without_tables_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no static_annotations_averaged_songs_1_2000\.csv or static"):
        deam.clips(deam.find(tmp_path))
    with pytest.raises(DataError, match="no such folder"):
        deam.find(tmp_path / "nowhere")


def test_an_unknown_label_fix_is_refused(mini: Miniature) -> None:
    with pytest.raises(ConfigError, match='label fix "swap" is unknown; choose from none, swap-2013'):
        deam.clips(deam.find(mini.root), Options(label_fix="swap"))


def test_copies_of_tables_may_not_differ_and_copies_of_audio_are_listed(mini: Miniature, tmp_path: Path) -> None:
    root = copy_of(mini, tmp_path)
    (root / "again").mkdir()
    (root / "again" / "3.wav").touch()
    (root / "again" / miniature.STATIC_1).write_bytes((root / miniature.STATIC_1).read_bytes())
    files = deam.find(root)
    assert files.audio == {"3": root / "3.mp3"}
    assert list(files.rejects) == [Reject("3", "again/3.wav", "second audio file for this id; 3.mp3 is used")]
    with (root / "again" / miniature.STATIC_1).open("a") as file:
        file.write("1,5,1,5,1\n")
    with pytest.raises(DataError, match=r"differ\. Keep the one"):
        deam.find(root)


def test_unlabelled_music_inside_the_folder_can_be_passed_over(mini: Miniature, tmp_path: Path) -> None:
    root = copy_of(mini, tmp_path)
    (root / "0 more music").mkdir()
    (root / "0 more music" / "4.mp3").touch()
    assert sorted(deam.find(root).audio) == ["3", "4"]
    assert sorted(deam.find(root, exclude=root / "0 more music").audio) == ["3"]


def audit(mini: Miniature, label_fix: str = "none") -> tuple[str, str]:
    files = deam.find(mini.root)
    return deam_audit.report(files, deam.ratings(files, []), label_fix)


def test_the_audit_finds_the_exchanged_columns(mini: Miniature) -> None:
    verdict, lines = audit(mini)
    assert verdict.startswith("Audit: valence and arousal look swapped for ids 1-1000 (r ")
    assert "kept as shipped, --label-fix swap-2013 exchanges them" in verdict
    early, middle, late = lines.splitlines()
    assert "ids 1-1000 (16 songs): swapped" in early
    # 16 rows less two bad ratings, one bad deviation, and one song without arousal per second.
    assert "ids 1001-2000 (12 songs): as named" in middle
    assert "ids 2001 and above (12 songs): as named" in late
    assert "swap-2013 put them right" in audit(mini, "swap-2013")[0]


def test_the_audit_says_by_name_why_it_could_not_run(mini: Miniature, tmp_path: Path) -> None:
    root = copy_of(mini, tmp_path)
    (root / "arousal.csv").unlink()
    verdict, _ = deam_audit.report(deam.find(root), {}, "none")
    assert verdict == f"Audit of the columns could not run: arousal.csv not found below {root.name}."
    (root / "arousal.csv").write_text("a,b\n1,2\n")
    assert 'the first column is not "song_id"' in deam_audit.report(deam.find(root), {}, "none")[0]


def blocks(*agreements: tuple[float, float]) -> list[deam_audit.Block]:
    """Make a block per (r with the axis of the same name, r with the other axis)."""
    spans = deam_audit.BLOCKS[: len(agreements)]
    pairs = zip(spans, agreements, strict=True)
    return [deam_audit.Block(*span, 50, own, other, other, own) for span, (own, other) in pairs]


def test_the_audit_is_one_sentence_for_every_outcome() -> None:
    fine, swapped = (0.9, 0.5), (0.4, 0.8)
    assert deam_audit.sentence(blocks(fine, fine, fine), "none") == "Audit: valence and arousal look as named."
    assert "is that meant?" in deam_audit.sentence(blocks(fine), "swap-2013")
    both = deam_audit.sentence(blocks(swapped, swapped), "none")
    assert "ids 1-1000, ids 1001-2000 (r 0.40 < 0.80, r 0.40 < 0.80)" in both
    assert both.endswith("no label fix covers ids above 1000.")
    few = [deam_audit.Block(1, 1000, 4, *[float("nan")] * 4)]
    assert deam_audit.sentence(few, "none") == (
        "Audit: no telling which way round valence and arousal are (ids 1-1000: too few songs)."
    )
    unclear = deam_audit.Block(1, 1000, 50, 0.6, 0.5, 0.6, 0.5)
    assert unclear.verdict == "unclear"


def test_means_per_second_skip_gaps() -> None:
    text = "song_id, sample_15000ms, sample_15500ms\n2,0.5,-0.25\n3,,NaN,0.125\n4\n5,,\nx,1\n"
    assert deam_audit.read_dynamic(table(text)) == {2: 0.125, 3: 0.125}


def test_the_miniature_has_deams_own_headers(mini: Miniature) -> None:
    with mini.static(miniature.STATIC_2).open(newline="") as file:
        header = next(csv.reader(file))
    assert header[:5] == ["song_id", " valence_mean", " valence_std", " valence_ max_mean", " valence_max_std"]
