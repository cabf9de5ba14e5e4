"""Latency of whole programs, waveform in to emotion out, beside what a user would build by hand and the teacher.

`python -m benchmarks.studies.program_latency` exports students with random weights (weights do not change times), times
all rows in turns and writes OUT.json and OUT.md. With `--parts` the fp32 `.pte` is also timed in parts: front end
alone, network alone, and what is left: handing over and calling. Programs are kept in `--work`; a killed run continues.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.alternatives import OURS, OWN, Alternative
from benchmarks.latency import Turns, pin_threads, take_turns
from benchmarks.machine import describe
from benchmarks.studies.result_files import RESULTS, markdown_table, parse_command, write_result
from benchmarks.studies.timed_programs import FRAMES, SPEC, waves, write_programs
from benchmarks.table import number
from pocketmood import command
from pocketmood.errors import ConfigError, RunError

MODELS = ("mobilevit_s", "mobilevit_xs", "mobilevit_xxs")
TEACHER = "ViT-B/16 teacher"
GOALS = {"alternative": {True: 4.0, False: 2.5}, "teacher": {True: 12.0, False: 8.0}}
"""How many times faster the best `.pte` of mobilevit_s has to be, on processors with int8 dot products and without."""
DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}
Call = Callable[[], object]


@dataclass(frozen=True)
class ProgramLatencyConfig:
    """Which programs to time, how often, and beside what."""

    models: tuple[str, ...] = MODELS
    """timm's names."""
    threads: int = 2
    """Threads that every runtime may use."""
    repeats: int = 40
    """Timed calls per row."""
    parts: bool = False
    """Time front end and network of the fp32 program alone, too."""
    teacher: bool = True
    """Time the teacher as well, which takes seconds per call."""
    work: Path = Path("runs/whole_program")
    """Keeps the programs."""
    out: Path = RESULTS / "whole-program"
    """Result files without their endings."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be measured."""
        if min(self.threads, self.repeats) < 1:
            raise ConfigError(f"--threads {self.threads} and --repeats {self.repeats} must be at least 1")


@dataclass(frozen=True)
class Opened:
    """A row that is ready to be timed."""

    call: Call
    """One prediction of one clip."""
    size_bytes: int | None = None
    """Of the file; None where no file is the row's own."""
    delegated_subgraphs: int | None = None
    """Parts that XNNPACK computes; None for other runtimes."""
    undelegated_ops: int | None = None
    """Operators that XNNPACK left to slower kernels."""


@dataclass(frozen=True)
class Timed:
    """A timed row, as the result keeps it."""

    name: str
    """Name of the row."""
    ms: float
    """Median."""
    p95_ms: float
    """95 % of the calls are faster."""
    size_bytes: int | None
    """Of the file; None where no file is the row's own."""
    delegated_subgraphs: int | None
    """Parts that XNNPACK computes; None for other runtimes."""
    undelegated_ops: int | None
    """Operators that it left to slower kernels; None for other runtimes."""


@dataclass(frozen=True)
class Speedup:
    """How many times faster the best `.pte` of a model is than another row."""

    model: str
    """timm's name of the network."""
    best: str
    """The `.pte` that is fastest."""
    against: str
    """Name of the other row."""
    times_faster: float
    """Median of round-wise ratios."""


@dataclass(frozen=True)
class Results:
    """All that one call of this study found out."""

    rows: tuple[Timed, ...]
    """Every timed row."""
    ratios: tuple[Speedup, ...]
    """The best programs against the other rows."""
    threads: int
    """Threads asked of each runtime."""
    threads_used: dict[str, int]
    """What each runtime says it uses."""
    repeats: int
    """Timed calls per row."""
    machine: dict[str, Any]
    """`benchmarks.machine.describe`."""


def open_rows(config: ProgramLatencyConfig, model: str) -> dict[str, Opened]:
    """Open the rows of a student."""
    from export.onnx import to_onnx
    from pocketmood.programs import open_method

    # int8 is calibrated on more of the same noise; here one clip is enough.
    wave = waves(1)[0]
    opened: dict[str, Opened] = {}
    for file, (path, facts) in write_programs(config.work, model, config.parts).items():
        graphs = facts.get("delegated_subgraphs"), facts.get("undelegated_ops")
        call: Call
        if file.endswith(".onnx"):
            call = partial(to_onnx.read(path, config.threads), wave)
        else:
            # The network alone takes a spectrogram; silence takes as long as music.
            given = np.zeros((1, 1, SPEC.bands, FRAMES), np.float32) if file == "network.pte" else wave
            call = partial(open_method(path), given)
        opened[file] = Opened(call, path.stat().st_size, *graphs)

    for alternative in (Alternative(model, OWN, "ONNX Runtime"), Alternative(model, OURS, "ONNX Runtime")):
        ready = alternative.open(config.work / "alternatives", SPEC, config.threads)
        name = f"librosa + stock {alternative.picture} in ONNX Runtime"
        opened[name] = Opened(partial(ready.predict, wave[0]), ready.size_bytes)
    return opened


def open_teacher(threads: int) -> Opened:
    """Open the full preset's teacher with its front end in PyTorch, published size and random weights."""
    from benchmarks.latency import pin_torch
    from benchmarks.torch_rows import torch_row
    from teacher.presets import PRESETS
    from teacher.vit import build_teacher

    pin_torch(threads)
    # Random weights: the published ones would be a download, and take just as long.
    config = PRESETS["full"].vit
    model = build_teacher(config, architecture={})
    return Opened(partial(torch_row(model, SPEC, config.stride, config.frames).predict, waves(1)[0, 0]))


def measure(config: ProgramLatencyConfig) -> Results:
    """Time all rows of all models in one interleaved run."""
    used = pin_threads(config.threads)
    opened = {f"{model} {name}": row for model in config.models for name, row in open_rows(config, model).items()}
    if config.teacher:
        opened[TEACHER] = open_teacher(config.threads)

    calls = {name: row.call for name, row in opened.items()}
    timings = take_turns(calls, Turns(3, config.repeats, pause_s=0.02), show=sys.stderr.isatty())
    failed = {name: timing.failure for name, timing in timings.items() if timing.failure}
    # A table with a hole is no result to keep: ratios to the missing row would be missing as well.
    if failed:
        raise RunError("; ".join(f"{name}: {why}" for name, why in failed.items()))

    rows = []
    for name, timing in timings.items():
        row = opened[name]
        graphs = row.delegated_subgraphs, row.undelegated_ops
        rows.append(Timed(name, timing.median_ms, timing.p95_ms, row.size_bytes, *graphs))
    times = {name: np.asarray(timing.times_ms) for name, timing in timings.items()}
    speedups = [speedup for model in config.models for speedup in compare(model, times)]
    return Results(tuple(rows), tuple(speedups), config.threads, used, config.repeats, describe())


def compare(model: str, times: Mapping[str, NDArray[np.float64]]) -> list[Speedup]:
    """Return how many times faster the best `.pte` of a model is than stock networks and the teacher."""
    # The best of both: which one a user would ship depends on the processor (see DOT_PRODUCTS).
    programs = [f"{model} fp32.pte", f"{model} int8.pte"]
    best = min(programs, key=lambda name: float(np.median(times[name])))
    others = [name for name in times if "librosa" in name and name.startswith(f"{model} ")]
    others += [TEACHER] if TEACHER in times else []
    # Round by round, because rows of one round share what the machine did meanwhile.
    return [Speedup(model, best, other, float(np.median(times[other] / times[best]))) for other in others]


def table(results: Results) -> str:
    """Lay out the rows."""
    lines = []
    for row in results.rows:
        graphs = "-" if row.delegated_subgraphs is None else f"{row.delegated_subgraphs}+{row.undelegated_ops}"
        size = number(row.size_bytes / 1e6 if row.size_bytes else None, 1)
        lines.append([row.name, number(row.ms, 1), number(row.p95_ms, 1), size, graphs])
    return markdown_table(["row", "ms", "p95", "MB", "graphs"], lines)


def notes(results: Results) -> list[str]:
    """Say what was measured, how many times faster the best program is, and which goals hold."""
    machine = results.machine
    dots = bool(DOT_PRODUCTS & set(machine["flags"]))
    text = (
        f"{results.threads} threads, medians of {results.repeats} calls in turns, on {machine['cpu']} "
        f"({', '.join(machine['flags'])}; int8 dot products: {'yes' if dots else 'no'}). graphs: delegated subgraphs + "
        "operators left outside."
    )
    lines = []
    for ratio in results.ratios:
        goal = GOALS["teacher"][dots] if ratio.against == TEACHER else GOALS["alternative"][dots]
        # Goals were set for networks as timm makes them; at our size a stock network has less to do.
        asked = ratio.against == TEACHER or str(OWN) in ratio.against
        verdict = f" (goal {goal:g}: {'holds' if ratio.times_faster >= goal else 'MISSED'})" if asked else ""
        lines.append(f"- {ratio.best}: {ratio.times_faster:.2f} times faster than {ratio.against}{verdict}")
    return [text, "\n".join(lines), *_parts(results.rows)]


def _parts(rows: Sequence[Timed]) -> list[str]:
    """Say where the time of each fp32 program goes, where the parts were timed."""
    ms = {row.name: row.ms for row in rows}
    lines = []
    for name in [name for name in ms if name.endswith(" front.pte")]:
        model = name.split()[0]
        whole, front, network = (ms[f"{model} {part}.pte"] for part in ("fp32", "front", "network"))
        # The rest is handing over and calling; timed apart, parts may also add up to more than the whole.
        lines.append(
            f"- {model} fp32.pte {whole:.1f} ms = front end {front:.1f} + network {network:.1f} + rest "
            f"{whole - front - network:+.1f}"
        )
    return ["\n".join(lines)] if lines else []


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and write both files."""
    return run(*parse_command(ProgramLatencyConfig, "benchmarks.studies.program_latency", __doc__, args))


def run(config: ProgramLatencyConfig, typed: str) -> int:
    """Measure, print, and write both files; typed: the command for the result's head."""
    results = measure(config)
    parts = [table(results), *notes(results)]
    write_result(config.out, "Whole programs", typed, asdict(results), parts)
    print("\n\n".join(parts), flush=True)
    return 0


if __name__ == "__main__":
    command.start(main)
