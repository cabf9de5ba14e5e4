"""How fast a whole program answers, waveform in to emotion out, beside what a user would build by hand and the teacher.

`python -m benchmarks.studies.program_latency` exports students with random weights (weights do not change times), times
all rows in turns and writes OUT.json and OUT.md. With `--parts` the fp32 `.pte` is also timed in parts: front end
alone, network alone, and what is left: handing over and calling. Programs are kept in `--work`; a killed run continues.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.alternatives import OURS, OWN, Alternative
from benchmarks.latency import Turns, pin_threads, quiet, take_turns
from benchmarks.machine import describe
from benchmarks.studies.result_files import command_line, markdown_table, write_result
from benchmarks.studies.student_architectures import exporter
from benchmarks.table import number
from pocketmood import command
from pocketmood.errors import RunError
from pocketmood.runs import Stage
from pocketmood.spec import MelSpec

if TYPE_CHECKING:
    from torch import nn

    from export.pipeline import Pipeline

SPEC, STRIDE, FRAMES = MelSpec(), 5, 256
MODELS = ("mobilevit_s", "mobilevit_xs", "mobilevit_xxs")
TEACHER = "ViT-B/16 teacher"
GOALS = {"alternative": {True: 4.0, False: 2.5}, "teacher": {True: 12.0, False: 8.0}}
"""How many times faster the best `.pte` of mobilevit_s has to be, on processors with int8 dot products and without."""
DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}
Call = Callable[[], object]


def student_pipeline(model: str) -> Pipeline:
    """Return front end and student of random weights, whose norms hold what a short training would leave."""
    import torch

    from export.pipeline import build
    from student.mobilevit import Student

    torch.manual_seed(0)
    return build(Student(model, STRIDE, FRAMES, SPEC), SPEC, STRIDE, FRAMES)


def waves(count: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return noise [N, 1, S]: what is heard does not change how long it takes."""
    noise = np.random.default_rng(seed).normal(0, 0.1, (count, 1, SPEC.samples))
    return np.clip(noise, -1, 1).astype(np.float32)


def make(work: Path, model: str, parts: bool) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Write the programs of a student unless they are there: row -> file and the facts that its writer tells."""
    writers: dict[str, Callable[[Path], dict[str, Any]]] = {
        "fp32.pte": partial(_write_pte, model),
        "int8.pte": partial(_write_int8, model),
        "fp32.onnx": partial(_write_onnx, model),
    }
    if parts:
        writers |= {"front.pte": partial(_write_front, model), "network.pte": partial(_write_network, model)}
    made = {}
    for file, write in writers.items():
        settings = {"spec": SPEC.to_dict(), "exporter": exporter()}
        stage = Stage(work, f"{model}.{file}", settings, {}, "python -m benchmarks.studies.program_latency")
        if not stage.up_to_date(quiet=True):
            print(f"{stage.name}: exporting", flush=True)
            with stage.work() as folder, quiet():
                stage.record |= write(folder / file)
        made[file] = (stage.folder / file, stage.record)
    return made


def _write_pte(model: str, path: Path) -> dict[str, Any]:
    from export.rewrite import for_xnnpack

    return _lower(for_xnnpack(student_pipeline(model)), (1, SPEC.samples), path)


def _write_int8(model: str, path: Path) -> dict[str, Any]:
    import torch

    from export.int8.quantise import quantise
    from export.rewrite import for_xnnpack

    int8 = quantise(for_xnnpack(student_pipeline(model)), (torch.from_numpy(wave) for wave in waves(4)))
    return _lower(int8.module, (1, SPEC.samples), path)


def _write_onnx(model: str, path: Path) -> dict[str, Any]:
    from export.contract import contract
    from export.onnx import to_onnx
    from export.rewrite import for_onnx

    return to_onnx.write(for_onnx(student_pipeline(model)), path, contract(SPEC, STRIDE, FRAMES, {}))


def _write_front(model: str, path: Path) -> dict[str, Any]:
    from export.rewrite import for_xnnpack

    return _lower(for_xnnpack(student_pipeline(model)).front, (1, SPEC.samples), path)


def _write_network(model: str, path: Path) -> dict[str, Any]:
    from export.rewrite import XnnpackPipeline, for_xnnpack

    whole = for_xnnpack(student_pipeline(model))
    return _lower(XnnpackPipeline(_nothing(), whole.network, SPEC), (1, 1, SPEC.bands, FRAMES), path)


def _nothing() -> nn.Module:
    from torch import nn

    return nn.Identity()


def _lower(module: nn.Module, shape: tuple[int, ...], path: Path) -> dict[str, Any]:
    from export.executorch import to_executorch

    return to_executorch.write(module, shape, path, {})


def rows(work: Path, model: str, threads: int, parts: bool) -> dict[str, tuple[Call, dict[str, Any]]]:
    """Open the rows of a student: name -> the call to time, and what is known of its program."""
    from export.executorch import to_executorch
    from export.onnx import to_onnx

    wave = waves(1)[0]
    opened: dict[str, tuple[Call, dict[str, Any]]] = {}
    for file, (path, facts) in make(work, model, parts).items():
        known = facts | {"size_bytes": path.stat().st_size}
        if file.endswith(".onnx"):
            opened[file] = partial(to_onnx.read(path, threads), wave), known
        else:
            shape = (1, 1, SPEC.bands, FRAMES) if file == "network.pte" else wave.shape
            given = np.zeros(shape, np.float32) if file == "network.pte" else wave
            opened[file] = partial(to_executorch.open_method(path), given), known
    for alternative in (Alternative(model, OWN, "ONNX Runtime"), Alternative(model, OURS, "ONNX Runtime")):
        ready = alternative.open(work / "alternatives", SPEC, threads)
        name = f"librosa + stock {alternative.picture} in ONNX Runtime"
        opened[name] = partial(ready.predict, wave[0]), {"size_bytes": ready.size_bytes}
    return opened


def teacher(threads: int) -> Call:
    """Open the full preset's teacher with its front end in PyTorch, published size and random weights."""
    import torch

    from benchmarks.torch_rows import torch_row
    from teacher.config import PRESETS
    from teacher.vit import build_teacher

    torch.set_num_threads(threads)
    config = PRESETS["full"].vit
    model = build_teacher(config, architecture={})
    return partial(torch_row(model, SPEC, config.stride, config.frames).predict, waves(1)[0, 0])


def measure(
    models: Sequence[str], work: Path, threads: int, repeats: int, parts: bool, with_teacher: bool
) -> dict[str, Any]:
    """Time all rows of all models in one interleaved run."""
    used = pin_threads(threads)
    opened = {f"{model} {name}": row for model in models for name, row in rows(work, model, threads, parts).items()}
    calls = {name: call for name, (call, _) in opened.items()}
    if with_teacher:
        calls[TEACHER] = teacher(threads)
    timings = take_turns(calls, Turns(3, repeats, pause_s=0.02), show=sys.stderr.isatty())
    failed = {name: timing.failure for name, timing in timings.items() if timing.failure}
    if failed:
        raise RunError("; ".join(f"{name}: {why}" for name, why in failed.items()))
    times = {name: np.asarray(timing.times_ms) for name, timing in timings.items()}
    found = [
        {"name": name, "ms": float(np.median(row)), "p95_ms": float(np.percentile(row, 95)), **_known(opened, name)}
        for name, row in times.items()
    ]
    ratios = [one for model in models for one in compare(model, times)]
    return {"rows": found, "ratios": ratios, "threads": threads, "threads_used": used, "repeats": repeats,
            "machine": describe()}  # fmt: skip


def _known(opened: Mapping[str, tuple[Call, dict[str, Any]]], name: str) -> dict[str, Any]:
    facts = opened[name][1] if name in opened else {}
    return {key: facts.get(key) for key in ("size_bytes", "delegated_subgraphs", "undelegated_ops")}


def compare(model: str, times: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return how many times faster the best `.pte` of a model is than each other row: medians of round-wise ratios."""
    programs = [f"{model} fp32.pte", f"{model} int8.pte"]
    best = min(programs, key=lambda name: float(np.median(times[name])))
    others = [name for name in times if "librosa" in name and name.startswith(f"{model} ")]
    others += [TEACHER] if TEACHER in times else []
    return [
        {"model": model, "best": best, "against": other, "times_faster": float(np.median(times[other] / times[best]))}
        for other in others
    ]


def table(results: Mapping[str, Any]) -> str:
    """Lay out the rows."""
    lines = [
        [
            row["name"], number(row["ms"], 1), number(row["p95_ms"], 1),
            number(row["size_bytes"] / 1e6 if row["size_bytes"] else None, 1),
            "-" if row["delegated_subgraphs"] is None else f"{row['delegated_subgraphs']}+{row['undelegated_ops']}",
        ]
        for row in results["rows"]
    ]  # fmt: skip
    return markdown_table(["row", "ms", "p95", "MB", "graphs"], lines)


def notes(results: Mapping[str, Any]) -> list[str]:
    """Say what was measured, how many times faster the best program is, and which goals hold."""
    machine = results["machine"]
    dots = bool(DOT_PRODUCTS & set(machine["flags"]))
    text = (
        f"{results['threads']} threads, medians of {results['repeats']} calls in turns, on {machine['cpu']} "
        f"({', '.join(machine['flags'])}; int8 dot products: {'yes' if dots else 'no'}). graphs: delegated subgraphs + "
        "operators left outside."
    )
    lines = []
    for one in results["ratios"]:
        goal = GOALS["teacher"][dots] if one["against"] == TEACHER else GOALS["alternative"][dots]
        asked = one["against"] == TEACHER or str(OWN) in one["against"]
        verdict = f" (goal {goal:g}: {'holds' if one['times_faster'] >= goal else 'MISSED'})" if asked else ""
        lines.append(f"- {one['best']}: {one['times_faster']:.2f} times faster than {one['against']}{verdict}")
    return [text, "\n".join(lines), *_parts(results["rows"])]


def _parts(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say where the time of each fp32 program goes, where the parts were timed."""
    ms = {row["name"]: row["ms"] for row in found}
    lines = []
    for name in [name for name in ms if name.endswith(" front.pte")]:
        model = name.split()[0]
        whole, front, network = (ms[f"{model} {part}.pte"] for part in ("fp32", "front", "network"))
        lines.append(f"- {model} fp32.pte {whole:.1f} ms = front end {front:.1f} + network {network:.1f} + rest "
                     f"{whole - front - network:+.1f}")  # fmt: skip
    return ["\n".join(lines)] if lines else []


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print, and write both files."""
    args = sys.argv[1:] if args is None else list(args)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.program_latency", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--models", nargs="+", default=MODELS, help="timm's names")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=40, help="timed calls per row")
    parser.add_argument("--parts", action="store_true", help="time front end and network of the fp32 program alone")
    parser.add_argument("--no-teacher", action="store_true", help="leave the teacher out, which takes seconds per call")
    parser.add_argument("--work", type=Path, default=Path("runs/whole_program"), help="keeps the programs")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/studies/results/whole-program"))
    chosen = parser.parse_args(args)
    if min(chosen.threads, chosen.repeats) < 1:
        raise RunError(f"--threads {chosen.threads} and --repeats {chosen.repeats} must be at least 1")
    results = measure(chosen.models, chosen.work, chosen.threads, chosen.repeats, chosen.parts, not chosen.no_teacher)
    parts = [table(results), *notes(results)]
    write_result(chosen.out, "Whole programs", command_line("benchmarks.studies.program_latency", args), results, parts)
    print("\n\n".join(parts), flush=True)


if __name__ == "__main__":
    command.start(main)
