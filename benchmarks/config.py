"""Settings of the benchmarks, and the presets that the Makefile uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pocketmood.errors import ConfigError
from pocketmood.presets import DEFAULT_RUN


@dataclass(frozen=True)
class BenchmarksConfig:
    """What to measure, how often, and with how many threads."""

    run: Path = DEFAULT_RUN
    """Run folder with finished stages data, teacher, student and bundle."""
    threads: int = 2
    """Threads that every runtime may use."""
    warmup: int = 5
    """Untimed calls of each row before the timed ones."""
    repeats: int = 30
    """Timed calls of each row; the rows take turns."""
    latency_limit_s: float = 20.0
    """On a crowded machine timing ends after this long, with fewer calls per row, but three at least."""
    cpu_time_rounds: int = 30
    """Rounds that measure the artefacts' processor time, which later runs are compared by; 0 leaves it out."""
    pause_ms: float = 10.0
    """Rest before each timed call, so that no runtime's spinning threads slow down the next row."""
    bootstrap: int = 1000
    """Resamplings of the test songs behind each interval."""
    memory: Literal["all", "artefacts", "none"] = "artefacts"
    """Rows whose peak memory is measured, each in a fresh process."""
    alternatives: Literal["all", "one", "none"] = "one"
    """What a user would otherwise pick: librosa with a stock timm network in ONNX Runtime ("one"), also at the
    student's size and through ExecuTorch, and the student under torch.compile ("all"; made once, then kept)."""
    other_threads: bool = False
    """Whether to time the rows again with one thread and with all cores, each in a fresh process."""
    seed: int = 0
    """Seed of the bootstrap and of the order in which rows take turns."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be measured."""
        for name, least in (("threads", 1), ("warmup", 0), ("cpu_time_rounds", 0), ("repeats", 1), ("bootstrap", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"benchmarks: --{name} {getattr(self, name)} is too small; give at least {least}")
        for name in ("pause_ms", "latency_limit_s"):
            if getattr(self, name) < 0:
                flag = name.replace("_", "-")
                raise ConfigError(f"benchmarks: --{flag} {getattr(self, name)} is negative; give 0 or more")

    def settings(self) -> dict[str, Any]:
        """Return everything that changes the figures: all fields but the place of the run folder."""
        return {name: value for name, value in vars(self).items() if name != "run"}


_FULL = BenchmarksConfig(latency_limit_s=45.0, cpu_time_rounds=60, alternatives="all", other_threads=True)
PRESETS: dict[str, BenchmarksConfig] = {
    # Takes minutes more than the demo's: all alternatives are made, and every row is timed three times, with two
    # threads, with one, and with all cores.
    "full": _FULL,
    # What is streamlined is the training: its programs are measured like any other.
    "streamlined": _FULL,
    "demo": BenchmarksConfig(),
    "recordings": BenchmarksConfig(),
    # Shows that the pipes fit; processor time, memory and stock networks would take longer than all stages before it.
    "smoke": BenchmarksConfig(
        warmup=1,
        repeats=5,
        bootstrap=200,
        memory="none",
        alternatives="none",
        cpu_time_rounds=0,
    ),
}
