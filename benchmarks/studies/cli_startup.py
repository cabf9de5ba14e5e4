"""How long a person waits for the first prediction: the wall time from `pocketmood predict SONG` to its first line.

`python -m benchmarks.studies.cli_startup SONG --bundle FOLDER` starts the command several times on a warm disk and
prints one JSON line. The limit is stated beside the figures; a slower machine is no error.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketmood import command
from pocketmood.errors import ConfigError, RunError

LIMIT_S = 1.5


@dataclass(frozen=True)
class CliStartupConfig:
    """What to predict, and how often."""

    song: Path
    """Any audio file."""
    bundle: Path | None = None
    """Bundle folder; the command's own choice if left out."""
    repeats: int = 5
    """Timed starts."""

    def __post_init__(self) -> None:
        """Refuse to time nothing."""
        if self.repeats < 1:
            raise ConfigError(f"--repeats {self.repeats}: give at least 1")


def first_line_s(call: Sequence[str]) -> float:
    """Start a command and return the seconds until its first line; RunError with its last words if it fails."""
    start = time.perf_counter()
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline() if process.stdout else ""
        # Not the end of the process: closing the runtimes is nothing that a person waits for.
        spent = time.perf_counter() - start
        _, errors = process.communicate()
    if process.returncode != 0 or not line:
        last = (errors.strip().splitlines() or ["it printed nothing"])[-1]
        raise RunError(f"`{' '.join(call)}` ended with {process.returncode}: {last}")
    return spent


def measure(call: Sequence[str], repeats: int) -> dict[str, Any]:
    """Time a command's first line `repeats` times, after one start that warms the disk."""
    # Untimed, for the disk: reading every library for the first time is nothing that a second start waits for.
    first_line_s(call)
    times = [first_line_s(call) for _ in range(repeats)]
    return {
        "name": "cli_startup",
        "repeats": repeats,
        "first_prediction_s_median": round(statistics.median(times), 3),
        "first_prediction_s_max": round(max(times), 3),
        "limit_s": LIMIT_S,
        "within_limit": statistics.median(times) <= LIMIT_S,
    }


def predict_call(song: Path, bundle: Path | None) -> list[str]:
    """Return the command a person types, from the environment this Python belongs to."""
    script = Path(sys.executable).with_name("pocketmood")
    # A checkout that is not installed has no script; the module starts the same way.
    start = [str(script)] if script.exists() else [sys.executable, "-m", "pocketmood"]
    return [*start, "predict", str(song), *(["--bundle", str(bundle)] if bundle else [])]


def main(args: Sequence[str] | None = None) -> int:
    """Measure and print one JSON line."""
    name = "python -m benchmarks.studies.cli_startup"
    return run(command.parse(CliStartupConfig, name, __doc__, args, positional=True))


def run(config: CliStartupConfig) -> int:
    """Measure and print one JSON line."""
    print(json.dumps(measure(predict_call(config.song, config.bundle), config.repeats)))
    return 0


if __name__ == "__main__":
    command.start(main)
