"""`python -m benchmarks --run runs/x`: measure all rows of a run, print the table, write the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.config import PRESETS, BenchmarksConfig
from benchmarks.record import KEYS
from pocketmood import command, signs
from pocketmood.data.run_folder import RunFolder
from pocketmood.runs import Stage, file_hash, fingerprint, write_text

STAGES_READ = ("data", "teacher", "student", "bundle")


def main(args: Sequence[str] | None = None) -> int:
    """Run the stage `benchmarks`, or print again what it found."""
    about = "Measure CCC, latency, size and memory of teacher, student and every artefact of a run."
    return run(command.parse(PRESETS, "python -m benchmarks", about, args))


def run(config: BenchmarksConfig) -> int:
    """Measure unless the stage is up to date; print the table and, last, one JSON line."""
    stage = make_stage(config)
    if not stage.up_to_date():
        with stage.work() as folder:
            fill(config, stage, folder)

    print((stage.folder / "table.txt").read_text(), flush=True)
    if config.alternatives != "all":
        print(f"four alternatives, one thread, all cores: make benchmarks RUN={config.run}", flush=True)
    print(f"report: {stage.folder / 'report.html'}", flush=True)
    print(json.dumps(last_line(RunFolder(config.run).results)), flush=True)
    return 0


def last_line(results: Path) -> dict[str, Any]:
    """Return what a script wants to know, for the last line of the output."""
    from benchmarks.record import read_results

    times = ("latency_ms_median", "latency_ratio", "speedup_over_teacher")
    keys = ("status", *signs.NAMES, "ccc_mean", "ccc_drop", *times, "size_bytes", "peak_rss_bytes")
    rows = {record.name: {key: getattr(record, key) for key in keys} for record in read_results(results)}
    return {"name": "benchmarks", "results": str(results), "rows": rows}


def make_stage(config: BenchmarksConfig) -> Stage:
    """Describe the stage: its settings, the four stages it reads, and rows taken on phones."""
    run = RunFolder(config.run)
    inputs = {name: run.fingerprint(name) for name in STAGES_READ}
    # Rows of a phone come at any time and belong to no stage: a new one must make the table anew.
    inputs |= {"device": file_hash(run.device_results)} if run.device_results.is_file() else {}
    # A table of an older version lacks columns, and nobody can read it: it is made anew.
    inputs["columns"] = fingerprint(KEYS)
    return Stage(config.run, "benchmarks", config, inputs)


def fill(config: BenchmarksConfig, stage: Stage, folder: Path) -> None:
    """Measure, and write results.json, table.txt, table.md and report.html."""
    # Imported only now: a table that is up to date is printed without any of these libraries.
    from benchmarks import machine, table
    from benchmarks.measure import measure
    from benchmarks.record import FAILED, BenchmarksRecord, write_results
    from benchmarks.report import page

    print(f"benchmarks: {config.repeats} timed calls per row, {config.warmup} to warm up", flush=True)
    run = RunFolder(config.run)
    measured = measure(config, run, folder)

    place = machine.describe()
    caption = table.legend(len(measured.ids), config.threads, run.bundle.spec.seconds, measured.label_kind)
    caption += f" {place['cpu']} ({', '.join(place['flags']) or 'no relevant flags known'})."
    # In stage.json, too, so that a results.json can be told from that of another machine.
    failed = tuple(record.name for record in measured.records if record.status == FAILED)
    stage.record |= asdict(BenchmarksRecord(place, measured.threads_used, len(measured.ids), failed, caption))

    write_results(folder / "results.json", measured.records)
    write_text(folder / "table.txt", table.plain_text(measured.records, caption, run.warnings(), measured.by_corpus))
    write_text(folder / "table.md", table.markdown(measured.records, caption, run.warnings(), measured.by_corpus))
    write_text(folder / "report.html", page.page(config, run, measured, place))


if __name__ == "__main__":
    command.start(main)
