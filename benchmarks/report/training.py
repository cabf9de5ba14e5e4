"""The report's part on training: curves, the GAN's quality, what parts are worth, and what every stage cost.

Figures of whole experiments come from `benchmarks/studies/results`; each names its command and its machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.report import charts
from benchmarks.report.sections import table
from benchmarks.table import number
from pocketmood.runs import read_json

RESULTS = Path(__file__).parents[1] / "studies" / "results"
ABLATIONS = {"teacher-ablation": "What the GAN is worth to the teacher", "student-ablation": "What distillation gives"}
Stages = Mapping[str, Mapping[str, Any]]


def section(run: Path) -> str:
    """Lay out curves, the GAN's quality and the ablations."""
    parts = [curves(run), gan_quality(run), *ablations(), *scaling()]
    return f'<div class="plots">{"".join(part for part in parts if part)}</div>'


def curves(run: Path) -> str:
    """Draw the validation CCC of teacher and student by epoch."""
    rows = [
        {"who": name, "x": row["epoch"], "y": row["validation"]["ccc_mean"]}
        for name in ("teacher", "student")
        for row in history(run / name)
        if "ccc_mean" in row.get("validation", {})
    ]
    hues = {name: name for name in ("teacher", "student") if any(row["who"] == name for row in rows)}
    spec = charts.lines(rows, "epoch", "mean CCC, validation songs", hues) if rows else None
    return charts.figure(spec, "Training", "Each network keeps the weights of its best epoch.")


def history(stage: Path) -> list[dict[str, Any]]:
    """Read a stage's metrics.jsonl: its own, else that of its vision transformer; empty if it has none."""
    for path in (stage / "metrics.jsonl", stage / "vit" / "metrics.jsonl"):
        if path.is_file():
            return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return []


def gan_quality(run: Path) -> str:
    """Draw how like real spectrograms the generator's are, in each respect, beside the other half of the real ones."""
    path = run / "teacher" / "quality.json"
    if not path.is_file():
        return ""
    quality = read_json(path)
    rows = [
        {"name": f"{key.removeprefix('similarity_')}, {candidate['candidate']}", "value": value, "low": 0.0,
         "high": value, "hue": charts.colour("teacher" if "real" in candidate["candidate"] else "artefact")}
        for key in (key for key in quality["table"][0] if key.startswith("similarity_"))
        for candidate in quality["table"]
        if (value := candidate.get(key)) is not None and candidate["candidate"] in ("real, other half", "synthetic")
    ]  # fmt: skip
    return charts.figure(charts.intervals(rows, "likeness to real spectrograms"), "The generator",
                         str(quality["sentence"])) if rows else ""  # fmt: skip


def ablations() -> Iterator[str]:
    """Draw each stored ablation with what it concludes."""
    for name, title in ABLATIONS.items():
        found = _result(name)
        if not found:
            continue
        rows = [
            {"name": arm["name"], "value": arm["ccc"], "low": arm["low"], "high": arm["high"],
             "hue": charts.colour("student" if "student" in name else "teacher")}
            for arm in found["arms"]
        ]  # fmt: skip
        said = " ".join([*found["notes"][:3], f"Stored result of: {found['command']}"])
        yield charts.figure(charts.intervals(rows, "mean CCC, test songs"), title, said)


def scaling() -> Iterator[str]:
    """Draw the stored times over windows and batches."""
    found = _result("scaling")
    if not found:
        return
    hues = {"ONNX Runtime": "artefact", "PyTorch": "student"}
    place = f"{found['model']}, {found['threads']} threads, {found['machine']['cpu']}; {found['command']}"
    windows = [{"who": row["runtime"], "x": row["seconds"], "y": row["ms"]} for row in found["windows"]]
    spec = charts.lines(windows, "window, s", "ms", hues)
    yield charts.figure(spec, "Longer windows", f"One clip, waveform in to emotion out. {place}")
    batches = [{"who": row["runtime"], "x": row["batch"], "y": row["clips_per_second"]} for row in found["batches"]]
    spec = charts.lines(batches, "clips at once", "clips per second", hues)
    yield charts.figure(spec, "Labelling a library", f"Clips of 30 s, several at once. {place}")


def cost(run: Path, stages: Stages) -> str:
    """Tell wall time, peak memory and examples per second of each stage, and what a plain loop makes."""
    speeds = {name: rate for name in ("teacher", "student") if (rate := examples_per_second(run, name, stages))}
    lines = [
        (name, f"{stage['wall_s']:.0f}" if "wall_s" in stage else "-",
         number(stage["peak_rss_bytes"] / 1e6 if stage.get("peak_rss_bytes") else None, 0),
         number(speeds.get(name), 0))
        for name, stage in stages.items()
    ]  # fmt: skip
    notes = []
    plain = _result("student-throughput")
    if plain:
        loop = plain["rows"]["plain timm loop"]
        notes.append(f"A plain loop over the student makes {loop['crops_per_second']:.0f} crops per second where ours "
                     f"makes {plain['rows']['ours']['crops_per_second']:.0f} ({plain['machine']['cpu']}; "
                     f"{plain['command']}).")  # fmt: skip
    for step in (_result("full-size") or {}).get("steps", []):
        notes.append(f"Full size, {step['verdict']}; {step['images_per_second']:.2f} images per second.")
    said = "".join(f"<li>{escape(note)}</li>" for note in notes)
    below = f'<details><summary>Beside a plain loop, and at full size</summary><ul class="plain">{said}</ul></details>'
    heads = ("stage", "wall time, s", "peak memory, MB", "examples per second")
    return table(heads, lines) + (below if notes else "")


def examples_per_second(run: Path, name: str, stages: Stages) -> float | None:
    """Return the crops per second of a stage's training, from its seconds per step; None where it tells none."""
    seconds = [row["step_seconds"] for row in history(run / name) if row.get("step_seconds")]
    config = stages.get(name, {}).get("config", {})
    batch = config.get("training", config).get("schedule", {}).get("batch_size")
    return batch / sorted(seconds)[len(seconds) // 2] if seconds and batch else None


def _result(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return read_json(path) if path.is_file() else None
