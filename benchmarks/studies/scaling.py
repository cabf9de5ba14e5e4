"""Latency over the window and over the batch: for choosing a window, and for labelling a library of music.

`python -m benchmarks.studies.scaling --run runs/demo` puts the run's student behind the spectrogram of windows of 5 to
60 s, and of batches of up to 16 clips of 30 s, times all of them in turns (ONNX Runtime and eager PyTorch), and writes
OUT.json and OUT.md. A longer window shows the network more frames, at about the stride it was trained with; what it
predicts for other windows than its own is not claimed to be right.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.alternatives import write_traced
from benchmarks.latency import Turns, pin_threads, take_turns
from benchmarks.machine import describe
from benchmarks.studies.result_files import RESULTS, markdown_table, parse_command, write_result
from pocketmood import command
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError, RunError
from pocketmood.onnx_session import open_session
from pocketmood.spec import MelSpec

if TYPE_CHECKING:
    from torch import Tensor

    from export.pipeline import Pipeline

WINDOWS_S = (5, 10, 15, 20, 30, 45, 60)
BATCHES = (1, 2, 4, 8, 16)
RUNTIMES = ("ONNX Runtime", "PyTorch")
SIDE_STEP = 64
"""Sides of MobileViT's pictures are multiples of this."""


@dataclass(frozen=True)
class ScalingConfig:
    """Which student to time, and how often."""

    run: Path
    """Run folder with a finished student."""
    threads: int = 2
    """Threads that both runtimes may use."""
    repeats: int = 15
    """Timed calls per shape."""
    out: Path = RESULTS / "scaling"
    """Result files without their endings."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be measured."""
        if min(self.threads, self.repeats) < 1:
            raise ConfigError(f"--threads {self.threads} and --repeats {self.repeats} must be at least 1")


class Shape(NamedTuple):
    """What is predicted at once: so many clips of so many seconds, seen as so many frames, every `stride`-th one."""

    seconds: float
    batch: int
    frames: int
    stride: int


def shape_for(seconds: float, batch: int, spec: MelSpec, stride: int) -> Shape:
    """Choose the largest picture that a window fills at about this stride; RunError for a window that is too short."""
    # Frames at about the student's own stride, so that a frame of the picture stands for as much time as in training.
    window = MelSpec(**{**spec.to_dict(), "seconds": seconds})
    whole = window.frames(window.samples)
    frames = max(whole // stride // SIDE_STEP, 1) * SIDE_STEP
    if whole < frames:
        raise RunError(f"a window of {seconds:g} s has {whole} frames; a picture needs {SIDE_STEP}")
    return Shape(seconds, batch, frames, whole // frames)


def pipeline_for(run: RunFolder, shape: Shape) -> Pipeline:
    """Put the run's student behind the spectrogram of this shape."""
    from export.pipeline import build
    from export.rewrite import for_onnx
    from student.mobilevit import load_student

    # No layer of MobileViT depends on the picture's width: the same weights see longer windows.
    student, _ = load_student(run.made("student"))
    spec = MelSpec(**{**student.spec.to_dict(), "seconds": shape.seconds})
    return for_onnx(build(student, spec, shape.stride, shape.frames))


def calls_for(run: RunFolder, shape: Shape, threads: int, runtimes: Sequence[str]) -> dict[str, Callable[[], object]]:
    """Return a call per runtime that predicts noise of this shape: what is heard does not change how long it takes."""
    import torch

    pipeline = pipeline_for(run, shape)
    wave = 0.1 * torch.randn(shape.batch, pipeline.spec.samples, generator=torch.Generator().manual_seed(0))

    def eager() -> object:
        with torch.inference_mode():
            return pipeline(wave)

    # Made only where asked for: exporting takes a second per shape.
    return {runtime: eager if runtime == "PyTorch" else _onnx_call(pipeline, wave, threads) for runtime in runtimes}


def _onnx_call(pipeline: Pipeline, wave: Tensor, threads: int) -> Callable[[], object]:
    # The tracing exporter fixes the batch of its example: here that is what a shape means.
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "pipeline.onnx"
        write_traced(pipeline, wave, program, ("waveform", "emotion"))
        session = open_session(program.read_bytes(), threads)
    given = {"waveform": wave.numpy()}
    return lambda: session.run(None, given)


def measure(run: RunFolder, threads: int, repeats: int) -> dict[str, Any]:
    """Time all shapes in all runtimes, in turns."""
    student = run.student
    spec, stride = student.spec, student.stride
    used = pin_threads(threads)

    windows = [shape_for(seconds, 1, spec, stride) for seconds in WINDOWS_S]
    batches = [shape_for(spec.seconds, batch, spec, stride) for batch in BATCHES]
    calls = {
        (runtime, shape): call
        for shape in {*windows, *batches}
        for runtime, call in calls_for(run, shape, threads, RUNTIMES).items()
    }
    # Rows are called by text; a shape's number stands for it.
    names = {str(place): key for place, key in enumerate(calls)}
    timings = take_turns({name: calls[key] for name, key in names.items()}, Turns(2, repeats, pause_s=0.01))
    # A hole in the table would hide the very shape that does not work.
    broken = [timing.failure for timing in timings.values() if timing.failure]
    if broken:
        raise RunError(f"scaling: {broken[0]}")
    times = {names[name]: float(np.median(timing.times_ms)) for name, timing in timings.items()}

    def rows(shapes: Sequence[Shape]) -> list[dict[str, Any]]:
        return [
            {"runtime": runtime, **shape._asdict(), "ms": times[runtime, shape],
             "clips_per_second": 1e3 * shape.batch / times[runtime, shape],
             "times_real_time": 1e3 * shape.batch * shape.seconds / times[runtime, shape]}
            for runtime in RUNTIMES
            for shape in shapes
        ]  # fmt: skip

    return {"model": student.name, "windows": rows(windows), "batches": rows(batches), "threads": threads,
            "threads_used": used, "repeats": repeats, "machine": describe()}  # fmt: skip


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lay out the shapes."""
    lines = [
        [row["runtime"], f"{row['seconds']:g}", str(row["batch"]), str(row["frames"]), f"{row['ms']:.1f}",
         f"{row['clips_per_second']:.1f}", f"{row['times_real_time']:.0f}"]
        for row in rows
    ]  # fmt: skip
    return markdown_table(["runtime", "seconds", "clips", "frames", "ms", "clips per second", "times real time"], lines)


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and write both files."""
    return run(*parse_command(ScalingConfig, "benchmarks.studies.scaling", __doc__, args))


def run(config: ScalingConfig, typed: str) -> int:
    """Measure, print, and write both files; typed: the command for the result's head."""
    results = measure(RunFolder(config.run), config.threads, config.repeats)
    place = results["machine"]
    caption = (
        f"{results['model']}, {config.threads} threads, medians of {config.repeats} calls in turns, on {place['cpu']} "
        f"({', '.join(place['flags'])}). Waveform in, emotion out."
    )
    parts = [table(results["windows"]), table(results["batches"]), caption]
    write_result(config.out, "Windows and batches", typed, results, parts)
    print("\n\n".join(parts), flush=True)
    return 0


if __name__ == "__main__":
    command.start(main)
