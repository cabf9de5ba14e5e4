"""Tables of every corpus: the first of several rows, tables that may be missing, files that are no CSV."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocketmood.data.corpora.files import (
    Files,
    Reason,
    Reject,
    first_rows,
    open_table,
    optional_table,
    read_table,
    unlabelled_audio,
)
from pocketmood.errors import DataError


def test_of_several_rows_the_first_is_used_and_all_others_are_rejects() -> None:
    rows = [("1", "a"), ("x", Reason('"x" is no id')), ("1", "b"), ("2", "c")]
    found, rejects = {"2": "of a table before"}, [Reject("0", "earlier", "kept")]
    first_rows("t.csv", rows, rejects, found, of="song")
    assert found == {"2": "of a table before", "1": "a"}
    assert rejects == [
        Reject("0", "earlier", "kept"),
        Reject("x", "t.csv", '"x" is no id'),
        Reject("1", "t.csv", "second row for this song; the first is used"),
        Reject("2", "t.csv", "second row for this song; the first is used"),
    ]


def test_a_table_that_may_be_missing_is_a_reject_where_it_is(tmp_path: Path) -> None:
    def read(file: object) -> dict[str, str]:
        raise DataError("another table")

    rejects: list[Reject] = []
    (tmp_path / "m.csv").write_text("a\n")
    files = Files(tmp_path, {"m.csv": tmp_path / "m.csv"})
    assert optional_table(files, "n.csv", read, "no artists", rejects) == {}
    assert optional_table(files, "m.csv", read, "no artists", rejects) == {}
    assert rejects == [Reject("", "n.csv", "not found: no artists"), Reject("", "m.csv", "another table")]


def test_audio_without_a_label_is_listed_in_the_order_of_numbers(tmp_path: Path) -> None:
    files = Files(tmp_path, audio={id_: tmp_path / f"{id_}.mp3" for id_ in ("10", "9", "2", "b")})
    assert [(reject.id, reject.reason) for reject in unlabelled_audio(files, {"2"}, "rating")] == [
        ("9", "audio without a rating"), ("10", "audio without a rating"), ("b", "audio without a rating"),
    ]  # fmt: skip


def test_a_file_that_is_no_csv_is_named_with_its_line(tmp_path: Path) -> None:
    # A quote that is never closed makes the rest of the file one cell, longer than a CSV reader takes.
    path = tmp_path / "ratings.csv"
    path.write_text('id,value\n1,2\n2,"' + "x" * 200_000)
    with open_table(path) as file, pytest.raises(DataError, match=r"ratings\.csv, line 3: no CSV file \(field larger"):
        list(read_table(file, ("id",)))
