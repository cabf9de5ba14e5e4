"""The report: one self-contained page for people who were not there. No network, light and dark, phone and desktop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from benchmarks import report_plots as plots
from benchmarks import report_sections as parts
from benchmarks.config import BenchmarksConfig
from benchmarks.measure import Measured
from pocketmood.runs import STAGE_FILE, read_json

STAGES = ("data", "teacher", "student", "bundle")
HOW_TO_READ = (
    "CCC is Lin's concordance: 1 means that the model says what the raters said on average, 0 that it knows nothing of "
    "it. The bracket is the 95 % interval over songs. Drop is what a row lost against the teacher. Time is a clip's "
    "waveform in to its emotion out. RAM is the peak of a fresh Python process with all its libraries; a phone needs "
    "far less. Graphs counts delegated subgraphs and operators left outside them."
)


def page(config: BenchmarksConfig, measured: Measured, machine: Mapping[str, Any]) -> str:
    """Write the whole page as HTML."""
    run = config.run
    stages = {name: read_json(run / name / STAGE_FILE) for name in STAGES if (run / name / STAGE_FILE).is_file()}
    data = stages.get("data", {}).get("record", {})
    proofs_path = run / "bundle" / "parity.json"
    proofs = read_json(proofs_path) if proofs_path.is_file() else []
    body = [
        _header(run, data, measured),
        parts.headlines(measured.records),
        "<h2>Side by side</h2>",
        f'<p class="say">{HOW_TO_READ}</p>',
        parts.results_table(measured.records),
        "<h2>What the models hear</h2>",
        _drawings(run, measured),
        "<h2>Proof</h2>",
        '<p class="say">Each artefact against PyTorch on the same waveforms, as the export stage recorded it.</p>',
        parts.parity_table(proofs),
        "<h2>Warnings</h2>",
        parts.warnings_list(stages, measured.records),
        "<h2>How it was measured</h2>",
        _method(config, measured, machine, data, stages),
        parts.pictures(run),
    ]
    style = Path(__file__).with_name("report.css").read_text()
    return _frame(f"pocketmood: {run.resolve().name}", style, "\n".join(part for part in body if part))


def _frame(title: str, style: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>\n{body}\n"
        "<footer>Made by <code>python -m benchmarks</code>. The same figures as data: results.json, beside this page."
        "</footer></main></body></html>\n"
    )


def _header(run: Path, data: Mapping[str, Any], measured: Measured) -> str:
    corpus = escape(str(data.get("corpus", "the corpus")))
    say = f"Run {escape(run.resolve().name)}: {len(measured.ids)} test songs of {corpus}, never seen in training."
    return f"<header><h1>What the phone model lost, and what it won</h1><p>{say}</p></header>{parts.banner(data)}"


def _drawings(run: Path, measured: Measured) -> str:
    """Draw what can be drawn from this run."""
    records, answers = measured.records, measured.answers
    drawn = [
        parts.figure(
            plots.plane(measured.labels, answers),
            "The plane of emotion",
            "Grey: what raters said. A thin line leads from each song's raters to the student's answer.",
        )
    ]
    if any(record.ccc_mean is not None for record in records):
        caption = "Whiskers: 95 % interval over songs. Rows answer the same songs, so a drop is surer than it looks."
        drawn.append(parts.figure(plots.intervals(records), "Agreement with listeners", caption))
    for axis, word in enumerate(("Valence", "Arousal")):
        caption = "On the diagonal a model says what the raters said; a flatter cloud means that it shrinks the range."
        drawn.append(parts.figure(plots.scatter(measured.labels, answers, axis), f"{word}, song by song", caption))
    if any(record.latency_ms_median is not None for record in records):
        caption = "Lower left is better. Latency holds everything from waveform to emotion."
        drawn.append(parts.figure(plots.speed_and_size(records), "Time and size", caption))
    history = plots.curves({name: _history(run / name) for name in ("teacher", "student")})
    if history is not None:
        drawn.append(parts.figure(history, "Training", "Mean CCC on validation songs after each epoch."))
    return f'<div class="plots">{"".join(drawn)}</div>'


def _history(stage: Path) -> list[dict[str, Any]]:
    """Read a stage's metrics.jsonl, wherever inside its folder it lies; empty if it has none."""
    found = sorted(path for path in stage.rglob("metrics.jsonl") if "gan" not in path.relative_to(stage).parts)
    if not found:
        return []
    return [json.loads(line) for line in found[0].read_text().splitlines() if line.strip()]


def _method(
    config: BenchmarksConfig,
    measured: Measured,
    machine: Mapping[str, Any],
    data: Mapping[str, Any],
    stages: Mapping[str, Mapping[str, Any]],
) -> str:
    """State machine, labels, settings and what each stage cost."""
    place = {
        "processor": f"{machine['cpu']}, {machine['cores']} cores",
        "instructions": ", ".join(machine["flags"]) or "none of those that matter is known",
        "system": f"{machine['system']}, Python {machine['python']}",
        "threads": f"{config.threads} ("
        + "; ".join(f"{name} says {used}" for name, used in measured.threads_used.items())
        + ")",
        "timing": f"{config.warmup} untimed calls, then up to {config.repeats} timed ones per row; they take turns in "
        f"a new order each round, {config.pause_ms:g} ms of rest before each call; one clip",
        "versions": ", ".join(f"{name} {found}" for name, found in machine["versions"].items()),
    }
    labels = {
        "corpus": data.get("corpus"),
        "songs": data.get("songs"),
        "left out": data.get("rejects"),
        "label set": data.get("label_set"),
        "label fix": data.get("label_fix"),
        "audit": data.get("audit"),
        "labels made by": "a formula and simulated raters" if data.get("synthetic_labels") else "people",
        "interval": f"bootstrap of {config.bootstrap} resamplings by song, seed {config.seed}",
    }
    cost = {name: f"{stage['wall_s']:.0f} s" for name, stage in stages.items() if "wall_s" in stage}
    return (
        f'<div class="two"><div class="card"><h3>Machine</h3>{parts.facts(place)}</div>'
        f'<div><div class="card"><h3>Labels</h3>{parts.facts(labels)}</div>'
        f'<div class="card below"><h3>Wall time of the stages</h3>{parts.facts(cost)}</div></div></div>'
    )
