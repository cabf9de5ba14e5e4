"""Which network, and how many frames of the spectrogram: accuracy against the latency of the lowered program.

`python -m benchmarks.studies.student_architectures --run runs/demo` trains a student for each row, a model and the
frames it is shown, lowers it to an fp32 `.pte` as export does, times all programs in turns, waveform in to emotion out,
and writes OUT.json and OUT.md with the Pareto front marked. Trainings and programs are kept in RUN/choices; a killed
run continues.

`benchmarks.studies.student_rows` says what a row is shown, and which crops all of them hear.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.latency import Turns, pin_threads, take_turns
from benchmarks.machine import describe
from benchmarks.studies import ablation
from benchmarks.studies.result_files import command_line, markdown_table, write_result
from benchmarks.studies.student_rows import ROWS, Choice, common_crops, counted_for, recipe, row_from
from benchmarks.table import number
from pocketmood import command
from pocketmood.errors import RunError
from pocketmood.runs import Stage, file_hash, fingerprint, read_json, stage_record
from pocketmood.spec import MelSpec
from student.config import PRESETS, SIDE, StudentConfig, with_epochs

if TYPE_CHECKING:
    from student.train_once import Material

SPEC = MelSpec()
PROGRAM = "model.fp32.pte"
ROOT = Path(__file__).resolve().parents[2]
Lower = Callable[[Choice, Path, Path], dict[str, Any]]


def lower(choice: Choice, folder: Path, path: Path) -> dict[str, Any]:
    """Lower a row's student in a folder to a program, as export does; returns what is known of it."""
    from export.contract import contract
    from export.executorch import to_executorch
    from export.pipeline import build
    from export.rewrite import for_xnnpack
    from student.mobilevit import load_student

    student, _ = load_student(folder)
    pipeline = build(choice.fitted(student), student.spec, student.stride, student.frames)
    promise = contract(student.spec, student.stride, student.frames, {})
    return to_executorch.write(for_xnnpack(pipeline), (1, student.spec.samples), path, promise)


def train_all(
    run: Path, base: StudentConfig, choices: Sequence[Choice], seeds: int, lower: Lower
) -> tuple[list[dict[str, Any]], Material, list[int]]:
    """Train and lower every row unless that is done; returns the rows without times, and the crops they heard."""
    from student.train_once import open_material, stage_inputs, trial

    inputs, material = stage_inputs(run), open_material(run)
    crops = common_crops(material.soft_targets, sorted({choice.stride for choice in choices}))
    rows = []
    for choice in choices:
        music = material._replace(soft_targets=counted_for(choice, material.soft_targets, crops))
        pooling = {"pooled": choice.pooled} if choice.mean else {}
        said, stages = [], []
        for seed in range(seeds):
            config = recipe(base, choice, music.soft_targets, seed)
            settings = asdict(config) | {"crops": music.soft_targets.crops} | pooling
            stages.append(Stage(run / "choices", f"{choice.name}-{seed}", settings, inputs))
            said.append(trial(music, config, stages[-1], choice.fitted).emotion)
        row = {"name": choice.name, **choice._asdict(), "shown": choice.shown}
        row |= {name: getattr(config, name) // choice.pooled for name in ("frames", "crop_frames")}
        row |= {name: stages[0].record[name] for name in ("parameters", "steps", "step_seconds")}
        rows.append(row | program(run, choice, stages[0], lower) | {"said": np.stack(said)})
    return rows, material, crops


def exporter(root: Path = ROOT) -> str:
    """Return a hash of the sources that decide what a student is lowered to."""
    sources = [*sorted((root / "export").glob("*.py")), root / "pocketmood" / "mel.py"]
    return fingerprint({path.name: file_hash(path) for path in sources})


def program(run: Path, choice: Choice, trained: Stage, lower: Lower) -> dict[str, Any]:
    """Lower a row's student unless that is done; a network that cannot be lowered keeps its reason."""
    inputs = {"student": trained.fingerprint}
    stage = Stage(run / "choices", f"{choice.name}-program", {"exporter": exporter()}, inputs)
    if not stage.up_to_date(quiet=True):
        print(f"{choice.name}: lowering", flush=True)
        try:
            with stage.work() as work:
                stage.record |= lower(choice, trained.folder, work / PROGRAM)
        except Exception as error:  # exporters raise anything; one network must not cost the others their rows
            why = (str(error).strip().splitlines() or [""])[0]
            return {"program": None, "reason": f"not lowered: {type(error).__name__}: {why}"}
    path = stage.folder / PROGRAM
    facts = {"delegated_subgraphs": stage.record.get("delegated_subgraphs"),
             "undelegated_ops": stage.record.get("undelegated_ops")}  # fmt: skip
    return {"program": path, "size_bytes": path.stat().st_size, **facts}


def timed(paths: Mapping[str, Path], wave: Any, repeats: int) -> dict[str, Any]:
    """Time programs in turns: name -> (median ms, 95th percentile), or why one does not run."""
    from export.executorch.to_executorch import read

    def ask(program: Any) -> None:
        program(wave)

    opened = {name: partial(ask, read(path)) for name, path in paths.items()}
    timings = take_turns(opened, Turns(3, repeats, pause_s=0.02))
    return {
        name: timing.failure if timing.failure else (timing.median_ms, timing.p95_ms)
        for name, timing in timings.items()
    }


def pareto(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the rows that no other row beats: none at least as accurate and at least as fast, and better in one."""

    def beats(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
        no_worse = a["ccc"] >= b["ccc"] and a["ms"] <= b["ms"]
        return no_worse and (a["ccc"] > b["ccc"] or a["ms"] < b["ms"])

    able = [row for row in rows if row.get("ms") is not None]
    return [row["name"] for row in able if not any(beats(other, row) for other in able)]


def measure(
    run: Path, base: StudentConfig, choices: Sequence[Choice], seeds: int, threads: int, repeats: int,
    lower: Lower = lower, clock: Callable[..., dict[str, Any]] = timed,
) -> dict[str, Any]:  # fmt: skip
    """Train, lower, score and time all rows."""
    from pocketmood.training.device import keep_freed_memory

    keep_freed_memory()
    rows, material, crops = train_all(run, base, choices, seeds, lower)
    songs = list(material.split.test)
    labels = material.store.labels(songs).astype(float)
    scored = ablation.compare({row["name"]: row.pop("said") for row in rows}, labels, songs)
    used = pin_threads(threads)
    paths = {row["name"]: path for row in rows if (path := row.pop("program"))}
    times = clock(paths, material.store.waveform(songs[0])[None], repeats) if paths else {}
    for row, arm in zip(rows, scored, strict=True):
        row |= {name: getattr(arm, name) for name in ("ccc", "low", "high", "seed_deviation", "difference")}
        row |= {"difference_low": arm.difference_low, "difference_high": arm.difference_high}
        found = times.get(row["name"])
        row["ms"], row["p95_ms"] = found if isinstance(found, tuple) else (None, None)
        if isinstance(found, str):
            row["reason"] = found
    heard = [material.soft_targets.crops[crop][1] * material.soft_targets.stride for crop in crops]
    facts = {"songs": len(songs), "seeds": seeds, "threads": threads, "threads_used": used, "repeats": repeats}
    corpus = stage_record(run / "data", "make data")["record"].get("corpus")
    teacher_stride = read_json(run / "teacher" / "config.json")["vit"]["stride"]
    facts |= {"crop_hops": min(heard), "teacher_stride": teacher_stride, "corpus": corpus, "machine": describe()}
    return {"rows": rows, "pareto": pareto(rows), **facts}


def table(results: Mapping[str, Any]) -> str:
    """Lay out the rows, those of the Pareto front with a star."""
    first = results["rows"][0]["name"]
    head = ["network", "shown", "frames", "CCC", "95 %", "over seeds", f"less {first}", "Mpar", "ms", "p95",
            "MB", "graphs", "front"]  # fmt: skip
    lines = []
    for row in results["rows"]:
        size, graphs = row.get("size_bytes"), row.get("delegated_subgraphs")
        interval = f"{row['low']:.3f} .. {row['high']:.3f}"
        gain = "" if row["difference"] is None else (
            f"{row['difference']:+.3f} [{row['difference_low']:+.3f}, {row['difference_high']:+.3f}]"
        )  # fmt: skip
        lines.append([
            row["model"], row["shown"], str(row["frames"]), f"{row['ccc']:.3f}", interval,
            ablation.scatter(row["seed_deviation"]), gain, f"{row['parameters'] / 1e6:.2f}", number(row["ms"], 1),
            number(row["p95_ms"], 1), number(size / 1e6 if size else None, 1),
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
    strides = (
        f"Crops and whole clips of strides that do not divide them into multiples of {SIDE} frames are shorter, down "
        f"to nine tenths; and the teacher itself has stride {results['teacher_stride']}, which favours rows of it."
    )
    reasons = [f"{row['name']}: {row['reason']}" for row in results["rows"] if row.get("reason")]
    shown = (
        "1 in n: the front end computes every n-th frame. mean of n: it computes all of them, with n times the work, "
        "and the network sees the mean level of each n neighbours."
    )
    return [text, shown, strides, *reasons]


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print, and write both files."""
    args = sys.argv[1:] if args is None else list(args)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.student_architectures", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--run", type=Path, required=True, help="run folder with finished data and teacher stages")
    parser.add_argument("--preset", choices=list(PRESETS), default="demo", help="whose training all rows have")
    parser.add_argument("--rows", nargs="+", type=row_from, default=ROWS, metavar="MODEL:STRIDE",
                        help="timm's name, and every so-many-th frame or, as MODEL:mean5, their mean")  # fmt: skip
    parser.add_argument("--epochs", type=float, default=None, help="of each training; the preset's if left out")
    parser.add_argument("--seeds", type=int, default=1, help="trainings per row")
    parser.add_argument("--threads", type=int, default=2, help="of the timed programs")
    parser.add_argument("--repeats", type=int, default=30, help="timed calls per program")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/studies/results/student-choices"))
    chosen = parser.parse_args(args)
    if min(chosen.seeds, chosen.threads, chosen.repeats) < 1:
        raise RunError("--seeds, --threads and --repeats must be at least 1")
    base = PRESETS[chosen.preset]
    if chosen.epochs is not None:
        base = with_epochs(base, chosen.epochs)
    results = measure(chosen.run, base, chosen.rows, chosen.seeds, chosen.threads, chosen.repeats)
    typed = command_line("benchmarks.studies.student_architectures", args)
    parts = [table(results), *notes(results)]
    write_result(chosen.out, "Which network, and how many frames", typed, results, parts)
    print("\n\n".join(parts), flush=True)


if __name__ == "__main__":
    command.start(main)
