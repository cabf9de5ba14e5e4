"""Which network, and how many frames of the spectrogram: accuracy against the latency of the lowered program.

`python -m benchmarks.studies.student_architectures --run runs/demo` trains a student for each row, a model and the
frames it is shown, lowers it to an fp32 `.pte` as export does, times all programs in turns, waveform in to emotion out,
and writes OUT.json and OUT.md with the Pareto front marked. Trainings and programs are kept in
RUN/student_architectures; a killed run continues.

`benchmarks.studies.student_rows` says what a row is shown, and which crops all of them hear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmarks.latency import Turns, pin_threads, take_turns
from benchmarks.machine import describe
from benchmarks.studies import ablation
from benchmarks.studies.result_files import RESULTS, parse_command, write_result
from benchmarks.studies.student_rows import ROWS, Choice, common_crops, counted_for, recipe, row_from
from benchmarks.studies.student_table import ArchitectureRow, ArchitecturesResult, notes, pareto, table
from export.sources import exporter
from pocketmood import command
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError
from pocketmood.metrics import Array
from pocketmood.runs import Stage
from student.config import PRESETS, StudentConfig, with_epochs
from student.record import TrainingRecord
from teacher.record import SavedTeacher

if TYPE_CHECKING:
    from student.training_set import TrainingData

NAME = "benchmarks.studies.student_architectures"
PROGRAM = "model.fp32.pte"
_PROGRAM_FACTS = ("delegated_subgraphs", "undelegated_ops")
Lower = Callable[[Choice, Path, Path], dict[str, Any]]
"""(row, folder of its student, path of the program) -> what is known of the program."""
Time = tuple[float, float] | str
"""Median and 95th percentile of a program in ms, or why it does not run."""
Clock = Callable[[Mapping[str, Path], Array, int], Mapping[str, Time]]
"""(programs by name, waveform [1, S], calls) -> times by name."""


@dataclass(frozen=True)
class ArchitecturesConfig:
    """Which rows to train, lower and time."""

    run: Path
    """Run folder with finished data and teacher stages."""
    preset: Literal["full", "streamlined", "demo", "smoke"] = "demo"
    """Whose training all rows have."""
    rows: tuple[str, ...] = tuple(row.typed for row in ROWS)
    """MODEL:STRIDE, timm's name and every so-many-th frame, or MODEL:mean5 for the mean of five."""
    epochs: float | None = None
    """Of each training; the preset's if left out."""
    seeds: int = 1
    """Trainings per row."""
    threads: int = 2
    """Of the timed programs."""
    repeats: int = 30
    """Timed calls per program."""
    out: Path = RESULTS / "student-choices"
    """Result files without their endings."""

    def __post_init__(self) -> None:
        """Refuse rows that cannot be read, and numbers that measure nothing."""
        if min(self.seeds, self.threads, self.repeats) < 1:
            raise ConfigError("--seeds, --threads and --repeats must be at least 1")
        # Read here, so that a wrong row is refused at once and not after hours of training those before it.
        if not self.choices:
            raise ConfigError("--rows needs at least one row, for instance mobilevit_xxs:5")

    @property
    def choices(self) -> list[Choice]:
        """The rows, read; ConfigError for one that is none."""
        return [row_from(row) for row in self.rows]

    @property
    def base(self) -> StudentConfig:
        """The training that all rows share."""
        base = PRESETS[self.preset]
        return base if self.epochs is None else with_epochs(base, self.epochs)


def main(args: Sequence[str] | None = None) -> int:
    """Measure from the command line."""
    return run(*parse_command(ArchitecturesConfig, NAME, __doc__, args))


def run(config: ArchitecturesConfig, typed: str = f"python -m {NAME}") -> int:
    """Measure, print, and write both files; typed: the command for the result's head."""
    result = measure(config)
    parts = [table(result), *notes(result)]
    write_result(config.out, "Which network, and how many frames", typed, asdict(result), parts)
    print("\n\n".join(parts), flush=True)
    return 0


def lower(choice: Choice, folder: Path, path: Path) -> dict[str, Any]:
    """Lower a row's student in a folder to a program, as export does; returns what is known of it."""
    # Imported here: executorch alone takes seconds, and a continued run may have all its programs.
    from export.contract import Labels, contract
    from export.executorch import to_executorch
    from export.pipeline import build
    from export.rewrite import for_xnnpack
    from student.mobilevit import load_student

    student, _ = load_student(folder)
    pipeline = build(choice.adapt(student), student.spec, student.stride, student.frames)
    promise = contract(student.spec, student.stride, student.frames, Labels())
    return to_executorch.write(for_xnnpack(pipeline), (1, student.spec.samples), path, promise).to_json()


def timed(paths: Mapping[str, Path], wave: Array, repeats: int) -> dict[str, Time]:
    """Time programs in turns; wave: [1, S]."""
    from export.executorch.to_executorch import read

    def call(program: Any) -> None:
        program(wave)

    opened = {name: partial(call, read(path)) for name, path in paths.items()}
    # In turns, with a pause: a slow minute of the machine costs all rows alike.
    timings = take_turns(opened, Turns(warmup=3, repeats=repeats, pause_s=0.02))
    return {name: timing.failure or (timing.median_ms, timing.p95_ms) for name, timing in timings.items()}


@dataclass(frozen=True)
class TrainedRow:
    """A row whose students are trained, and the first of them lowered."""

    choice: Choice
    """The network, and which frames it is shown."""
    config: StudentConfig
    """Of the last seed's training."""
    record: TrainingRecord
    """Of the first seed's training."""
    emotion: Array
    """[K, N, 2] predictions for the test songs, per seed."""
    program: Path | None
    """None where the network could not be lowered."""
    facts: Mapping[str, int | None]
    """Size and subgraphs of the program."""
    reason: str | None
    """Why there is no program."""


def measure(config: ArchitecturesConfig, lower: Lower = lower, clock: Clock = timed) -> ArchitecturesResult:
    """Train, lower, score and time all rows."""
    from pocketmood.training.device import keep_freed_memory
    from student.training_set import TrainingData

    keep_freed_memory()
    # Crops that all rows can express, found before the first training: the strides may have none in common.
    folder = RunFolder(config.run)
    data = TrainingData.open(folder)
    crops = common_crops(data.soft_targets, sorted({choice.stride for choice in config.choices}))
    trained = [train_row(choice, config, data, crops, lower) for choice in config.choices]

    songs = list(data.split.test)
    labels = data.store.labels(songs).astype(float)
    arms = ablation.compare({row.choice.name: row.emotion for row in trained}, labels, songs)
    # Timed at the very end and all together: training beside it would be part of what is measured.
    used = pin_threads(config.threads)
    paths = {row.choice.name: row.program for row in trained if row.program}
    times = clock(paths, data.store.waveform(songs[0])[None], config.repeats) if paths else {}
    rows = tuple(joined(row, arm, times.get(arm.name)) for row, arm in zip(trained, arms, strict=True))

    return ArchitecturesResult(
        rows=rows,
        pareto=pareto(rows),
        songs=len(songs),
        seeds=config.seeds,
        threads=config.threads,
        threads_used=used,
        repeats=config.repeats,
        crop_hops=min(data.soft_targets.crops[crop][1] * data.soft_targets.stride for crop in crops),
        teacher_stride=SavedTeacher.load(folder.made("teacher")).vit.stride,
        corpus=folder.data_record.corpus,
        machine=describe(),
    )


def train_row(
    choice: Choice, config: ArchitecturesConfig, data: TrainingData, crops: Sequence[int], lower: Lower
) -> TrainedRow:
    """Train a row with every seed and lower its first student, unless that is done.

    crops: those of the table that all rows share.
    """
    from student.train_once import stage_inputs, train_once

    run = RunFolder(config.run)
    music = data._replace(soft_targets=counted_for(choice, data.soft_targets, crops))
    pooling = {"pooled": choice.pooled} if choice.mean else {}
    emotion, stages = [], []
    for seed in range(config.seeds):
        training = recipe(config.base, choice, music.soft_targets, seed)
        # What the table's crops became is no field of the config, but decides the training as much.
        settings = asdict(training) | {"crops": music.soft_targets.crops} | pooling
        stages.append(Stage(_stages(run), f"{choice.name}-{seed}", settings, stage_inputs(run)))
        emotion.append(train_once(music, training, stages[-1], choice.adapt).emotion)
    program, facts, reason = lowered(run, choice, stages[0], lower)
    return TrainedRow(choice, training, TrainingRecord.of(stages[0]), np.stack(emotion), program, facts, reason)


def lowered(
    run: RunFolder, choice: Choice, trained: Stage, lower: Lower
) -> tuple[Path | None, dict[str, int | None], str | None]:
    """Lower a row's student unless that is done; returns the program and its facts, or None and why there is none."""
    inputs = {"student": trained.fingerprint}
    stage = Stage(_stages(run), f"{choice.name}-program", {"exporter": exporter()}, inputs)
    if not stage.up_to_date(quiet=True):
        print(f"{choice.name}: lowering", flush=True)
        try:
            with stage.work() as work:
                stage.record |= lower(choice, trained.folder, work / PROGRAM)
        except Exception as error:  # exporters raise anything; one network must not cost the others their rows
            why = (str(error).strip().splitlines() or [""])[0]
            return None, {}, f"not lowered: {type(error).__name__}: {why}"

    path = stage.folder / PROGRAM
    graphs = {name: stage.record.get(name) for name in _PROGRAM_FACTS}
    return path, {"size_bytes": path.stat().st_size, **graphs}, None


def joined(row: TrainedRow, arm: ablation.Arm, time: Time | None) -> ArchitectureRow:
    """Join what training, comparison and timing say of a row."""
    ms, p95_ms = time if isinstance(time, tuple) else (None, None)
    pooled = row.choice.pooled
    return ArchitectureRow(
        name=arm.name,
        model=row.choice.model,
        stride=row.choice.stride,
        mean=row.choice.mean,
        shown=row.choice.shown,
        # In shown frames: those are what a reader compares, whatever the front end computes.
        frames=row.config.frames // pooled,
        crop_frames=row.config.crop_frames // pooled,
        parameters=row.record.parameters,
        steps=row.record.steps,
        step_seconds=row.record.step_seconds,
        ccc=arm.ccc,
        low=arm.low,
        high=arm.high,
        seed_deviation=arm.seed_deviation,
        difference=arm.difference,
        difference_low=arm.difference_low,
        difference_high=arm.difference_high,
        ms=ms,
        p95_ms=p95_ms,
        reason=time if isinstance(time, str) else row.reason,
        **row.facts,
    )


def _stages(run: RunFolder) -> Path:
    """Return the folder whose stages are trainings and programs: kept, because each costs minutes."""
    return run.beside("student_architectures")


if __name__ == "__main__":
    command.start(main)
