"""The table of student architectures: a row's accuracy, size and latency, the Pareto front, Markdown and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.studies import ablation
from benchmarks.studies.result_files import markdown_table
from benchmarks.table import number
from pocketmood.spec import MelSpec
from student.config import SIDE

SPEC = MelSpec()


@dataclass(frozen=True)
class ArchitectureRow:
    """A network that is shown some frames: what it costs and how right it is. The file holds just these fields."""

    name: str
    """What the row is called."""
    model: str
    """timm's name."""
    stride: int
    """Frames of the spectrogram for one shown frame."""
    mean: bool
    """Shown is their mean, not the first of them."""
    shown: str
    """The same in words."""
    frames: int
    """Shown frames of a whole clip."""
    crop_frames: int
    """Shown frames of a training crop."""
    parameters: int
    """Trained numbers of the network."""
    steps: int
    """Optimiser steps of the first seed's training."""
    step_seconds: float
    """Wall time of such a step."""
    ccc: float
    """Mean CCC of valence and arousal on the test songs, mean over seeds."""
    low: float
    high: float
    """95 % interval of `ccc` over songs and seeds."""
    seed_deviation: float | None
    """Standard deviation of the mean CCC over seeds; None for one seed."""
    difference: float | None
    """`ccc` less that of the first row; None in the first row."""
    difference_low: float | None
    difference_high: float | None
    """95 % interval of `difference` over songs and seeds; None in the first row."""
    ms: float | None = None
    """Median latency of the program; None where there is none that runs."""
    p95_ms: float | None = None
    """95 % of its calls are faster; None like `ms`."""
    size_bytes: int | None = None
    """Of the program; None where the network could not be lowered."""
    delegated_subgraphs: int | None = None
    """Parts of the program that XNNPACK computes; None without a program."""
    undelegated_ops: int | None = None
    """Operators left outside of them; None without a program."""
    reason: str | None = None
    """Why there is no program, or no time."""


@dataclass(frozen=True)
class ArchitecturesResult:
    """All rows, and under what conditions they were made."""

    rows: tuple[ArchitectureRow, ...]
    """One per network and way to show it frames."""
    pareto: tuple[str, ...]
    """Names of the rows on the front of CCC against latency."""
    songs: int
    """Test songs."""
    seeds: int
    """Trainings per row."""
    threads: int
    """Asked of the timed programs."""
    threads_used: dict[str, int]
    """What each runtime says it uses."""
    repeats: int
    """Timed calls per program."""
    crop_hops: int
    """Length of the shortest training crop, in hops of the spectrogram."""
    teacher_stride: int
    """Stride at which the teacher saw the clips."""
    corpus: str
    """Name of the data set."""
    machine: dict[str, Any]
    """`benchmarks.machine.describe`."""


def pareto(rows: Sequence[ArchitectureRow]) -> tuple[str, ...]:
    """Name the rows that no other row beats: none at least as accurate and at least as fast, and better in one."""
    # A row without a program is on no front, however accurate.
    timed = [(row.name, row.ccc, row.ms) for row in rows if row.ms is not None]

    def beaten(ccc: float, ms: float) -> bool:
        # Twins do not beat each other: both stay on the front.
        return any(c >= ccc and t <= ms and (c > ccc or t < ms) for _, c, t in timed)

    return tuple(name for name, ccc, ms in timed if not beaten(ccc, ms))


def table(result: ArchitecturesResult) -> str:
    """Lay out the rows, those of the Pareto front with a star."""
    head = ["network", "shown", "frames", "CCC", "95 %", "over seeds", f"less {result.rows[0].name}", "Mpar", "ms",
            "p95", "MB", "graphs", "front"]  # fmt: skip
    lines = []
    for row in result.rows:
        lowered = row.delegated_subgraphs is not None
        lines.append([
            row.model, row.shown, str(row.frames), f"{row.ccc:.3f}", f"{row.low:.3f} .. {row.high:.3f}",
            ablation.scatter(row.seed_deviation),
            ablation.difference_text(row.difference, row.difference_low, row.difference_high),
            f"{row.parameters / 1e6:.2f}", number(row.ms, 1), number(row.p95_ms, 1),
            number(row.size_bytes / 1e6 if row.size_bytes else None, 1),
            f"{row.delegated_subgraphs}+{row.undelegated_ops}" if lowered else "-",
            "*" if row.name in result.pareto else "",
        ])  # fmt: skip
    return markdown_table(head, lines)


def notes(result: ArchitecturesResult) -> list[str]:
    """Say what the numbers are."""
    machine = result.machine
    # In seconds, because frames are of another length in every row.
    seconds = result.crop_hops * SPEC.hop / SPEC.sample_rate
    several = f"mean of {result.seeds} seeds" if result.seeds > 1 else "one seed"
    text = (
        f"{several}, {result.rows[0].steps} steps each on crops of {seconds:.1f} s, {result.songs} test songs of "
        f"{result.corpus}. ms: waveform of 30 s in to emotion out in the fp32 program, {result.threads} threads, "
        f"median of {result.repeats} calls in turns on {machine['cpu']} ({', '.join(machine['flags'])}). graphs: "
        "delegated subgraphs + operators left outside. A star: no other row is at least as accurate and at least as "
        f"fast. {ablation.intervals(result.seeds)} Where intervals overlap, so may the front."
    )
    shown = (
        "1 in n: the front end computes every n-th frame. mean of n: it computes all of them, with n times the work, "
        "and the network sees the mean level of each n neighbours."
    )
    # Both favour some rows over others, and no interval shows it.
    strides = (
        f"Crops and whole clips of strides that do not divide them into multiples of {SIDE} frames are shorter, down "
        f"to nine tenths; and the teacher itself has stride {result.teacher_stride}, which favours rows of it."
    )
    return [text, shown, strides, *(f"{row.name}: {row.reason}" for row in result.rows if row.reason)]
