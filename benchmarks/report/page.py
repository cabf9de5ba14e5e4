"""The report of a run: one self-contained HTML page. No network, light and dark, phone and desktop.

Everything on it was measured in this run, on this machine: it reads the run folder and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.config import BenchmarksConfig
from benchmarks.measure import Measurements
from benchmarks.report import accuracy, charts, training
from benchmarks.report import sections as parts
from benchmarks.rows import records_of
from export.parity_record import ParityRecord
from pocketmood.data.record import DataRecord
from pocketmood.data.run_folder import RunFolder
from pocketmood.label_kind import IN_WORDS, TARGETS, WHO, ccc_name, has_signs
from pocketmood.runs import STAGE_FILE

STAGES = ("data", "teacher", "student", "bundle")
POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline' 'unsafe-eval'"
)
"""What the page may do: nothing but itself. Vega compiles its expressions, hence eval."""
PAIR = "valence, arousal, each from -1 to 1"
HOW_TO_READ = (
    "CCC is Lin's concordance: 1 means that the model predicts the raters' mean, 0 that it knows nothing of it. The "
    "bracket is the 95 % interval over songs. Drop is what a row lost against the teacher. Time is a clip's waveform "
    "in to its emotion out; faster is how many times faster than the teacher on its own input. RAM is the peak of a "
    "fresh Python process with all its libraries; a phone needs far less. Graphs counts delegated subgraphs and "
    "operators left outside them."
)


def how_to_read(kind: str) -> str:
    """Explain the tables, for labels of this kind."""
    if not has_signs(kind):
        return HOW_TO_READ
    of_signs = (
        f"The labels are {IN_WORDS[kind]}. AUC is the share of pairs of songs, one of each sign, that a model puts in "
        "the right order: .5 is chance. Quadrants is the share of songs put into theirs. "
    )
    return of_signs + HOW_TO_READ.replace("CCC is Lin's concordance", f"{ccc_name(kind)} is Lin's concordance").replace(
        "the raters' mean", f"the {TARGETS[kind]}"
    )


def page(config: BenchmarksConfig, run: RunFolder, measured: Measurements, machine: Mapping[str, Any]) -> str:
    """Write the whole page as HTML."""
    # A stage that is not there is left out, not refused: the page then has less to say of it.
    stages = {name: run.stage_file(name) for name in STAGES if (run.folder(name) / STAGE_FILE).is_file()}
    data = run.data_record
    proofs = records_of(run.folder("bundle"))
    phone = parts.phone_model(measured.records)
    # The other artefacts have the student's weights: more rows of nearly the same numbers would hide the difference.
    rows = ("teacher", "student", *([phone.name] if phone else []))

    body = [
        _header(run, data, measured),
        parts.headlines(measured.records, measured.label_kind),
        "<h2>What the models hear</h2>",
        _agreement(measured, phone.name if phone else None),
        "<h2>Side by side</h2>",
        f'<p class="say">{how_to_read(data.label_kind)}</p>',
        parts.results_table(measured.records, measured.label_kind),
        "<h2>Where it is right, and where not</h2>",
        accuracy.section(config, run, measured, rows),
        "<h2>The songs it got most wrong</h2>",
        f'<p class="say">Ten seconds from the middle of each. In numbers: {PAIR}.</p>',
        accuracy.worst(run, measured),
        "<h2>Proof</h2>",
        '<p class="say">Each artefact against PyTorch on the same waveforms, as the export stage recorded it.</p>',
        _proof(proofs),
        "<h2>How it came to be</h2>",
        training.section(run),
        "<h2>What it cost</h2>",
        f'<div class="card">{training.cost(run, stages)}</div>',
        "<h2>Warnings</h2>",
        parts.warnings_list(run.warnings(), measured.records),
        "<h2>How it was measured</h2>",
        _method(config, measured, machine, data),
        parts.pictures(run),
    ]

    # Inlined, as all else is, so that the page is one file that can be mailed.
    style = Path(__file__).with_name("report.css").read_text()
    return _frame(f"pocketmood: {_name(run)}", style, "\n".join(part for part in body if part))


def _name(run: RunFolder) -> str:
    """Return the last name of the run's folder, which may have been given as `.`."""
    return run.path.resolve().name


def _frame(title: str, style: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>\n{body}\n"
        "<footer>Made by <code>python -m benchmarks</code>. The same figures as data: results.json, beside this page. "
        f"Charts: Vega-Lite, BSD-3.</footer></main>{charts.library()}</body></html>\n"
    )


def _header(run: RunFolder, data: DataRecord, measured: Measurements) -> str:
    songs = f"{len(measured.ids)} test songs of {escape(data.corpus)}"
    say = f"Run {escape(_name(run))}: {songs}, never seen in training."
    return f"<header><h1>What the phone model lost, and what it won</h1><p>{say}</p></header>{parts.banner(data)}"


def _agreement(measured: Measurements, phone: str | None) -> str:
    """Draw the plane, agreement with its intervals, agreement against time, and times."""
    records = measured.records
    # Rows without a CCC (stock networks) would be points without a place.
    scored = [
        {"name": row.name, "value": row.ccc_mean, "low": row.ccc_mean_low, "high": row.ccc_mean_high}
        for row in records
        if row.ccc_mean is not None
    ]
    # Two stacks rather than a grid: the square plane would leave a hole beside it.
    left = [
        charts.figure(
            charts.plane(measured.ids, measured.labels, measured.predictions, phone, measured.label_kind),
            "The plane of emotion",
            f"Point at a song: its {WHO[measured.label_kind]}, and what each model predicts. "
            f"Phone is {phone or 'not there'}.",
            square=True,
        ),
        charts.figure(
            charts.times(records), "Time per clip", "Waveform to emotion, once warm; 95 % are faster than the tick."
        ),
    ]
    right = [
        charts.figure(
            charts.pareto(records, measured.label_kind),
            "Agreement against time",
            "Upper left is better; the larger, the bigger the file.",
        ),
        charts.figure(
            charts.intervals(scored, f"mean {ccc_name(measured.label_kind)} on test songs") if scored else None,
            "Agreement with the signs of labels" if has_signs(measured.label_kind) else "Agreement with listeners",
            "95 % intervals over songs. Rows predict the same songs, so a drop is surer than it looks.",
        ),
    ]
    return f'<div class="two"><div class="stack">{"".join(left)}</div><div class="stack">{"".join(right)}</div></div>'


def _proof(proofs: Sequence[ParityRecord]) -> str:
    chart = charts.figure(
        charts.parity(proofs),
        "Difference to PyTorch",
        "Darker by the power of ten. Largest of both outputs, mean of each; the last column is the limit of the first.",
    )
    records = f"<details><summary>All fields of the records</summary>{parts.parity_table(proofs)}</details>"
    return chart + records


def _method(
    config: BenchmarksConfig,
    measured: Measurements,
    machine: Mapping[str, Any],
    data: DataRecord,
) -> str:
    """State machine, labels and settings."""
    # What the runtimes say, too: one that ignored its number of threads would be told by its own word.
    place = {
        "processor": f"{machine['cpu']}, {machine['cores']} cores",
        "instructions": ", ".join(machine["flags"]) or "none of those that matter is known",
        "system": f"{machine['system']}, Python {machine['python']}",
        "threads": f"{config.threads} ("
        + "; ".join(f"{name} says {used}" for name, used in measured.threads_used.items())
        + ")",
        "timing": f"{config.warmup} untimed calls, then up to {config.repeats} timed ones per row; they take turns in "
        f"a new order each round, with the reference kernel in between and {config.pause_ms:g} ms of rest before each "
        "call; one clip",
        "energy": "not measured: no computer tells it as a phone would",
        "versions": ", ".join(f"{name} {found}" for name, found in machine["versions"].items()),
    }
    # What the figures refer to: another label set or fix is another question, whatever the model.
    labels = {
        "corpus": data.corpus,
        "songs": data.songs,
        "left out": data.rejects,
        "label set": data.label_set,
        "label fix": data.label_fix,
        "audit": data.audit,
        "labels made by": "a formula and simulated raters" if data.synthetic_labels else IN_WORDS[data.label_kind],
        "interval": f"bootstrap of {config.bootstrap} resamplings by song, seed {config.seed}",
    }
    return (
        f'<div class="two"><div class="card"><h3>Machine</h3>{parts.facts(place)}</div>'
        f'<div class="card"><h3>Labels</h3>{parts.facts(labels)}</div></div>'
    )
