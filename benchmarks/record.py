"""One row of the results, with exactly the keys of `results.json`.

Conventions: CCC on test songs against the raters' mean; `ccc_drop` is the teacher's mean CCC minus the row's, with its
paired interval; latency is waveform in to emotion out for one clip, in milliseconds; a ratio is a row's time over that
of the reference kernel timed just before and after it; what was not measured is None and `reason` says why.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pocketmood.errors import RunError
from pocketmood.records import from_json
from pocketmood.runs import StageFile, read_json, write_text

PASSED = "passed"
MEASURED = "measured"
INVALID = "failed validation"
FAILED = "failed"
NOT_RUN = "not run"
LEFT_OUT = "left out"
"""Of a program that export did not put into the bundle."""
PREDICTIONS = "predictions"
"""Folder beside results.json: a later run is compared with this one song by song."""


@dataclass
class Record:
    """Figures of one artefact or baseline; None where there is none.

    Not frozen, as records are otherwise: each step of a measurement fills in its own figures, and a step that fails
    must leave those of the others.
    """

    name: str
    """What the row is called, in every file."""
    runtime: str | None = None
    """The runtime that executes it, as "ONNX Runtime"."""
    precision: str | None = None
    """Of its arithmetic: "fp32", "int8", ..."""
    size_bytes: int | None = None
    """Of the file, or of all files of a package."""
    params: int | None = None
    """Trained numbers."""
    ccc_valence: float | None = None
    ccc_arousal: float | None = None
    ccc_mean: float | None = None
    """CCC of test songs per axis, and the mean of both; of signs, where labels are signs."""
    ccc_mean_low: float | None = None
    ccc_mean_high: float | None = None
    """The mean's 95 % interval over songs."""
    ccc_drop: float | None = None
    """The teacher's mean CCC less this one's."""
    latency_ms_median: float | None = None
    latency_ms_p95: float | None = None
    """Waveform in to emotion out, once warm; 95 % of the calls are faster than the latter."""
    threads: int | None = None
    """Threads that the runtime might use meanwhile."""
    peak_rss_bytes: int | None = None
    """Peak memory of a fresh process; on a phone that of the runner."""
    delegated_subgraphs: int | None = None
    """Parts of a `.pte` that XNNPACK computes."""
    undelegated_ops: int | None = None
    """Operators left outside of them."""
    status: str = MEASURED
    """One of the words above; NOT_RUN may go on with what is missing."""
    reason: str = ""
    """Sentences about what was not measured, or went wrong."""
    ccc_drop_low: float | None = None
    ccc_drop_high: float | None = None
    """The drop's 95 % interval, over the same resampled songs for both."""
    parity_error: float | None = None
    """Largest difference to PyTorch on the export stage's clips."""
    real_time_factor: float | None = None
    """Latency over the clip's length: below 1 is faster than the music plays."""
    first_ms: float | None = None
    """First call after loading; latency_* are steady state, after the warm-up."""
    load_ms: float | None = None
    """Opening the file, with its runtime's libraries already there."""
    latency_ms_by_threads: dict[str, float] | None = None
    """Median at further numbers of threads."""
    latency_ratio: float | None = None
    """Latency over the reference kernel's around each call, median."""
    cpu_time_ratio: float | None = None
    """Processor time on one thread over the reference kernel's, median of `cpu_time_ratios`."""
    cpu_time_ratios: list[float] | None = None
    """Round by round, so that a later run can be compared with this one beyond noise (see `benchmarks.cpu_time`)."""
    auc_valence: float | None = None
    auc_arousal: float | None = None
    quadrant_accuracy: float | None = None
    """Where labels are signs: AUC of each sign, and share of songs put into their quadrant (`pocketmood.signs`)."""
    auc_valence_low: float | None = None
    auc_valence_high: float | None = None
    auc_arousal_low: float | None = None
    auc_arousal_high: float | None = None
    quadrant_accuracy_low: float | None = None
    quadrant_accuracy_high: float | None = None
    """Ends of their 95 % intervals over songs."""
    speedup_over_teacher: float | None = None
    """How many times faster than the teacher on its own input: median of the teacher's time over the row's, both of
    the same round; below 1 is slower."""

    def note(self, why: str) -> None:
        """Add a sentence to the reason, once."""
        # Once: a row is looked at several times (opened, scored, weighed, timed), and may be hindered alike each time.
        if why not in self.reason:
            self.reason = f"{self.reason}; {why}" if self.reason else why

    def fail(self, why: str) -> None:
        """Mark the row as failed, for this reason."""
        self.status = FAILED
        self.note(why)


@dataclass(frozen=True)
class BenchmarksRecord:
    """What the stage says of its result, in its stage.json."""

    machine: dict[str, Any]
    """Processor, system and versions, as `benchmarks.machine.describe` gives them."""
    threads_used: dict[str, int]
    """Runtime -> threads that it says it uses."""
    songs: int
    """Test songs behind the CCC."""
    failed: tuple[str, ...]
    """Names of the rows that failed."""
    caption: str
    """The line below the table."""

    @classmethod
    def of(cls, stage: StageFile) -> BenchmarksRecord:
        """Read the record of a finished stage `benchmarks`."""
        return from_json(cls, stage.record, "the record of the stage `benchmarks`", "run the benchmarks again")


KEYS: tuple[str, ...] = tuple(field.name for field in fields(Record))


def to_json(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return what `results.json` holds; numbers that are not finite become null."""

    def plain(value: Any) -> Any:
        # JSON has no NaN: Python writes one all the same, and nothing else can read the file.
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return [{key: plain(getattr(record, key)) for key in KEYS} for record in records]


def write_results(path: Path, records: Iterable[Record]) -> None:
    """Write `results.json`: a line per key, and a row's many ratios on one line."""
    # json.dump's own indent would give every ratio of thirty rounds a line.
    rows = [
        ",\n".join(f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in row.items())
        for row in to_json(records)
    ]
    write_text(path, "[\n" + ",\n".join(f"  {{\n{row}\n  }}" for row in rows) + "\n]\n")


def read_results(path: Path) -> list[Record]:
    """Read `results.json`; RunError if its keys are not those of this version."""
    rows = read_json(path)
    if not isinstance(rows, list):
        raise RunError(f"{path}: no list of rows; run the benchmarks again")
    # Missing keys as well: a figure that an earlier version did not know must not look like one not measured.
    return [from_json(Record, row, f"{path}: a row", "run the benchmarks again") for row in rows]
