"""The C++ runner: built against the libraries in the executorch wheel, for this machine or another, and called.

A phone has the runtime and no Python; so has the runner, and its peak memory and times are the program's own.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketmood.errors import ExportError
from pocketmood.runs import fingerprint

SOURCE = Path(__file__).with_name("executorch") / "runner" / "pte_runner.cpp"
HEADER = SOURCE.with_name("json.h")
CACHE = Path(__file__).resolve().parents[1] / ".cache" / "pte_runner"
LIBRARIES = ("executorch", "executorch_kernels_optimized", "executorch_backend_xnnpack", "executorch_threadpool")
# What the wheel's own CMake package asks of whoever compiles against its headers.
DEFINITIONS = ("C10_USING_CUSTOM_GENERATED_MACROS", "ET_EVENT_TRACER_ENABLED")
BUILD_LIMIT_S, RUN_LIMIT_S = 300, 900


@dataclass(frozen=True)
class Machine:
    """Where programs run: how to compile for it, the runtime's libraries, and what starts its binaries here."""

    name: str
    """Its architecture, and in parentheses what stands for it."""
    compiler: str
    """The C++ compiler that builds for it."""
    executorch: Path
    """The unpacked package: `include` and `lib` lie in it."""
    emulator: tuple[str, ...] = ()
    """Words before the runner's own that start it here; empty on the machine itself."""


@dataclass(frozen=True)
class Report:
    """What the runner printed; times in ms, `first_ms` of the very first run, median and p95 of all later ones."""

    contract: dict[str, Any]
    """The contract that the program holds."""
    backends: tuple[str, ...]
    """Delegates that the program asks for."""
    predictions: NDArray[np.float32]
    """[N, 4]: valence, arousal, and the interval68 of each; N is 0 without waveforms."""
    threads: int
    """Threads of the runner."""
    load_ms: float
    """Time to load the program."""
    peak_rss_bytes: int
    """Peak memory of the process."""
    first_ms: float | None = None
    """Of the very first run; None where nothing ran."""
    median_ms: float | None = None
    """Of all later runs; None where there was none."""
    p95_ms: float | None = None
    """95 % of these are faster; None where there was none."""


def this_machine() -> Machine:
    """Return the machine under this process, with the installed executorch; ExportError where a part is missing."""
    compiler, package = shutil.which("g++"), find_spec("executorch")
    if compiler is None:
        raise ExportError("g++: not found, so the runner cannot be built (Debian: apt-get install g++)")
    if package is None or not package.submodule_search_locations:
        raise ExportError("executorch: not installed here; type `make setup` first")
    return Machine(platform.machine(), compiler, Path(next(iter(package.submodule_search_locations))))


def build(machine: Machine) -> Path:
    """Return the runner for a machine; it is compiled where source, compiler or libraries have changed (5 s)."""
    command = compile_command(machine)
    about = {"source": source_hash(), "command": command, "compiler": _call([machine.compiler, "--version"], 60)}
    folder = CACHE / f"{machine.name.split()[0]}-{fingerprint(about)}"
    binary = folder / "pte_runner"
    if not binary.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        # Built under a name of its own and renamed: two processes may build at once, and one may be killed.
        part = folder / f"pte_runner.{os.getpid()}"
        _call([*command, "-o", str(part)], BUILD_LIMIT_S)
        part.replace(binary)
    return binary


def source_hash() -> str:
    """Identify the runner's source."""
    return fingerprint([SOURCE.read_text(), HEADER.read_text()])


def compile_command(machine: Machine) -> list[str]:
    """Return the compiler's command line, all but where to write."""
    include, libraries = machine.executorch / "include", machine.executorch / "lib"
    c10 = include / "executorch" / "runtime" / "core" / "portable_type" / "c10"
    return [
        *(machine.compiler, "-std=c++17", "-O2", *(f"-D{name}" for name in DEFINITIONS)),
        *("-isystem", str(include), "-isystem", str(c10), str(SOURCE), f"-L{libraries}", f"-Wl,-rpath,{libraries}"),
        # Kernels and delegates register themselves when they are loaded; nothing refers to them by name.
        *("-Wl,--no-as-needed", *(f"-l{name}" for name in LIBRARIES)),
    ]


def run(machine: Machine, program: Path, waveforms: Path | None = None, repeat: int = 1, threads: int = 0) -> Report:
    """Run a program on clips of raw float32, each `repeat` times; ExportError with the runner's own words."""
    command = [*machine.emulator, str(build(machine)), str(program)]
    if waveforms is not None:
        command += ["--waveforms", str(waveforms), "--repeat", str(repeat)]

    found = json.loads(_call([*command, "--threads", str(threads)], RUN_LIMIT_S))
    # The runner writes null for what is no number; float64 in between keeps all digits of a float32.
    predictions = np.array(found.get("predictions", []), dtype=np.float64).astype(np.float32).reshape(-1, 4)
    times = {name: found.get(name) for name in ("first_ms", "median_ms", "p95_ms")}
    return Report(
        contract=found["contract"],
        backends=tuple(found["backends"]),
        predictions=predictions,
        threads=found["threads"],
        load_ms=found["load_ms"],
        peak_rss_bytes=found["peak_rss_bytes"],
        **times,
    )


def _call(command: list[str], limit_s: int) -> str:
    """Return what a command prints; ExportError with the line that says what went wrong."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=limit_s
        )
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"{Path(command[0]).name}: no end after {limit_s} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}, and not a word"]
        line = next((line for line in lines if "error: " in line), lines[-1])
        raise ExportError(f"{Path(command[0]).name}: {line.removeprefix('error: ')}")
    return done.stdout
