"""Regression gate: `python -m benchmarks.gate --run runs/x` prints a line per broken limit; exit code 1 if any is.

Limits are flags, or keys of `[tool.pocketmood.gate]` in pyproject.toml with the same names. A figure that was not
measured breaks every limit that is asked of it. With `--against RESULTS.JSON` of an earlier run, whatever became worse
beyond noise breaks the gate as well (see `benchmarks.regression`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.record import FAILED, INVALID, LEFT_OUT, Record, read_results
from pocketmood import command
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError, RunError
from pocketmood.label_kind import QUADRANTS, ccc_name

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


@dataclass(frozen=True)
class GateConfig:
    """What the measured rows must keep to."""

    run: Path = Path("runs/demo")
    """Run folder with a finished stage `benchmarks`."""
    rows: tuple[str, ...] = ("model.fp32.onnx", "model.fp32.pte", "model.int8.pte")
    """Rows that every limit holds for; one that is missing, has failed or was refuted breaks the gate."""
    max_drop: float | None = None
    """Largest drop of the mean CCC against the teacher; broken where the drop's 95 % interval lies beyond it."""
    min_ccc: float | None = None
    """Smallest mean CCC."""
    max_parity_error: float | None = None
    """Largest difference to PyTorch."""
    max_latency_ratio: float | None = None
    """Longest median latency, in times of the reference kernel."""
    min_speedup_over_teacher: float | None = None
    """Smallest speed, in times of the teacher's on its own input."""
    max_size_mb: float | None = None
    """Largest file in MB."""
    max_memory_mb: float | None = None
    """Largest peak memory in MB."""
    against: Path | None = None
    """results.json of an earlier run, with the folder `predictions` beside it."""


class Limit(NamedTuple):
    """A limit's flag, the figure it is asked of, and that figure's unit."""

    flag: str
    key: str
    words: str
    unit: float = 1.0
    is_least: bool = False


# A drop is what a program lost against PyTorch on the same songs: fair on targets of +-.5 too, where a CCC itself says
# little. So its limit is the same for labels that are only signs.
DROP = "ccc_drop"
LIMITS = (
    Limit("max_drop", DROP, "CCC drop against the teacher"),
    Limit("min_ccc", "ccc_mean", "mean CCC", is_least=True),
    Limit("max_parity_error", "parity_error", "difference to PyTorch"),
    Limit("max_latency_ratio", "latency_ratio", "latency over the reference kernel's"),
    Limit("min_speedup_over_teacher", "speedup_over_teacher", "speed over the teacher's", is_least=True),
    Limit("max_size_mb", "size_bytes", "size in MB", 1e6),
    Limit("max_memory_mb", "peak_rss_bytes", "peak memory in MB", 1e6),
)


def main(args: Sequence[str] | None = None) -> int:
    """Judge a run by limits from flags and from the project; exit code 1 if one is broken."""
    about = "Compare a run's results with limits from flags or [tool.pocketmood.gate]; exit code 1 if one is broken."
    return run(command.parse({"project": settings(PROJECT)}, "python -m benchmarks.gate", about, args))


def run(config: GateConfig) -> int:
    """Print every broken limit, and the verdict; return the exit code."""
    results = RunFolder(config.run).results
    if not results.is_file():
        raise RunError(f"{results}: not found. Type `python -m benchmarks --run {config.run}` first")
    records = read_results(results)
    broken = broken_limits(config, records)
    if config.against is not None:
        broken += worse_than(config.against, results, config.rows)

    for line in [*open_lines(config, records), *broken]:
        print(f"gate: {line}", flush=True)
    asked = len(asked_limits(config))
    print(f"gate: {'RED' if broken else 'green'}: {len(config.rows)} rows, {asked} limits, {len(broken)} broken")
    return 1 if broken else 0


def settings(project: Path) -> GateConfig:
    """Read the table `[tool.pocketmood.gate]`; ConfigError for a key or a value that is none."""
    table = tomllib.loads(project.read_text()).get("tool", {}).get("pocketmood", {}).get("gate", {})
    known = {field.name for field in fields(GateConfig)} - {"run", "against"}
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        # A key that is spelt wrongly would be a limit that nobody keeps.
        if name not in known:
            flags = ", ".join(sorted(flag.replace("_", "-") for flag in known))
            raise ConfigError(f"{project.name}: [tool.pocketmood.gate] has no key {key!r}; it knows {flags}")
        if name != "rows" and not isinstance(value, int | float):
            raise ConfigError(f"{project.name}: [tool.pocketmood.gate] {key} = {value!r} is no number")
        values[name] = tuple(value) if name == "rows" else float(value)
    return GateConfig(**values)


def asked_limits(config: GateConfig) -> list[tuple[Limit, float]]:
    """Return the limits that have a value; ConfigError if there is none, for such a gate is always green."""
    # Refused rather than passed: a table that lost its limits to a typo in pyproject.toml must not look green.
    asked = [(limit, getattr(config, limit.flag)) for limit in LIMITS if getattr(config, limit.flag) is not None]
    if not asked or not config.rows:
        raise ConfigError("gate: no limit or no row to hold; give --max-drop .05, say, or fill [tool.pocketmood.gate]")
    return asked


def broken_limits(config: GateConfig, records: Sequence[Record]) -> list[str]:
    """Return a line for each broken limit, row by row."""
    asked, named, lines = asked_limits(config), {record.name: record for record in records}, []
    for name in config.rows:
        # Not skipped: a program that is no longer exported would turn the gate green.
        if name not in named:
            lines.append(f"{name}: no such row in the results")
            continue
        record = named[name]
        if record.status in (FAILED, INVALID, LEFT_OUT):
            # Below the table, where no status stands beside it, a reason begins with that word.
            why = record.reason.removeprefix(f"{record.status}: ")
            lines.append(f"{name}: {record.status} ({why})")
        lines += [f"{name}: {line}" for limit, value in asked if (line := broken_line(limit, value, record))]
    return lines


def broken_line(limit: Limit, value: float, record: Record) -> str:
    """Say how a record breaks a limit; nothing if it keeps to it. NaN and figures not measured keep to none."""
    bound = f"{limit.flag.replace('_', '-')} {value:g}"
    found = getattr(record, limit.key)
    if found is None:
        return f"{limit.words} was not measured ({bound})"
    found /= limit.unit
    # Asked so that NaN keeps no limit; `found > value` would let it pass.
    kept = found >= value if limit.is_least else found <= value
    if limit.key == DROP and record.ccc_drop_low is not None:
        # Beyond the limit as a whole: with few songs a single figure is beyond it by chance.
        kept = record.ccc_drop_low <= value
    # A row with an AUC was scored against signs, and its CCC is told as one of signs.
    words = limit.words.replace("CCC", ccc_name(QUADRANTS)) if record.auc_valence is not None else limit.words
    return "" if kept else f"{words} is {found:.4g} ({bound})"


def open_lines(config: GateConfig, records: Sequence[Record]) -> list[str]:
    """Return a line for each row whose CCC drop cannot be told from its limit: the interval lies across it."""
    limit, lines = config.max_drop, []
    if limit is None:
        return []
    for record in (record for record in records if record.name in config.rows):
        low, high = record.ccc_drop_low, record.ccc_drop_high
        if low is not None and high is not None and low <= limit < high:
            lines.append(f"{record.name}: a CCC drop of {low:+.3f} to {high:+.3f} cannot be told (max-drop {limit:g})")
    return lines


def worse_than(then: Path, now: Path, rows: Sequence[str]) -> list[str]:
    """Print what changed since an earlier run, and return the lines of what became worse."""
    from benchmarks import regression

    if not then.is_file():
        raise RunError(f"--against {then}: not found; give the results.json of an earlier run")
    changes = regression.compare(then, now, rows)
    # What became better or stayed is printed as well: a reader wants to see that it was compared at all.
    for change in changes:
        if change.verdict != regression.WORSE:
            print(f"against: {change}", flush=True)
    return [str(change) for change in changes if change.verdict == regression.WORSE]


if __name__ == "__main__":
    command.start(main)
