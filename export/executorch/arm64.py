"""`python -m export.executorch.arm64 --run runs/x`: a bundle's ExecuTorch programs on ARM64, without a phone.

The golden waveforms go through the C++ runner twice: natively, and compiled for ARM64 under qemu. What the programs
predict on ARM64 must lie within their tolerance in the bundle's parity.json of the golden predictions, as on a phone.
qemu proves the arithmetic of ARM's kernels, not their speed: times and memory in the records are the native runner's.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from export import native, parity
from export.executorch import arm64_tools, kernels
from export.golden import GOLDEN_FILES, WAVEFORMS, golden_pairs
from export.parity_record import FAILED, PARITY_FILE, PASSED, Distance, tolerances
from pocketmood import command
from pocketmood.data.run_folder import ARM64, RunFolder
from pocketmood.errors import BundleError, ConfigError, ExportError
from pocketmood.programs import Array
from pocketmood.runs import Stage, file_hash, write_json

SKIPPED = "skipped"
SUFFIX = ".pte"
MB = 1e6


@dataclass(frozen=True)
class Arm64Config:
    """The check of a bundle's ExecuTorch programs on ARM64: golden pairs, memory, and kernels that phones have."""

    run: Path = Path("runs/demo")
    """Run folder; its bundle must be finished."""
    memory_limit_mb: float = 150
    """Largest peak memory allowed of the native runner, in millions of bytes."""
    repeat: int = 10
    """Native runs of each golden clip, for times."""
    threads: int = 2
    """Threads of the runner."""

    def __post_init__(self) -> None:
        """Refuse numbers that prove nothing."""
        if min(self.repeat, self.threads) < 1 or self.memory_limit_mb <= 0:
            raise ConfigError("repeat and threads must be at least 1, and the memory limit above 0")


@dataclass(frozen=True)
class Resources:
    """What the native runner needed: qemu's own times and memory tell nothing of a phone."""

    native: str
    """The machine's architecture."""
    native_threads: int
    """Threads of the runner."""
    native_peak_rss_bytes: int
    """Its peak memory with this program."""
    native_load_ms: float
    """Time to load it."""
    native_first_ms: float | None
    """Time of the first run, which is slower."""
    native_median_ms: float | None
    """Median time of all later runs."""
    native_p95_ms: float | None
    """95th percentile of these."""


@dataclass(frozen=True)
class Arm64Record:
    """How one program did on ARM64; RUN/arm64/parity.json is a list of these, without what was not measured."""

    artefact: str
    """The program's file in the bundle."""
    place: str
    """Where it ran."""
    verdict: str
    """"passed", "failed" or "skipped"."""
    reason: str = ""
    """What closed the gate, or why it was skipped."""
    tolerance: float | None = None
    """Largest difference allowed, as the bundle's parity.json says."""
    distance: Distance | None = None
    """Of the predictions on ARM64 from the golden ones, which are fp32 PyTorch's."""
    distance_to_native: float | None = None
    """Largest difference between ARM64 and this machine; for information."""
    native_to_golden: float | None = None
    """Largest difference between this machine and the golden predictions; for information."""
    native_noise: float | None = None
    """Largest change on this machine after a change of the waveform that nobody hears; for information."""
    resources: Resources | None = None
    """Time and memory of the native runner."""
    memory_limit_bytes: float | None = None
    """Largest peak memory allowed."""
    operators: tuple[str, ...] = ()
    """Operators left to the runtime's kernels."""
    delegates: tuple[str, ...] = ()
    """Delegates that the program asks for."""
    unknown_kernels: tuple[str, ...] = ()
    """Those of both that a phone may lack."""
    kernel_list: str | None = None
    """What says which kernels a phone has."""

    def to_json(self) -> dict[str, Any]:
        """Return one flat object, the fields of distance and resources beside the others."""
        values = asdict(self)
        for part in ("distance", "resources"):
            values |= values.pop(part) or {}
        return {name: value for name, value in values.items() if value is not None}


def main(args: Sequence[str] | None = None) -> int:
    """Read the command line and run the stage."""
    return run(command.parse(Arm64Config, "python -m export.executorch.arm64", __doc__, args))


def run(config: Arm64Config) -> int:
    """Make `RUN/arm64/parity.json`, or say that it is up to date; ExportError names the red gates.

    Where the tools cannot be had the records say "skipped" and why, and the next call tries again.
    """
    folder = RunFolder(config.run)
    bundle = folder.folder("bundle")
    programs = sorted(path.name for path in bundle.glob(f"*{SUFFIX}"))
    if not programs:
        raise BundleError(f"{bundle}: holds no .pte; type `{folder.command('bundle')}` first")
    allowed = tolerances(bundle, SUFFIX)
    unproven = [name for name in programs if name not in allowed]
    if unproven:
        raise BundleError(
            f"{bundle / PARITY_FILE}: no record of {', '.join(unproven)}; type `{folder.command('bundle')}` first"
        )
    golden_pairs(bundle)  # says what is wrong with them

    proof = (*programs, *GOLDEN_FILES, PARITY_FILE)  # whoever changes a tolerance wants another verdict
    inputs = {name: file_hash(bundle / name) for name in proof}
    inputs |= {"runner": native.source_hash(), "executorch": version("executorch")}
    stage = Stage(folder.path, ARM64, config, inputs)
    if stage.up_to_date():
        return 0

    try:
        machine = arm64_tools.arm64()
    except arm64_tools.NotHereError as reason:
        records = [Arm64Record(name, arm64_tools.PLACE, SKIPPED, str(reason)) for name in programs]
        # Made from something else than the proof would be: so it is never taken for one, nor for up to date.
        stage = Stage(folder.path, ARM64, config, inputs | {SKIPPED: str(reason)})
    else:
        records = []

    with stage.work() as work:
        records = records or [check(config, bundle / name, machine, allowed[name]) for name in programs]
        write_json(work / PARITY_FILE, [record.to_json() for record in records])
        stage.record |= {"parity": [record.to_json() for record in records]}
        print(table(records), flush=True)
        red = [f"{record.artefact}: {record.reason}" for record in records if record.verdict == FAILED]
        if red:
            raise ExportError(f"{'; '.join(red)}; records: {work / PARITY_FILE}")
    return 0


def check(config: Arm64Config, program: Path, machine: native.Machine, tolerance: float) -> Arm64Record:
    """Run one program natively and on ARM64 and return its judged record."""
    waves, golden = golden_pairs(program.parent)
    clips = program.parent / WAVEFORMS
    here = native.this_machine()
    on_this = native.run(here, program, clips, config.repeat, config.threads)
    after_noise = predictions_of_noise(here, program, waves, config.threads)

    # No times from here: qemu takes 4 to 12 s for a forward pass.
    start = time.perf_counter()
    on_arm = native.run(machine, program, clips, threads=config.threads)
    print(f"  {program.name}: {len(waves)} clips under qemu, {time.perf_counter() - start:.0f} s", flush=True)

    operators = kernels.operators(program)
    unknown = kernels.unknown(operators, on_arm.backends, kernels.portable())
    distance = parity.compare(on_arm.predictions, golden)
    reasons = faults(distance, tolerance, unknown, on_this.peak_rss_bytes, config.memory_limit_mb * MB)
    return Arm64Record(
        artefact=program.name,
        place=machine.name,
        verdict=FAILED if reasons else PASSED,
        reason="; ".join(reasons),
        tolerance=tolerance,
        distance=distance,
        distance_to_native=parity.compare(on_arm.predictions, on_this.predictions).max_error,
        native_to_golden=parity.compare(on_this.predictions, golden).max_error,
        native_noise=parity.compare(after_noise, on_this.predictions).max_error,
        resources=resources(on_this, here),
        memory_limit_bytes=config.memory_limit_mb * MB,
        operators=tuple(operators),
        delegates=tuple(on_arm.backends),
        unknown_kernels=tuple(unknown),
        kernel_list=kernels.SOURCE,
    )


def resources(report: native.Report, machine: native.Machine) -> Resources:
    """Take time and memory from what the native runner reported."""
    return Resources(
        native=machine.name,
        native_threads=report.threads,
        native_peak_rss_bytes=report.peak_rss_bytes,
        native_load_ms=report.load_ms,
        native_first_ms=report.first_ms,
        native_median_ms=report.median_ms,
        native_p95_ms=report.p95_ms,
    )


def predictions_of_noise(machine: native.Machine, program: Path, waves: Array, threads: int) -> parity.Outputs:
    """Predict waveforms [N, S] of which every other sample is the next larger float32: [N, 4].

    Nobody hears it, but an int8 program may round the other way after it, as it may on another processor: two
    processors cannot be expected to agree more closely than this.
    """
    moved = waves.copy()
    moved[:, ::2] = np.nextafter(moved[:, ::2], np.float32(np.inf))
    with tempfile.NamedTemporaryFile(suffix=".f32") as file:
        moved.astype("<f4").tofile(file.name)
        return native.run(machine, program, Path(file.name), threads=threads).predictions


def faults(
    distance: Distance, tolerance: float, unknown_kernels: Sequence[str], peak_bytes: int, limit_bytes: float
) -> list[str]:
    """List what closes the gate: parity, memory, or kernels that a phone may lack."""
    found = []
    if not distance.max_error <= tolerance:  # NaN is not within
        found.append(f"largest error {distance.max_error:.2g} is beyond the tolerance of {tolerance:.2g}")
    if peak_bytes > limit_bytes:
        found.append(f"peak memory of {peak_bytes / MB:.0f} MB is beyond the limit of {limit_bytes / MB:.0f} MB")
    if unknown_kernels:
        found.append(f"a phone may lack {', '.join(unknown_kernels)}")
    return found


def table(records: Sequence[Arm64Record]) -> str:
    """Lay the records out for people."""
    heads = ("program", "place", "max error", "tolerance", "to native", "noise", "native ms", "native MB", "outside",
             "verdict")  # fmt: skip
    reasons = [f"{record.artefact}: {record.reason}" for record in records if record.reason]
    return "\n".join([parity.columns([heads, *map(_row, records)]), *reasons])


def _row(record: Arm64Record) -> tuple[str, ...]:
    errors = (record.distance and record.distance.max_error, record.tolerance, record.distance_to_native,
              record.native_noise)  # fmt: skip
    needed = record.resources
    return (
        record.artefact,
        record.place,
        *("-" if error is None else f"{error:.1e}" for error in errors),
        "-" if needed is None or needed.native_median_ms is None else f"{needed.native_median_ms:.1f}",
        "-" if needed is None else f"{needed.native_peak_rss_bytes / MB:.0f}",
        "-" if record.verdict == SKIPPED else str(len(record.operators)),
        record.verdict,
    )


if __name__ == "__main__":
    command.start(main)
