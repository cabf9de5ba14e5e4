"""One row of the results, with exactly the keys of `results.json`.

Conventions: CCC on test songs against the raters' mean; `ccc_drop` is the teacher's mean CCC minus the row's; latency
is waveform in to emotion out for one clip, in milliseconds; what was not measured is None and `reason` says why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pocketmood.errors import RunError
from pocketmood.runs import read_json, write_json

PASSED = "passed"
MEASURED = "measured"
INVALID = "failed validation"
FAILED = "failed"
NOT_RUN = "not run"


@dataclass
class Record:
    """Figures of one artefact or baseline; None where there is none."""

    name: str
    runtime: str | None = None
    precision: str | None = None
    size_bytes: int | None = None
    params: int | None = None
    ccc_valence: float | None = None
    ccc_arousal: float | None = None
    ccc_mean: float | None = None
    ccc_mean_low: float | None = None
    ccc_mean_high: float | None = None
    ccc_drop: float | None = None
    latency_ms_median: float | None = None
    latency_ms_p95: float | None = None
    threads: int | None = None
    peak_rss_bytes: int | None = None
    delegated_subgraphs: int | None = None
    undelegated_ops: int | None = None
    status: str = MEASURED
    reason: str = ""

    def note(self, why: str) -> None:
        """Add a sentence to the reason, once."""
        if why not in self.reason:
            self.reason = f"{self.reason}; {why}" if self.reason else why

    def fail(self, why: str) -> None:
        """Mark the row as failed, for this reason."""
        self.status = FAILED
        self.note(why)


KEYS: tuple[str, ...] = tuple(field.name for field in fields(Record))


def to_json(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return what `results.json` holds; numbers that are not finite become null."""

    def plain(value: Any) -> Any:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return [{key: plain(getattr(record, key)) for key in KEYS} for record in records]


def write_results(path: Path, records: Iterable[Record]) -> None:
    """Write `results.json`."""
    write_json(path, to_json(records))


def read_results(path: Path) -> list[Record]:
    """Read `results.json`; RunError if its keys are not those of this version."""
    rows = read_json(path)
    for row in rows:
        if set(row) != set(KEYS):
            odd = ", ".join(sorted(set(row) ^ set(KEYS)))
            raise RunError(f"{path}: keys differ from this version's ({odd}); run the benchmarks again")
    return [Record(**row) for row in rows]
