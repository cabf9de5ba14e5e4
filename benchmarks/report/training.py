"""The report's part on training: curves by epoch, the GAN's quality, and what every stage cost.

All of it is read from the run's own folders. What one-off experiments found, here or on another machine, stands in
files of their own: a page that mixed it in would show figures that this run never measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from benchmarks.report import charts
from benchmarks.report.sections import table
from benchmarks.table import number
from pocketmood.data.run_folder import RunFolder
from pocketmood.label_kind import ccc_name
from pocketmood.runs import StageFile
from pocketmood.training.history import HISTORY, EpochRecord, read_history
from teacher.gan.record import REAL_HALF, SYNTHETIC, Similarities, Verdict

Stages = Mapping[str, StageFile]
TRAINED = ("teacher", "student")
_BATCH_SIZE = {"teacher": ("training", "schedule", "batch_size"), "student": ("schedule", "batch_size")}
"""Where each stage's config says how many crops a step has."""


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
    spec = (
        charts.lines(rows, "epoch", f"mean {ccc_name(run.data_record.label_kind)}, validation songs", hues)
        if rows
        else None
    )
    return charts.figure(spec, "Training", "Each network keeps the weights of its best epoch.")


def history(run: RunFolder, stage: str) -> list[EpochRecord]:
    """Read a stage's records by epoch: its own, else those of its vision transformer; empty if it has none."""
    for place in (run.folder(stage), run.vit) if stage == "teacher" else (run.folder(stage),):
        if (place / HISTORY).is_file():
            return read_history(place)
    return []


def gan_quality(run: RunFolder) -> str:
    """Draw how like real spectrograms the generator's are, in each respect, beside the other half of the real ones."""
    verdict = Verdict.load(run.folder("teacher"))
    if verdict is None:
        return ""
    shown = [candidate for candidate in verdict.table if candidate.candidate in (REAL_HALF, SYNTHETIC)]
    rows = [
        {
            "name": f"{respect.name}, {candidate.candidate}",
            "value": getattr(candidate.measures.similarity, respect.name),
            # A bar from nothing: these are shares of what real clips score, without an interval.
            "low": 0.0,
            "high": getattr(candidate.measures.similarity, respect.name),
            "hue": charts.colour("teacher" if candidate.candidate == REAL_HALF else "artefact"),
        }
        for respect in fields(Similarities)
        for candidate in shown
    ]
    return charts.figure(charts.intervals(rows, "similarity to real spectrograms"), "The generator", verdict.sentence)


def cost(run: RunFolder, stages: Stages) -> str:
    """Lay out wall time, peak memory and examples per second of each stage."""
    speeds = {name: rate for name in TRAINED if (rate := examples_per_second(run, name, stages))}
    lines = [
        (
            name,
            f"{stage.wall_s:.0f}",
            number(stage.peak_rss_bytes / 1e6 if stage.peak_rss_bytes else None, 0),
            number(stage.peak_gpu_bytes / 1e6 if stage.peak_gpu_bytes else None, 0),
            number(speeds.get(name), 0),
        )
        for name, stage in stages.items()
    ]
    return table(("stage", "wall time, s", "peak memory, MB", "on the GPU, MB", "examples per second"), lines)


def examples_per_second(run: RunFolder, name: str, stages: Stages) -> float | None:
    """Return the crops per second of a stage's training, from its seconds per step; None where it tells none."""
    seconds = [record.step_seconds for record in history(run, name)]
    batch: Any = stages[name].config if name in stages else {}
    for key in _BATCH_SIZE[name]:
        batch = batch.get(key, {})
    # The middle epoch: the first one holds what libraries compile, and any one may have met a busy neighbour.
    return float(batch / sorted(seconds)[len(seconds) // 2]) if seconds and batch else None
