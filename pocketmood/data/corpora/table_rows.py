"""Rows of anybody's table, CSV or Parquet, each with its line: encodings, separators and headers as they come.

Conventions: a line is counted from 1, the header's; of Parquet, which has no lines, row n counts as line n + 1.
"""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from pocketmood.errors import DataError

CSV_SUFFIXES, PARQUET_SUFFIXES = (".csv", ".tsv", ".txt"), (".parquet", ".pq")
SEPARATORS = ",;\t"
PARQUET_HELP = "reading Parquet needs the package pyarrow, not installed here: type `.venv/bin/uv pip install pyarrow`"

Row = dict[str, str]
TOO_MANY = "cells beyond the header"


def read_rows(path: Path, needed: Sequence[str], known: Sequence[str]) -> tuple[list[str], Iterator[tuple[int, Row]]]:
    """Return what is odd about the header, and the rows behind it: (line, cells by the column's name in lower case).

    A row whose cells outnumber the header's has the key TOO_MANY, too. DataError for a table without a needed column,
    with the nearest name that is there, or for a file that is no table.
    """
    lines = _parquet(path) if path.suffix.lower() in PARQUET_SUFFIXES else _csv(path)
    header_line, header = next(lines, (1, []))
    names = [name.strip().lower() for name in header]
    odd = _check_header(f"{path}: line {header_line}", names, needed, known)

    def rows() -> Iterator[tuple[int, Row]]:
        for line, cells in lines:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            row = dict(zip(names, cells, strict=False))
            # Separators at the end of a line are an office program's; a cell with something in it is not.
            yield line, row | ({TOO_MANY: ""} if any(cells[len(names) :]) else {})

    return odd, rows()


def _check_header(where: str, names: Sequence[str], needed: Sequence[str], known: Sequence[str]) -> list[str]:
    """Refuse a header that lacks a column or has one twice; return a sentence for each name that is nearly known."""
    twice = sorted({name for name in names if name in known and names.count(name) > 1})
    if twice:
        raise DataError(f'{where} names the column "{twice[0]}" twice; remove or rename one')
    spare = [name for name in names if name and name not in known]
    for name in needed:
        if name not in names:
            near = difflib.get_close_matches(name, spare, 1)
            hint = f'. Is it "{near[0]}"? Rename that' if near else ""
            found = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "nothing"
            raise DataError(f'{where} has no column "{name}" (found: {found}){hint}. It needs {", ".join(needed)}')
    optional = [name for name in known if name not in names]
    odd = []
    for name in spare:
        near = difflib.get_close_matches(name, optional, 1, cutoff=0.75)
        odd += [f'column "{name}" is unknown and not read; is "{near[0]}" meant?'] if near else []
    return odd


def _csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) of a CSV file, whatever wrote it."""
    text = _decode(path)
    # Line ends of a Mac of long ago, which the csv module refuses.
    text = text if "\n" in text else text.replace("\r", "\n")
    first = next((line for line in text.splitlines() if line.strip()), "")
    named = first.lower().startswith("sep=")  # an office program's own first line
    separator = (first[4:5] or ",") if named else max(SEPARATORS, key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header_seen = False
    while True:
        # The reader counts the lines that it has read: a row begins after them, and a cell may hold line ends.
        line = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}: line {line}: no CSV from here on ({error}). Is a quotation mark open?") from error
        header_seen |= any(cell.strip() for cell in cells) and cells[0].strip().lower() != "sep="
        if header_seen:
            yield line, cells


def _decode(path: Path) -> str:
    """Return the text of a file in UTF-8 or UTF-16, with or without a byte order mark, or else in Windows' own code."""
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _parquet(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) of a Parquet file as text, missing values as empty cells."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"{path}: {PARQUET_HELP}, or write the table as CSV") from error
    try:
        # Without partitions: a folder called "year=2020" on the way would give a column that nobody wrote.
        table = parquet.read_table(path, partitioning=None)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: no Parquet file ({error})") from error
    yield 1, list(table.column_names)
    for line, row in enumerate(zip(*(column.to_pylist() for column in table.columns), strict=True), 2):
        yield line, [_text(value) for value in row]


def _text(value: object) -> str:
    """Write one value of a Parquet file as a cell; NaN is how pandas writes a missing number."""
    if value is None or value != value:
        return ""
    # Texts of old writers are bytes, without a word about their encoding.
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
