"""The report's part on training: curves by epoch, the GAN's quality, and what every stage cost.

All of it is read from the run's own folders. What one-off experiments found, here or on another machine, stands in
files of their own: a page that mixed it in would show figures that this run never measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report import charts
from benchmarks.report.sections import table
from benchmarks.table import number
from pocketmood.data.run_folder import RunFolder
from pocketmood.runs import read_json
from pocketmood.training.history import HISTORY, EpochRecord, read_history

Stages = Mapping[str, Mapping[str, Any]]
TRAINED = ("teacher", "student")


def section(run: RunFolder) -> str:
    """Lay out the curves and the GAN's quality."""
    return f'<div class="plots">{curves(run)}{gan_quality(run)}</div>'


def curves(run: RunFolder) -> str:
    """Draw the validation CCC of teacher and student by epoch."""
    rows = [
        {"who": name, "x": record.epoch, "y": record.validation["ccc_mean"]}
        for name in TRAINED
        for record in history(run, name)
        # A training may be validated by another metric than the CCC.
        if "ccc_mean" in record.validation
    ]
    hues = {name: name for name in TRAINED if any(row["who"] == name for row in rows)}
    spec = charts.lines(rows, "epoch", "mean CCC, validation songs", hues) if rows else None
    return charts.figure(spec, "Training", "Each network keeps the weights of its best epoch.")


def history(run: RunFolder, stage: str) -> list[EpochRecord]:
    """Read a stage's records by epoch: its own, else those of its vision transformer; empty if it has none."""
    folder = run.folder(stage)
    for place in (folder, folder / "vit"):
        if (place / HISTORY).is_file():
            return read_history(place)
    return []


def gan_quality(run: RunFolder) -> str:
    """Draw how like real spectrograms the generator's are, in each respect, beside the other half of the real ones."""
    path = run.folder("teacher") / "quality.json"
    if not path.is_file():
        return ""
    quality = read_json(path)
    respects = [key for key in quality["table"][0] if key.startswith("similarity_")]
    rows = [
        {
            "name": f"{key.removeprefix('similarity_')}, {candidate['candidate']}",
            "value": value,
            # A bar from nothing: these are shares of what real clips score, without an interval.
            "low": 0.0,
            "high": value,
            "hue": charts.colour("teacher" if "real" in candidate["candidate"] else "artefact"),
        }
        for key in respects
        for candidate in quality["table"]
        if (value := candidate.get(key)) is not None and candidate["candidate"] in ("real, other half", "synthetic")
    ]
    spec = charts.intervals(rows, "similarity to real spectrograms") if rows else None
    return charts.figure(spec, "The generator", str(quality["sentence"]))


def cost(run: RunFolder, stages: Stages) -> str:
    """Lay out wall time, peak memory and examples per second of each stage."""
    speeds = {name: rate for name in TRAINED if (rate := examples_per_second(run, name, stages))}
    lines = [
        (
            name,
            f"{stage['wall_s']:.0f}" if "wall_s" in stage else "-",
            number(stage["peak_rss_bytes"] / 1e6 if stage.get("peak_rss_bytes") else None, 0),
            number(speeds.get(name), 0),
        )
        for name, stage in stages.items()
    ]
    return table(("stage", "wall time, s", "peak memory, MB", "examples per second"), lines)


def examples_per_second(run: RunFolder, name: str, stages: Stages) -> float | None:
    """Return the crops per second of a stage's training, from its seconds per step; None where it tells none."""
    seconds = [record.step_seconds for record in history(run, name)]
    config = stages.get(name, {}).get("config", {})
    batch = config.get("training", config).get("schedule", {}).get("batch_size")
    # The middle epoch: the first one holds what libraries compile, and any one may have met a busy neighbour.
    return float(batch / sorted(seconds)[len(seconds) // 2]) if seconds and batch else None
