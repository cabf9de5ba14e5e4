"""Tables of the results: aligned plain text for a terminal of 120 columns, and Markdown for pull requests."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.record import INVALID, KEYS, MEASURED, NOT_RUN, Record
from pocketmood import signs
from pocketmood.data import by_corpus
from pocketmood.data.by_corpus import CorpusScores
from pocketmood.label_kind import IN_WORDS, MIXED, RATINGS, has_signs

WIDTH = 120
NOTHING = "-"
NAME_LIMIT = 36


class Column(NamedTuple):
    """A heading, and whether its cells are numbers (set right)."""

    heading: str
    right: bool = True


NAME = Column("", right=False)
COLUMNS = (
    NAME,
    *(Column(heading) for heading in ("CCC V", "CCC A", "mean", "95 %", "drop", "95 %", "parity", "graphs")),
    Column("status", right=False),
)
"""What was lost: agreement, and proof."""
SIGNS = (
    NAME,
    *(column for title in signs.TITLES.values() for column in (Column(title), Column("95 %"))),
)
"""Agreement with labels that are only signs, which stands before all else."""
COSTS = (
    NAME,
    *(
        Column(heading)
        for heading in ("ms", "p95", "real time", "ratio", "faster", "first", "load", "1 thread", "all cores")
    ),
    *(Column(heading) for heading in ("MB", "Mpar", "RAM")),
)
"""What was won: time, size and memory."""


def number(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """Format a number with fixed digits, or "-" for none; a minus sign never stands before a zero."""
    if value is None:
        return NOTHING
    # A drop of -0.0002 would be "-0.000", which reads as if something had been won.
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return text.replace("-", "").replace("+", "") if float(text) == 0 else text


def time_ms(value: float | None) -> str:
    """Format milliseconds: a decimal below 100, none above."""
    # More digits would be noise.
    return number(value, 0 if value is not None and value >= 100 else 1)


def times_faster(value: float | None) -> str:
    """Format how many times faster something is, with three digits: "0.63x", "12.3x", "123x"; "-" for none."""
    if value is None:
        return NOTHING
    return f"{number(value, 2 if value < 10 else 1 if value < 100 else 0)}x"


def status_word(record: Record) -> str:
    """Shorten a status to what fits the column."""
    if record.status == INVALID:
        return "invalid"
    return NOT_RUN if record.status.startswith(NOT_RUN) else record.status


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Format an interval, or "-" for none."""
    return NOTHING if low is None or high is None else f"{number(low, digits)}..{number(high, digits)}"


def cells(record: Record) -> tuple[str, ...]:
    """Format what a row lost, in the order of COLUMNS."""
    graphs = NOTHING
    if record.delegated_subgraphs is not None:
        graphs = f"{record.delegated_subgraphs}+{record.undelegated_ops or 0}"
    return (
        short_name(record.name),
        *(number(value) for value in (record.ccc_valence, record.ccc_arousal, record.ccc_mean)),
        interval(record.ccc_mean_low, record.ccc_mean_high),
        number(record.ccc_drop, signed=True),
        interval(record.ccc_drop_low, record.ccc_drop_high),
        NOTHING if record.parity_error is None else f"{record.parity_error:.0e}",
        graphs,
        status_word(record),
    )


def sign_cells(record: Record) -> tuple[str, ...]:
    """Format agreement with the signs of labels, in the order of SIGNS."""
    values = {name: getattr(record, name) for name in KEYS}
    pairs = ((number(values[name]), interval(values[f"{name}_low"], values[f"{name}_high"], 3)) for name in signs.NAMES)
    return (short_name(record.name), *(cell for pair in pairs for cell in pair))


def sign_rows(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """Return the rows of the table of signs; none where labels are ratings."""
    return [sign_cells(record) for record in records if record.auc_valence is not None]


def lost_columns(records: Sequence[Record]) -> tuple[Column, ...]:
    """Return COLUMNS with the CCC marked as one of signs where it is one."""
    if not sign_rows(records):
        return COLUMNS
    marked = {"CCC V": "CCC of signs: V", "CCC A": "A"}
    return tuple(column._replace(heading=marked.get(column.heading, column.heading)) for column in COLUMNS)


def costs(record: Record) -> tuple[str, ...]:
    """Format what a row costs, in the order of COSTS."""
    # The main figure belongs to a number of threads as well, and may be the one of a single thread or of all cores.
    by_threads = dict(record.latency_ms_by_threads or {})
    if by_threads and record.threads is not None and record.latency_ms_median is not None:
        by_threads[str(record.threads)] = record.latency_ms_median
    most = max(map(int, by_threads), default=0)
    return (
        short_name(record.name),
        *(time_ms(value) for value in (record.latency_ms_median, record.latency_ms_p95)),
        # As a fraction: "1/300 of the clip's length" is read faster than .0033.
        NOTHING if not record.real_time_factor else f"1/{1 / record.real_time_factor:.0f}",
        number(record.latency_ratio, 2),
        times_faster(record.speedup_over_teacher),
        *(time_ms(value) for value in (record.first_ms, record.load_ms)),
        *(time_ms(by_threads.get(str(count))) for count in (1, most)),
        number(_scaled(record.size_bytes, 1e6), 1),
        number(_scaled(record.params, 1e6), 2),
        number(_scaled(record.peak_rss_bytes, 1e6), 0),
    )


def is_costed(record: Record) -> bool:
    """Tell whether there is anything to say in the second table."""
    return any(cell != NOTHING for cell in costs(record)[1:])


def short_name(name: str) -> str:
    """Cut a name to what the table has room for."""
    return name if len(name) <= NAME_LIMIT else name[: NAME_LIMIT - 3] + "..."


def remarks(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Pair each reason with the names of all rows that give it, in the table's order."""
    # Many rows give the same reason (no macOS, not measured): said once, it is still read.
    names: dict[str, list[str]] = {}
    for record in records:
        if record.reason:
            names.setdefault(record.reason, []).append(record.name)
    return [(", ".join(who), reason) for reason, who in names.items()]


def legend(songs: int, threads: int | None, seconds: float, kind: str = RATINGS) -> str:
    """Explain the columns; kind: of the labels, of `pocketmood.label_kind`."""
    cores = f"{threads} thread{'s' if threads != 1 else ''}" if threads else "no threads"
    of_signs = (
        f"Labels: {IN_WORDS[kind]}. AUC V, AUC A: how well valence and arousal order songs by the sign of their label "
        "(.5 is chance); quadrants: share of songs put into theirs; 95 % intervals over songs. The CCC is one of signs"
        f"{', in part' * (kind == MIXED)}: against targets of +-.5. "
    )
    return (of_signs if has_signs(kind) else "") + (
        f"CCC: agreement with the {'labels' if has_signs(kind) else 'raters'} on {songs} test songs (1 is perfect), "
        "95 % interval over songs. drop: what the row lost against the teacher, interval over the same songs. parity: "
        "largest difference to what the "
        "program must repeat: PyTorch; for int8 its own quantised graph, or PyTorch on its own weights. graphs: "
        "delegated subgraphs + operators left outside. passed / invalid: within all its limits, or not; failed: it "
        "broke; measured: nothing to prove. ridge floor: ridge regression on band statistics. -: not measured. "
        f"ms: median once warm, waveform of {seconds:g} s in to emotion out, {cores}; p95: 95 % of the calls are "
        "faster; real time: share of the clip's length; ratio: a call's time over the reference kernel's around it, "
        "median; faster: times faster than the teacher on its own input in the same round, median; first: first call "
        "after loading; load: opening the file; 1 thread, all cores: ms with so many (--other-threads). MB: file. "
        "Mpar: million parameters. RAM: peak in MB of a fresh Python process with all its libraries."
    )


def plain_text(
    records: Sequence[Record], caption: str, warnings: Sequence[str] = (), corpora: Sequence[CorpusScores] = ()
) -> str:
    """Lay out both tables, the legend and the reasons within 120 columns; corpora: the scores of a mixed run's."""
    of_signs = sign_rows(records)
    first = [*_laid_out(SIGNS, of_signs), ""] if of_signs else []
    lost = _laid_out(lost_columns(records), [cells(record) for record in records if not is_bare(record)])
    won = _laid_out(COSTS, [costs(record) for record in records if is_costed(record)])
    notes = [f"warning: {sentence}" for sentence in warnings]
    notes += [f"{names}: {reason}" for names, reason in remarks(records)]
    wrapped = [textwrap.fill(note, WIDTH, subsequent_indent="    ") for note in notes]
    rows_of_corpora = [*by_corpus.lines(corpora), ""] if corpora else []
    below = ["", textwrap.fill(caption, WIDTH), *([""] if wrapped else []), *wrapped]
    parts = [*first, *lost, "", *rows_of_corpora, *won, *below]
    return "\n".join(parts) + "\n"


def markdown(
    records: Sequence[Record], caption: str, warnings: Sequence[str] = (), corpora: Sequence[CorpusScores] = ()
) -> str:
    """Write the same cells as Markdown tables."""
    of_signs = sign_rows(records)
    first = [*_markdown_table(SIGNS, of_signs), ""] if of_signs else []
    lost = _markdown_table(lost_columns(records), [cells(record) for record in records if not is_bare(record)])
    won = _markdown_table(COSTS, [costs(record) for record in records if is_costed(record)])
    notes = [f"- warning: {sentence}" for sentence in warnings]
    notes += [f"- {names}: {reason}" for names, reason in remarks(records)]
    tables = [*first, *lost, "", *by_corpus.markdown(corpora), *won, ""]
    return "\n".join([*tables, caption, *([""] if notes else []), *notes]) + "\n"


def is_bare(record: Record) -> bool:
    """Tell whether a row is there for its times alone: neither scored nor proven, and not broken."""
    return set(cells(record)[1:-1]) == {NOTHING} and record.status == MEASURED


def _markdown_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(parts: Sequence[str]) -> str:
        # A row's name may hold a bar, which would begin another column.
        return "| " + " | ".join(part.replace("|", "\\|") for part in parts) + " |"

    rule = line(["---:" if column.right else "---" for column in columns])
    return [line([column.heading for column in columns]), rule, *(line(row) for row in rows)]


def _laid_out(columns: Sequence[Column], cells_: Sequence[tuple[str, ...]]) -> list[str]:
    rows = [tuple(column.heading for column in columns), *cells_]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    # Two spaces where they fit: a table of eleven columns needs every one of the 120.
    gap = "  " if sum(widths) + 2 * (len(widths) - 1) <= WIDTH else " "
    lines = [gap.join(_aligned(row, widths, columns)).rstrip() for row in rows]
    lines.insert(1, "-" * max(len(line) for line in lines))
    return lines


def _aligned(row: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> list[str]:
    return [
        cell.rjust(width) if column.right else cell.ljust(width)
        for cell, width, column in zip(row, widths, columns, strict=True)
    ]


def _scaled(value: int | None, unit: float) -> float | None:
    return None if value is None else value / unit
