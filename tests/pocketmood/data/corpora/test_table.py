"""A table of one's own: labels worked by hand, whatever program wrote it, and every bad row by its line."""

from __future__ import annotations

import builtins
import math
from pathlib import Path
from typing import Any

import pytest

from pocketmood.data.corpora import table
from pocketmood.data.corpora.contract import Options
from pocketmood.data.corpora.table import Scale
from pocketmood.emotion import Emotion
from pocketmood.errors import ConfigError, DataError
from tests.helpers import table_miniature as miniature

NINE = Options(scale="1..9")


def folder(root: Path, text: str | bytes, *names: str) -> Path:
    """Write a table, and empty files in the place of audio: labels need no sound."""
    root.mkdir(parents=True, exist_ok=True)
    for name in names or ("a.mp3", "b.mp3"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "ratings.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def read(root: Path, text: str | bytes, *names: str, options: Options = NINE) -> tuple[dict[str, Any], dict[str, str]]:
    """Return clips by id and reasons by place."""
    clips, rejects = table.clips(table.find(folder(root, text, *names), None), options)
    return {clip.id: clip for clip in clips}, {reject.file: reject.reason for reject in rejects}


def test_labels_worked_by_hand(tmp_path: Path) -> None:
    text = "artist,file,arousal,valence,valence_sd,arousal_sd\nX,a.mp3,9,3,2,1\nunknown,b.mp3,5,7.5,,1\n"
    clips, rejects = read(tmp_path, text)
    assert (clips["a.mp3"].label, clips["a.mp3"].deviation) == (Emotion(-0.5, 1.0), Emotion(0.5, 0.25))
    assert (clips["b.mp3"].label, clips["b.mp3"].deviation) == (Emotion(0.625, 0.0), None)
    assert (clips["a.mp3"].artist, clips["b.mp3"].artist) == ("X", None)
    assert rejects == {}


@pytest.mark.parametrize(
    ("text", "unit"),
    [("1..9", (1, 9)), ("0..1", (0, 1)), ("-1..1", (-1, 1)), (" -.5 .. 2.5", (-0.5, 2.5)), ("0..100", (0, 100))],
)
def test_scales(text: str, unit: tuple[float, float]) -> None:
    scale = Scale.parse(text)
    assert (scale.low, scale.high) == unit
    assert [scale.to_unit(end) for end in (*unit, sum(unit) / 2)] == pytest.approx([-1, 1, 0], rel=0, abs=1e-12)


@pytest.mark.parametrize("text", ["", "1-9", "9..1", "3..3", "a..b", "1..", "1...9", "nan..9", "1..9..9"])
def test_what_is_no_scale_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigError, match=r"such as --scale=1\.\.9, 0\.\.1 or -1\.\.1 \(make: SCALE=\)"):
        table.check(Options(scale=text))


PLAIN = "file,valence,arousal\na.mp3,3.5,9\nb.mp3,1,5\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.rstrip(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", ";").replace(".5", ",5"),
        "sep=;\n" + PLAIN.replace(",", ";").replace(".5", ",5"),
        "\n\n" + PLAIN.replace("\n", "\n\n , ,\n"),
        PLAIN.replace("\n", ",,\n"),
        PLAIN.replace("file,valence", '" File ",VALENCE'),
        PLAIN.replace("3.5", '"3,5"'),
        PLAIN.replace("a.mp3", "./a.mp3").replace("b.mp3", ".\\b.mp3"),
    ],
)
def test_whatever_program_wrote_it(text: str | bytes, tmp_path: Path) -> None:
    clips, rejects = read(tmp_path, text)
    assert {id_: clip.label for id_, clip in clips.items()} == {"a.mp3": Emotion(-0.375, 1), "b.mp3": Emotion(-1, 0)}
    assert rejects == {}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a.mp3,high,5", 'valence is "high", expected a number from 1 to 9'),
        ("a.mp3,nan,5", 'valence is "nan"'),
        ("a.mp3,inf,5", 'valence is "inf"'),
        ("a.mp3,5,9.01", 'arousal is "9.01", expected a number from 1 to 9'),
        ("a.mp3,5", 'arousal is "", expected'),
        ("a.mp3,5,5,4.5,1", 'valence_sd is "4.5", expected a number from 0 to 4'),
        ("a.mp3,5,5,1,-1", 'arousal_sd is "-1", expected a number from 0 to 4'),
        ("a.mp3,3,5,4,2,1,x", "has more cells than line 1: a decimal comma"),
        (",5,5", "names no file"),
        ("none.mp3,5,5", 'no file "none.mp3" below'),
        ("A.MP3,5,5", '"a.mp3" differs in case'),
        ("../a.mp3,5,5", "lies outside of the table's folder"),
        ("/etc/passwd,5,5", "lies outside of the table's folder"),
        ("sub/../../a.mp3,5,5", "lies outside of the table's folder"),
        ("ratings.csv,5,5", "is no audio file"),
        ("b.mp3,5,5", "second row for this file; that of line 2 counts"),
        ("./sub/../b.mp3,5,5", "second row for this file; that of line 2 counts"),
    ],
)
def test_a_bad_row_is_named_by_its_line(row: str, reason: str, tmp_path: Path) -> None:
    clips, rejects = read(tmp_path, f"file,valence,arousal,valence_sd,arousal_sd,artist\nb.mp3,5,5\n\n{row}\n")
    assert list(clips) == ["b.mp3"] and reason in rejects["ratings.csv:4"]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("file,valance,arousal", r'line 1 has no column "valence" \(found: file, valance, arousal\). Is it "valance"?'),
        ("song,valence,arousal", 'line 1 has no column "file"'),
        ("file,valence,arousal,Valence", 'line 1 names the column "valence" twice'),
        ("\n\nfile,valence", 'line 3 has no column "arousal"'),
        ('file,valence,"arousal', "no column|is a quotation mark open"),
    ],
)
def test_a_bad_header_is_an_error(header: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, f"{header}\na.mp3,5,5,5\n")


def test_an_empty_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'no column "file" \(found: nothing\)'):
        read(tmp_path, "\n\n")


def test_a_column_that_is_nearly_known_is_told(tmp_path: Path) -> None:
    clips, rejects = read(
        tmp_path, "file,valence,arousal,arousal_std,valence_sd,tempo\na.mp3,5,5,1,1,90\nb.mp3,4,4,1,1,90\n"
    )
    assert rejects == {"ratings.csv:1": 'column "arousal_std" is unknown and not read; is "arousal_sd" meant?'}
    assert clips["a.mp3"].deviation is None  # both axes, or none


def test_names_with_accents_of_either_form_are_found(tmp_path: Path) -> None:
    clips, rejects = read(tmp_path, "file,valence,arousal\nsub/caf\u00e9.mp3,5,5\n", "sub/cafe\u0301.mp3")
    assert list(clips) == ["sub/cafe\u0301.mp3"] and rejects == {}
    clips, _ = read(
        tmp_path / "w", "file,valence,arousal\nsub/caf\u00e9.mp3,5,5\n".encode("cp1252"), "sub/caf\u00e9.mp3"
    )
    assert list(clips) == ["sub/caf\u00e9.mp3"]


def test_which_table_is_taken(tmp_path: Path) -> None:
    root = folder(tmp_path, PLAIN)
    (root / "other.csv").write_text(PLAIN)
    assert table.find(root, None).tables == {"table": root / "ratings.csv"}
    assert table.find(root / "other.csv", None).tables == {"table": root / "other.csv"}
    (root / "ratings.csv").rename(root / "third.csv")
    with pytest.raises(DataError, match=r"one table is needed here .*, found other.csv, third.csv. .*MUSIC="):
        table.find(root, None)
    with pytest.raises(DataError, match=r"found none\. It has the columns file, valence, arousal"):
        table.find(_empty(tmp_path), None)
    with pytest.raises(DataError, match="no such folder"):
        table.find(tmp_path / "nowhere", None)


def _empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_audio_without_a_row_and_an_excluded_folder(tmp_path: Path) -> None:
    root = folder(tmp_path, PLAIN, "a.mp3", "b.mp3", "more/c.mp3")
    _, rejects = table.clips(table.find(root, None), NINE)
    assert [(reject.id, reject.reason) for reject in rejects] == [("more/c.mp3", "audio without a row in the table")]
    assert table.clips(table.find(root, root / "more"), NINE)[1] == []


def test_the_audit_asks_where_half_of_the_scale_is_not_used(tmp_path: Path) -> None:
    rows = "".join(f"{n}.mp3,{1 + n / 5},{1 + n / 2}\n" for n in range(12))
    root = folder(tmp_path, f"file,valence,arousal\n{rows}", *(f"{n}.mp3" for n in range(12)))
    verdict, lines = table.audit(table.find(root, None), NINE)
    used = "Audit: the songs use valence 1 to 3.2 and arousal 1 to 6.5 of the scale 1..9"
    assert verdict == f"{used}; is 1..9 the scale that raters had?"
    assert lines == "12 songs, 0 artists known, 0 songs with deviations of both axes"
    assert table.audit(table.find(root, None), Options(scale="1..7"))[0].endswith("is 1..7 the scale that raters had?")


def test_the_miniature(tmp_path: Path) -> None:
    files = table.find(miniature.make(tmp_path, sound=False), None)
    clips, rejects = table.clips(files, Options(scale=miniature.SCALE))
    assert [clip.id for clip in clips] == [f"my songs/Song {n}.mp3" for n in range(miniature.SONGS)]
    assert [clip.deviation for clip in clips[:2]] == [None, Emotion(0.3, 0.4)]
    reasons = {reject.file: reject.reason for reject in rejects}
    assert "ratings.csv:1" not in reasons and "ratings.csv:17" not in reasons
    for line, part in miniature.BAD.items():
        assert part in reasons[f"ratings.csv:{line}"]


def test_parquet_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path, PLAIN)
    (root / "ratings.csv").rename(root / "ratings.parquet")
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DataError, match=r"ratings.parquet: .*uv pip install pyarrow`, or write .* as CSV"):
        table.clips(table.find(root, None), NINE)


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pip install pyarrow")
    from pyarrow import parquet

    root = folder(tmp_path, PLAIN)
    columns = {"file": ["a.mp3", None, "b.mp3"], "Valence": [3.5, None, 1], "arousal": [9, None, 0]}
    (root / "ratings.csv").unlink()
    parquet.write_table(arrow.table(columns), root / "ratings.parquet")
    clips, rejects = table.clips(table.find(root, None), NINE)
    assert [(clip.id, clip.label) for clip in clips] == [("a.mp3", Emotion(-0.375, 1))]
    assert rejects[0].file == "ratings.parquet:4" and 'arousal is "0", expected' in rejects[0].reason

    # As pandas writes it: missing numbers as NaN, its index beside them, names as categories or bytes, in float32.
    odd = {
        "file": arrow.array(["a.mp3", "b.mp3"]).dictionary_encode(),
        "valence": arrow.array([3.5, 1.0], arrow.float32()),
        "arousal": arrow.array([9.0, 5.0], arrow.float32()),
        "valence_sd": arrow.array([math.nan, 1.5]),
        "arousal_sd": arrow.array([math.nan, 2.0]),
        "artist": arrow.array([b"A band", None]),
        "__index_level_0__": arrow.array([17, 4]),
    }
    place = root / "year=2020"
    place.mkdir()
    (root / "a.mp3").rename(place / "a.mp3")
    (root / "b.mp3").rename(place / "b.mp3")
    parquet.write_table(arrow.table(odd), place / "ratings.parquet")
    clips, rejects = table.clips(table.find(place, None), NINE)
    assert [(clip.id, clip.label, clip.deviation, clip.artist) for clip in clips] == [
        ("a.mp3", Emotion(-0.375, 1), None, "A band"), ("b.mp3", Emotion(-1, 0), Emotion(0.375, 0.5), None)
    ]  # fmt: skip
    assert rejects == []
    (root / "ratings.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match="no Parquet file"):
        table.clips(table.find(root, None), NINE)
