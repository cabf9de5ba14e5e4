"""Which network, and how many frames of the spectrogram: accuracy against the latency of the lowered program.

`python -m benchmarks.studies.student_architectures --run runs/demo` trains a student for each row, a model and the
frames it is shown, lowers it to an fp32 `.pte` as export does, times all programs in turns, waveform in to emotion out,
and writes OUT.json and OUT.md with the Pareto front marked. Trainings and programs are kept in RUN/choices; a killed
run continues.

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
from benchmarks.studies.result_files import RESULTS, markdown_table, parse_command, write_result
from benchmarks.studies.student_rows import ROWS, Choice, common_crops, counted_for, recipe, row_from
from benchmarks.table import number
from pocketmood import command
from pocketmood.data.run_folder import CONFIG_FILE, RunFolder
from pocketmood.errors import RunError
from pocketmood.runs import Stage, file_hash, fingerprint, read_json
from pocketmood.spec import MelSpec
from student.config import PRESETS, SIDE, StudentConfig, with_epochs

if TYPE_CHECKING:
    from student.training_set import TrainingData

NAME = "benchmarks.studies.student_architectures"
SPEC = MelSpec()
PROGRAM = "model.fp32.pte"
ROOT = Path(__file__).resolve().parents[2]
Lower = Callable[[Choice, Path, Path], dict[str, Any]]
"""(row, folder of its student, path of the program) -> what is known of the program."""
Clock = Callable[[Mapping[str, Path], Any, int], dict[str, Any]]
"""(programs, waveform [1, S], calls) -> per name (median ms, 95th percentile), or why it does not run."""


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
            raise RunError("--seeds, --threads and --repeats must be at least 1")
        # Read here, so that a wrong row is refused at once and not after hours of training those before it.
        if not self.choices:
            raise RunError("--rows needs at least one row, for instance mobilevit_xxs:5")

    @property
    def choices(self) -> list[Choice]:
        """The rows, read; RunError for one that is none."""
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
    results = measure(config)
    parts = [table(results), *notes(results)]
    write_result(config.out, "Which network, and how many frames", typed, results, parts)
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


def timed(paths: Mapping[str, Path], wave: Any, repeats: int) -> dict[str, Any]:
    """Time programs in turns: name -> (median ms, 95th percentile), or why one does not run."""
    from export.executorch.to_executorch import read

    def call(program: Any) -> None:
        program(wave)

    opened = {name: partial(call, read(path)) for name, path in paths.items()}
    # In turns, with a pause: a slow minute of the machine costs all rows alike.
    timings = take_turns(opened, Turns(warmup=3, repeats=repeats, pause_s=0.02))
    return {
        name: timing.failure if timing.failure else (timing.median_ms, timing.p95_ms)
        for name, timing in timings.items()
    }


def measure(config: ArchitecturesConfig, lower: Lower = lower, clock: Clock = timed) -> dict[str, Any]:
    """Train, lower, score and time all rows."""
    from pocketmood.training.device import keep_freed_memory
    from student.training_set import TrainingData

    keep_freed_memory()
    # Crops that all rows can express, found before the first training: the strides may have none in common.
    folder = RunFolder(config.run)
    data = TrainingData.open(folder)
    crops = common_crops(data.soft_targets, sorted({choice.stride for choice in config.choices}))
    rows = [train_row(choice, config, data, crops, lower) for choice in config.choices]

    songs = list(data.split.test)
    labels = data.store.labels(songs).astype(float)
    scored = ablation.compare({row["name"]: row.pop("emotion") for row in rows}, labels, songs)
    # Timed at the very end and all together: training beside it would be part of what is measured.
    used = pin_threads(config.threads)
    paths = {row["name"]: path for row in rows if (path := row.pop("program"))}
    times = clock(paths, data.store.waveform(songs[0])[None], config.repeats) if paths else {}
    for row, arm in zip(rows, scored, strict=True):
        row |= judged(arm, times.get(row["name"]))

    crop_hops = [data.soft_targets.crops[crop][1] * data.soft_targets.stride for crop in crops]
    return {
        "rows": rows,
        "pareto": pareto(rows),
        "songs": len(songs),
        "seeds": config.seeds,
        "threads": config.threads,
        "threads_used": used,
        "repeats": config.repeats,
        "crop_hops": min(crop_hops),
        "teacher_stride": read_json(folder.made("teacher") / CONFIG_FILE)["vit"]["stride"],
        "corpus": folder.data_record.corpus,
        "machine": describe(),
    }


def train_row(
    choice: Choice, config: ArchitecturesConfig, data: TrainingData, crops: Sequence[int], lower: Lower
) -> dict[str, Any]:
    """Train a row with every seed and lower its first student, unless that is done; returns the row without times.

    crops: those of the table that all rows share. "emotion" holds the predictions [K, N, 2] for the test songs.
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

    # In shown frames: those are what a reader compares, whatever the front end computes.
    row: dict[str, Any] = {"name": choice.name, **choice._asdict(), "shown": choice.shown}
    row |= {name: getattr(training, name) // choice.pooled for name in ("frames", "crop_frames")}
    row |= {name: stages[0].record[name] for name in ("parameters", "steps", "step_seconds")}
    return row | program(run, choice, stages[0], lower) | {"emotion": np.stack(emotion)}


def exporter(root: Path = ROOT) -> str:
    """Return a hash of the sources that decide what a student is lowered to."""
    sources = [*sorted((root / "export").rglob("*.py")), root / "pocketmood" / "mel.py"]
    return fingerprint({path.relative_to(root).as_posix(): file_hash(path) for path in sources})


def program(run: RunFolder, choice: Choice, trained: Stage, lower: Lower) -> dict[str, Any]:
    """Lower a row's student unless that is done; a network that cannot be lowered keeps its reason."""
    inputs = {"student": trained.fingerprint}
    stage = Stage(_stages(run), f"{choice.name}-program", {"exporter": exporter()}, inputs)
    if not stage.up_to_date(quiet=True):
        print(f"{choice.name}: lowering", flush=True)
        try:
            with stage.work() as work:
                stage.record |= lower(choice, trained.folder, work / PROGRAM)
        except Exception as error:  # exporters raise anything; one network must not cost the others their rows
            why = (str(error).strip().splitlines() or [""])[0]
            return {"program": None, "reason": f"not lowered: {type(error).__name__}: {why}"}

    path = stage.folder / PROGRAM
    graphs = {name: stage.record.get(name) for name in ("delegated_subgraphs", "undelegated_ops")}
    return {"program": path, "size_bytes": path.stat().st_size, **graphs}


def judged(arm: ablation.Arm, time: tuple[float, float] | str | None) -> dict[str, Any]:
    """Return the accuracy and the times of a row; "reason" says why it has none."""
    names = ("ccc", "low", "high", "seed_deviation", "difference", "difference_low", "difference_high")
    ms, p95_ms = time if isinstance(time, tuple) else (None, None)
    found = {**{name: getattr(arm, name) for name in names}, "ms": ms, "p95_ms": p95_ms}
    return found | {"reason": time} if isinstance(time, str) else found


def pareto(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the rows that no other row beats: none at least as accurate and at least as fast, and better in one."""

    def beats(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
        no_worse: bool = a["ccc"] >= b["ccc"] and a["ms"] <= b["ms"]
        better: bool = a["ccc"] > b["ccc"] or a["ms"] < b["ms"]
        # Twins do not beat each other: both stay on the front.
        return no_worse and better

    # A row without a program is on no front, however accurate.
    able = [row for row in rows if row.get("ms") is not None]
    return [row["name"] for row in able if not any(beats(other, row) for other in able)]


def table(results: Mapping[str, Any]) -> str:
    """Lay out the rows, those of the Pareto front with a star."""
    first = results["rows"][0]["name"]
    head = ["network", "shown", "frames", "CCC", "95 %", "over seeds", f"less {first}", "Mpar", "ms", "p95",
            "MB", "graphs", "front"]  # fmt: skip
    lines = []
    for row in results["rows"]:
        # Absent where the network could not be lowered.
        size, graphs = row.get("size_bytes"), row.get("delegated_subgraphs")
        lines.append([
            row["model"], row["shown"], str(row["frames"]), f"{row['ccc']:.3f}",
            f"{row['low']:.3f} .. {row['high']:.3f}", ablation.scatter(row["seed_deviation"]),
            ablation.difference_text(row["difference"], row["difference_low"], row["difference_high"]),
            f"{row['parameters'] / 1e6:.2f}", number(row["ms"], 1), number(row["p95_ms"], 1),
            number(size / 1e6 if size else None, 1),
            f"{graphs}+{row.get('undelegated_ops')}" if graphs is not None else "-",
            "*" if row["name"] in results["pareto"] else "",
        ])  # fmt: skip
    return markdown_table(head, lines)


def notes(results: Mapping[str, Any]) -> list[str]:
    """Say what the numbers are."""
    first, machine = results["rows"][0], results["machine"]
    seconds = results["crop_hops"] * SPEC.hop / SPEC.sample_rate
    several = f"mean of {results['seeds']} seeds" if results["seeds"] > 1 else "one seed"
    text = (
        f"{several}, {first['steps']} steps each on crops of {seconds:.1f} s, {results['songs']} test songs of "
        f"{results['corpus']}. ms: waveform of 30 s in to emotion out in the fp32 program, {results['threads']} "
        f"threads, median of {results['repeats']} calls in turns on {machine['cpu']} "
        f"({', '.join(machine['flags'])}). graphs: delegated subgraphs + operators left outside. A star: no other row "
        f"is at least as accurate and at least as fast. {ablation.intervals(results['seeds'])} Where intervals "
        "overlap, so may the front."
    )
    shown = (
        "1 in n: the front end computes every n-th frame. mean of n: it computes all of them, with n times the work, "
        "and the network sees the mean level of each n neighbours."
    )
    strides = (
        f"Crops and whole clips of strides that do not divide them into multiples of {SIDE} frames are shorter, down "
        f"to nine tenths; and the teacher itself has stride {results['teacher_stride']}, which favours rows of it."
    )
    reasons = [f"{row['name']}: {row['reason']}" for row in results["rows"] if row.get("reason")]
    return [text, shown, strides, *reasons]


def _stages(run: RunFolder) -> Path:
    """Return the folder whose stages are trainings and programs: kept, because each costs minutes."""
    return run.path / "choices"


if __name__ == "__main__":
    command.start(main)
