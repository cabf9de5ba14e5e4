"""The results as a table: aligned plain text for a terminal of 120 columns, and Markdown for pull requests."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.record import INVALID, NOT_RUN, Record

WIDTH = 120
NOTHING = "-"
NAME_LIMIT = 27


class Column(NamedTuple):
    """A heading, and whether its cells are numbers (set right)."""

    heading: str
    right: bool = True


COLUMNS = (
    Column("", right=False),
    *(Column(heading) for heading in ("CCC V", "CCC A", "mean", "95 %", "drop")),
    *(Column(heading) for heading in ("ms", "p95", "MB", "Mpar", "RAM", "graphs")),
    Column("status", right=False),
)


def number(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """Format a number with fixed digits, or "-" for none; a minus sign never stands before a zero."""
    if value is None:
        return NOTHING
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return text.replace("-", "").replace("+", "") if float(text) == 0 else text


def time_ms(value: float | None) -> str:
    """Format milliseconds: a decimal below 100, none above."""
    return number(value, 0 if value is not None and value >= 100 else 1)


def status_word(record: Record) -> str:
    """Shorten a status to what fits the column."""
    if record.status == INVALID:
        return "invalid"
    return NOT_RUN if record.status.startswith(NOT_RUN) else record.status


def cells(record: Record) -> tuple[str, ...]:
    """Format one row, in the order of COLUMNS."""
    interval = NOTHING
    if record.ccc_mean_low is not None and record.ccc_mean_high is not None:
        interval = f"{number(record.ccc_mean_low, 2)}..{number(record.ccc_mean_high, 2)}"
    graphs = NOTHING
    if record.delegated_subgraphs is not None:
        graphs = f"{record.delegated_subgraphs}+{record.undelegated_ops or 0}"
    name = record.name if len(record.name) <= NAME_LIMIT else record.name[: NAME_LIMIT - 3] + "..."
    return (
        name,
        *(number(value) for value in (record.ccc_valence, record.ccc_arousal, record.ccc_mean)),
        interval,
        number(record.ccc_drop, signed=True),
        *(time_ms(value) for value in (record.latency_ms_median, record.latency_ms_p95)),
        number(_scaled(record.size_bytes, 1e6), 1),
        number(_scaled(record.params, 1e6), 2),
        number(_scaled(record.peak_rss_bytes, 1e6), 0),
        graphs,
        status_word(record),
    )


def remarks(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Pair each reason with the names of all rows that give it, in the table's order."""
    names: dict[str, list[str]] = {}
    for record in records:
        if record.reason:
            names.setdefault(record.reason, []).append(record.name)
    return [(", ".join(who), reason) for reason, who in names.items()]


def legend(songs: int, threads: int | None, seconds: float) -> str:
    """Explain the columns."""
    cores = f"{threads} thread{'s' if threads != 1 else ''}" if threads else "no threads"
    return (
        f"CCC: agreement with the raters on {songs} test songs (1 is perfect), 95 % interval over songs. drop: what "
        f"the row lost against the teacher. ms: median, waveform of {seconds:g} s in to emotion out, {cores}; p95: "
        "95 % of the calls are faster. MB: file. Mpar: million parameters. RAM: peak in MB of a fresh Python process "
        "with all its libraries. graphs: delegated subgraphs + operators left outside. passed / invalid: equal to "
        "PyTorch within its limit, or not; measured: nothing to prove."
    )


def plain_text(records: Sequence[Record], caption: str) -> str:
    """Lay out the table, the legend and the reasons within 120 columns."""
    rows = [tuple(column.heading for column in COLUMNS), *(cells(record) for record in records)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    gap = "  " if sum(widths) + 2 * (len(widths) - 1) <= WIDTH else " "
    lines = [gap.join(_aligned(row, widths)).rstrip() for row in rows]
    lines.insert(1, "-" * max(len(line) for line in lines))
    notes = [f"{names}: {reason}" for names, reason in remarks(records)]
    wrapped = [textwrap.fill(note, WIDTH, subsequent_indent="    ") for note in notes]
    return "\n".join([*lines, "", textwrap.fill(caption, WIDTH), *([""] if wrapped else []), *wrapped]) + "\n"


def markdown(records: Sequence[Record], caption: str) -> str:
    """Write the same cells as a Markdown table."""

    def line(parts: Sequence[str]) -> str:
        return "| " + " | ".join(part.replace("|", "\\|") for part in parts) + " |"

    rule = line(["---:" if column.right else "---" for column in COLUMNS])
    rows = [line(cells(record)) for record in records]
    notes = [f"- {names}: {reason}" for names, reason in remarks(records)]
    text = [line([column.heading for column in COLUMNS]), rule, *rows, "", caption]
    return "\n".join([*text, *([""] if notes else []), *notes]) + "\n"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.rjust(width) if column.right else cell.ljust(width)
        for cell, width, column in zip(row, widths, COLUMNS, strict=True)
    ]


def _scaled(value: int | None, unit: float) -> float | None:
    return None if value is None else value / unit
