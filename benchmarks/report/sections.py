"""Words and numbers of the report: headlines, tables, warnings, environment. All text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from benchmarks.record import FAILED, INVALID, LEFT_OUT, PASSED, Record
from benchmarks.rows import TEACHER
from benchmarks.table import (
    COSTS,
    NOTHING,
    SIGNS,
    Column,
    cells,
    costs,
    is_bare,
    is_costed,
    lost_columns,
    number,
    remarks,
    sign_rows,
    time_ms,
    times_faster,
)
from export.parity_record import ParityRecord
from pocketmood.data.record import DataRecord
from pocketmood.data.run_folder import RunFolder
from pocketmood.label_kind import IN_WORDS, RATINGS

PHONE_MODELS = ("model.int8.pte", "model.fp32.pte", "model.fp32.onnx")
"""What a phone would run, best choice first."""
IMAGE_BUDGET_BYTES = 1_500_000
"""The page holds at most this much of the stages' own pictures, so that it can be mailed."""


def banner(data: DataRecord) -> str:
    """Say at the top when labels were computed, not given by people."""
    if not data.synthetic_labels:
        return ""
    return (
        '<div class="banner" role="note"><strong>Synthetic labels on rendered music</strong>'
        "The demo proves the toolchain, not the taste of the model. No person rated these songs: a formula did, with "
        "simulated raters. For figures that mean something, run the same commands on DEAM.</div>"
    )


def phone_model(records: Sequence[Record]) -> Record | None:
    """Pick the row that a phone would run: the first of PHONE_MODELS that was scored, timed and is not refuted."""
    # What was refuted must not stand in the headline, however fast it is.
    named = {record.name: record for record in records if record.status not in (FAILED, INVALID)}
    chosen = [named[name] for name in PHONE_MODELS if name in named]
    return next((row for row in chosen if row.ccc_mean is not None and row.latency_ms_median is not None), None)


def headlines(records: Sequence[Record], kind: str = RATINGS) -> str:
    """Show what the phone model lost and won, in four numbers; kind: of the labels, of `pocketmood.label_kind`."""
    phone = phone_model(records)
    if phone is None:
        return '<div class="banner">No artefact was scored, timed and proven; the table says why.</div>'
    teacher = next((record for record in records if record.name == TEACHER), None)
    alternative = next((record for record in records if record.name.startswith("librosa + ")), None)
    note = f"95 % interval {number(phone.ccc_mean_low, 2)} to {number(phone.ccc_mean_high, 2)}"
    if teacher and teacher.ccc_mean and phone.ccc_mean is not None:
        note = f"{phone.ccc_mean / teacher.ccc_mean:.0%} of the teacher's {number(teacher.ccc_mean, 2)}; {note}"
    cards = [_headline("Agreement with listeners (CCC)", number(phone.ccc_mean, 2), "", note)]
    if phone.quadrant_accuracy is not None:
        ends = f"{number(phone.quadrant_accuracy_low, 2)} to {number(phone.quadrant_accuracy_high, 2)}"
        aucs = f"AUC of valence {number(phone.auc_valence, 2)}, of arousal {number(phone.auc_arousal, 2)}"
        note = f"95 % interval {ends}; {aucs}; labels: {IN_WORDS[kind]}"
        cards = [_headline("Songs put into their quadrant", f"{phone.quadrant_accuracy:.0%}", "", note)]

    cards.append(_headline("Time per clip", time_ms(phone.latency_ms_median), "ms", _speed(phone, alternative)))
    weight = ""
    if alternative and alternative.size_bytes and phone.size_bytes:
        weight = f"{alternative.name}: {alternative.size_bytes / 1e6:.1f} MB, without its spectrogram code"
    cards.append(_headline("File", number((phone.size_bytes or 0) / 1e6, 1), "MB", weight))
    # Rows that nothing here can run (CoreML off a Mac) are neither proven nor refuted, and count for nothing.
    runnable = [record for record in records if record.name.startswith("model.") and record.status in (PASSED, INVALID)]
    equal = sum(record.status == PASSED for record in runnable)
    cards.append(
        _headline("Proven equal to PyTorch", f"{equal} of {len(runnable)}", "", "artefacts run on this machine")
    )
    lead = f'<p class="say lead">Figures of <strong>{escape(phone.name)}</strong>, what a phone would run.</p>'
    return f'{lead}<div class="headlines">{"".join(cards)}</div>'


def _speed(phone: Record, alternative: Record | None) -> str:
    """Say how many times as fast as the teacher and as the first alternative the phone's program is."""
    found = []
    if phone.speedup_over_teacher is not None:
        found.append(f"{times_faster(phone.speedup_over_teacher).removesuffix('x')} times as fast as the teacher")
    # The first alternative is the stock network as timm trains it: what a reader would pick without this project.
    if alternative and alternative.latency_ms_median and phone.latency_ms_median:
        times = f"{alternative.latency_ms_median / phone.latency_ms_median:.1f}"
        found.append(f"{times} times as fast as {alternative.name}")
    return "; ".join(found)


def results_table(records: Sequence[Record], kind: str = RATINGS) -> str:
    """Lay out all rows and what there is to say of them; a phone scrolls sideways while the names stay in place.

    kind: of the labels, of `pocketmood.label_kind`.
    """
    lost = [_row(cells(record), record) for record in records if not is_bare(record)]
    won = [_row(costs(record), None) for record in records if is_costed(record)]
    notes = "".join(
        f"<li><strong>{escape(names)}</strong>: {escape(reason)}</li>" for names, reason in remarks(records)
    )
    below = f'<details><summary>Remarks on rows</summary><ul class="plain">{notes}</ul></details>' if notes else ""
    of_signs = [_row(cells_, None) for cells_ in sign_rows(records)]
    first = (
        f"<h3>Signs and quadrants: {IN_WORDS[kind]}</h3>{_scroll(_heads(SIGNS), ''.join(of_signs))}" if of_signs else ""
    )
    return (
        f"{first}<h3{' class=below' if first else ''}>What was lost</h3>"
        f"{_scroll(_heads(lost_columns(records)), ''.join(lost))}"
        f'<h3 class="below">What it costs</h3>{_scroll(_heads(COSTS), "".join(won))}{below}'
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """Lay out a small table whose first `texts` columns are words."""
    kinds = [" class=text" if place < texts else "" for place in range(len(headings))]
    heads = "".join(f"<th{kind}>{escape(heading)}</th>" for kind, heading in zip(kinds, headings, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="inner"><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'


def parity_table(proofs: Sequence[ParityRecord]) -> str:
    """Show every parity record with all of its fields, as the export stage wrote them."""
    if not proofs:
        return '<p class="say">The bundle holds no parity records.</p>'
    # Formats have fields of their own: the union, in the order of their first appearance.
    flat = [proof.to_json() for proof in proofs]
    keys = list(dict.fromkeys(("artefact", "verdict", *(key for values in flat for key in values))))
    heads = "".join(
        f"<th{' class=text' if key == 'verdict' else ''}>{escape(key.replace('_', ' '))}</th>" for key in keys
    )
    rows = "".join(
        "<tr>" + "".join(_parity_cell(key, values.get(key), place == 0) for place, key in enumerate(keys)) + "</tr>"
        for values in flat
    )
    return _scroll(heads, rows)


def warnings_list(warnings: Sequence[str], records: Sequence[Record]) -> str:
    """List what the stages warned of, and the rows that failed."""
    found = [escape(warning) for warning in warnings]
    failed = (record for record in records if record.status in (FAILED, INVALID))
    found += [f"<strong>{escape(record.name)}</strong>: {escape(record.reason)}" for record in failed]
    if not found:
        return '<p class="say">No stage warned of anything.</p>'
    return f'<div class="card"><ul class="plain">{"".join(f"<li>{text}</li>" for text in found)}</ul></div>'


def facts(pairs: Mapping[str, Any]) -> str:
    """Lay out names and values."""
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
        for name, value in pairs.items()
        if value not in ("", None)
    )
    return f"<dl>{rows}</dl>"


def pictures(run: RunFolder) -> str:
    """Inline the pictures that the stages drew, up to the page's budget; name those that were left out."""
    shown, left_out, spent = [], [], 0
    stages = [run.folder(stage) for stage in ("data", "teacher", "student")]
    for path in sorted(path for stage in stages for path in stage.rglob("plots/*.png")):
        place = path.relative_to(run.path)
        size = path.stat().st_size
        # The next one may be smaller, so that a large one ends nothing.
        if spent + size > IMAGE_BUDGET_BYTES:
            left_out.append(str(place))
            continue
        spent += size
        # Inlined: the page must show them wherever it is mailed.
        data = base64.b64encode(path.read_bytes()).decode()
        words = escape(f"{place.parts[0]}: {path.stem.replace('_', ' ')}")
        image = f'<img alt="{words}" loading="lazy" src="data:image/png;base64,{data}">'
        shown.append(f'<figure class="card"><h3>{words}</h3>{image}</figure>')
    if not shown:
        return ""
    rest = f'<p class="say">Not shown, to keep this page small: {escape(", ".join(left_out))}</p>' if left_out else ""
    summary = f"<summary>{len(shown)} pictures drawn by the stages</summary>"
    return f'<details>{summary}<div class="plots">{"".join(shown)}</div>{rest}</details>'


def _scroll(heads: str, rows: str) -> str:
    return f'<div class="card scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


def _heads(columns: Sequence[Column]) -> str:
    return "".join(f"<th{'' if column.right else ' class=text'}>{escape(column.heading)}</th>" for column in columns)


def _headline(label: str, value: str, unit: str, note: str) -> str:
    small = f" <small>{escape(unit)}</small>" if unit else ""
    return (
        f'<div class="card"><div class="label">{escape(label)}</div><div class="value">{escape(value)}{small}</div>'
        f'<div class="note">{escape(note)}</div></div>'
    )


def _row(shown: Sequence[str], proven: Record | None) -> str:
    """Lay out one row's cells; the last one of a proven row is its status, as a pill."""
    # A heading of the row, so that it stays in place while a phone scrolls sideways.
    name, *figures = shown
    last = ""
    if proven is not None:
        tone = {PASSED: "good", INVALID: "bad", FAILED: "bad", LEFT_OUT: "bad"}.get(proven.status, "plain")
        pill = f'<span class="pill {tone}" title="{escape(proven.status)}">{escape(figures.pop())}</span>'
        last = f'<td class="text">{pill}</td>'
    return f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in figures)}{last}</tr>"


def _parity_cell(key: str, value: Any, first: bool) -> str:
    if first:
        return f"<th>{escape(str(value))}</th>"
    if isinstance(value, float):
        return f"<td>{value:.3g}</td>"
    if isinstance(value, str):
        long = len(value) > 24
        tone = {PASSED: "good", FAILED: "bad"}.get(value, "plain")
        text = f'<span class="pill {tone}">{escape(value)}</span>' if key == "verdict" else escape(value)
        return f'<td class="text{" wide" if long else ""}">{text}</td>'
    return f"<td>{NOTHING if value is None else escape(str(value))}</td>"
