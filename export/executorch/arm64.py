"""`python -m export.executorch.arm64 --run runs/x`: a bundle's ExecuTorch programs on ARM64, without a phone.

The golden pairs go through the C++ runner twice: natively, and compiled for ARM64 under qemu. fp32 must give PyTorch's
answers, int8 those of the same program on x86-64. qemu proves the arithmetic of ARM's kernels, not their speed: times
and memory in the records are the native runner's.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from export import native, parity
from export.config import ARTEFACTS
from export.executorch import arm64_tools, kernels
from export.golden import EMOTIONS, INTERVALS, WAVEFORMS, golden_pairs
from pocketmood import command
from pocketmood.errors import BundleError, ExportError
from pocketmood.runs import Stage, file_hash, write_json

SKIPPED = "skipped"
MB = 1e6
NOISE_FACTOR = 2
"""An int8 program may differ between processors by so many times what inaudible noise changes on one of them."""


@dataclass(frozen=True)
class Arm64Config:
    """The check of a bundle's ExecuTorch programs on ARM64: the same golden pairs, and what they ask of a phone."""

    run: Path = Path("runs/demo")
    """Run folder; its bundle must be finished."""
    fp32_limit: float = 1e-4
    """Largest difference allowed between the fp32 program on ARM64 and PyTorch, in both outputs."""
    int8_limit: float = 1e-3
    """Largest difference allowed between the int8 program on ARM64 and on x86-64, or twice its own noise if larger."""
    memory_limit_mb: float = 150
    """Largest peak memory allowed of the native runner, in millions of bytes."""
    repeat: int = 10
    """Native runs of each golden clip, for times."""
    threads: int = 2
    """Threads of the runner."""

    def __post_init__(self) -> None:
        """Refuse numbers that prove nothing."""
        if min(self.repeat, self.threads) < 1 or min(self.fp32_limit, self.int8_limit, self.memory_limit_mb) <= 0:
            raise ExportError("repeat and threads must be at least 1, and all limits above 0")


def main() -> int:
    """Read the command line and run the stage."""
    return run(command.parse({"default": Arm64Config()}, "python -m export.executorch.arm64", __doc__ or ""))


def run(config: Arm64Config) -> int:
    """Make `RUN/arm64/parity.json`, or say that it is up to date; ExportError names the red gates.

    Where the tools cannot be had the records say "skipped" and why, and the next call tries again.
    """
    bundle = config.run / "bundle"
    programs = [one.file for one in ARTEFACTS if one.format == "executorch" and (bundle / one.file).is_file()]
    if not programs:
        raise BundleError(f"{bundle}: holds no .pte; type `make export` first")
    golden_pairs(bundle)  # says what is wrong with them
    inputs = {name: file_hash(bundle / name) for name in (*programs, WAVEFORMS, EMOTIONS, INTERVALS)}
    inputs |= {"runner": native.source_hash(), "executorch": version("executorch")}
    title = f"python -m export.executorch.arm64 --run {config.run}"
    stage = Stage(config.run, "arm64", config, inputs, title)
    if stage.up_to_date():
        return 0
    try:
        machine = arm64_tools.arm64()
    except arm64_tools.NotHereError as reason:
        records = [skipped(name, str(reason)) for name in programs]
        # Made from something else than the proof would be: so it is never taken for one, nor for up to date.
        stage = Stage(config.run, "arm64", config, inputs | {SKIPPED: str(reason)}, title)
    else:
        records = []
    with stage.work() as folder:
        records = records or [check(config, bundle / name, machine) for name in programs]
        write_json(folder / "parity.json", records)
        stage.record |= {"parity": records}
        print(table(records), flush=True)
        red = [line for record in records if record["verdict"] == parity.FAILED for line in parity.failures([record])]
        if red:
            raise ExportError(f"{'; '.join(red)}; records: {folder / 'parity.json'}")
    return 0


def check(config: Arm64Config, program: Path, machine: native.Machine) -> parity.Record:
    """Run one program natively and on ARM64 and return its judged record."""
    waves, golden = golden_pairs(program.parent)
    clips = program.parent / WAVEFORMS
    here = native.this_machine()
    ours = native.run(here, program, clips, config.repeat, config.threads)
    noise = parity.compare(answers_to_noise(here, program, waves, config.threads), ours.answers)["max_error"]
    start = time.perf_counter()
    theirs = native.run(machine, program, clips, threads=config.threads)
    print(f"  {program.name}: {len(waves)} clips under qemu, {time.perf_counter() - start:.0f} s", flush=True)
    int8 = "int8" in program.name
    record = {
        "artefact": program.name,
        "place": machine.name,
        "against": f"the same program on {here.name}" if int8 else "fp32 in PyTorch",
        **parity.compare(theirs.answers, ours.answers if int8 else golden),
        "native_to_pytorch": parity.compare(ours.answers, golden)["max_error"],
        "native_noise": noise,
        **resources(ours, here),
        "operators": kernels.operators(program),
        "delegates": list(theirs.backends),
        "kernel_list": kernels.SOURCE,
    }
    record["unknown_kernels"] = kernels.unknown(record["operators"], theirs.backends, kernels.portable())
    limit = max(config.int8_limit, NOISE_FACTOR * noise) if int8 else config.fp32_limit
    if int8 and limit > config.int8_limit:
        record["reason"] = (
            f"the limit is {NOISE_FACTOR} times the program's own noise, not {config.int8_limit:.0e}: every other "
            f"sample moved by one float32 step changes its answers by {noise:.2g} on {here.name} alone"
        )
    return judge(record, limit, config.memory_limit_mb * MB)


def resources(report: native.Report, machine: native.Machine) -> parity.Record:
    """Say what the native runner needed: qemu's own times and memory tell nothing of a phone."""
    return {
        "native": machine.name,
        "native_threads": report.threads,
        "native_peak_rss_bytes": report.peak_rss_bytes,
        "native_load_ms": report.load_ms,
        "native_first_ms": report.first_ms,
        "native_median_ms": report.median_ms,
        "native_p95_ms": report.p95_ms,
    }


def answers_to_noise(machine: native.Machine, program: Path, waves: parity.Answers, threads: int) -> parity.Answers:
    """Return the answers [N, 4] to waveforms [N, S] of which every other sample is the next larger float32.

    Nobody hears it, but an int8 program may round the other way after it, as it may on another processor: two
    processors cannot be expected to agree more closely than this.
    """
    moved = waves.copy()
    moved[:, ::2] = np.nextafter(moved[:, ::2], np.float32(np.inf))
    with tempfile.NamedTemporaryFile(suffix=".f32") as file:
        moved.astype("<f4").tofile(file.name)
        return native.run(machine, program, Path(file.name), threads=threads).answers


def judge(record: parity.Record, limit: float, memory_limit_bytes: float) -> parity.Record:
    """Add limits, verdict and reasons: parity, memory, and kernels that a phone may lack each close the gate."""
    judged = parity.judge(record, limit, None)
    reasons = [judged["reason"]] if judged["verdict"] == parity.FAILED else []
    peak = record["native_peak_rss_bytes"]
    if peak > memory_limit_bytes:
        reasons.append(f"peak memory of {peak / MB:.0f} MB is beyond the limit of {memory_limit_bytes / MB:.0f} MB")
    if record["unknown_kernels"]:
        reasons.append(f"a phone may lack {', '.join(record['unknown_kernels'])}")
    verdict = parity.FAILED if reasons else parity.PASSED
    reason = "; ".join(reasons) or judged["reason"]
    return judged | {"memory_limit_bytes": memory_limit_bytes, "verdict": verdict, "reason": reason}


def skipped(artefact: str, reason: str) -> parity.Record:
    """Return the record of a program that could not be run on ARM64 here."""
    return {"artefact": artefact, "place": arm64_tools.PLACE, "verdict": SKIPPED, "reason": reason}


def table(records: Sequence[parity.Record]) -> str:
    """Lay the records out for people."""
    heads = ("program", "place", "max error", "limit", "noise", "native ms", "native MB", "outside", "verdict")
    rows = [heads, *(_row(record) for record in records)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    reasons = [f"{record['artefact']}: {record['reason']}" for record in records if record["reason"]]
    return "\n".join([*lines, *reasons])


def _row(record: parity.Record) -> tuple[str, ...]:
    names = ("artefact", "place")
    if record["verdict"] == SKIPPED:
        return (*(record[name] for name in names), "-", "-", "-", "-", "-", "-", SKIPPED)
    return (
        *(record[name] for name in names),
        *(f"{record[name]:.1e}" for name in ("max_error", "limit", "native_noise")),
        f"{record['native_median_ms']:.1f}",
        f"{record['native_peak_rss_bytes'] / MB:.0f}",
        str(len(record["operators"])),
        record["verdict"],
    )


if __name__ == "__main__":
    command.start(main)
