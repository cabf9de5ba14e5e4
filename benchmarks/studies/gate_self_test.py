"""Does the gate turn red? `python -m benchmarks.studies.gate_self_test --run runs/demo` damages a program and looks.

The run's own results must be green. Then one weight array of one ONNX program is turned upside down in a copy of the
run, its hash in bundle.json is made to fit, as if somebody had exported a broken student, and the copy is measured and
judged: the gate must be red, and must name that program and no other. The copy is removed. Exit code 1 otherwise.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import __main__ as stage
from benchmarks import gate
from benchmarks.config import PRESETS
from benchmarks.record import read_results
from pocketmood import command
from pocketmood.data.run_folder import RunFolder
from pocketmood.runs import file_hash, link_or_copy, read_json, write_json

DAMAGED = "model.fp32.onnx"


@dataclass(frozen=True)
class GateSelfTestConfig:
    """Which run to judge, whole and damaged."""

    run: Path
    """Run folder with finished benchmarks."""


def damage(bundle: Path, name: str = DAMAGED) -> str:
    """Turn the largest weight array of an ONNX program upside down, make its hash fit, and return the array's name."""
    import onnx
    from onnx import numpy_helper

    path = bundle / name
    model = onnx.load(path)
    # Constants of the spectrogram are initialisers, too: convolutions have four dimensions, those have fewer.
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4]
    largest = max(weights, key=lambda tensor: len(tensor.raw_data))
    upside_down = numpy_helper.from_array(-numpy_helper.to_array(largest), largest.name)
    largest.CopyFrom(upside_down)

    # Unlinked first, here and below: the copy shares its files with the healthy run.
    path.unlink()
    onnx.save(model, path)
    about = read_json(bundle / "bundle.json")
    about["files"][name] = file_hash(path)
    (bundle / "bundle.json").unlink()
    write_json(bundle / "bundle.json", about)
    return str(largest.name)


def main(args: Sequence[str] | None = None) -> int:
    """Judge the run, then its damaged copy; exit code 1 where the gate cannot tell them apart."""
    name = "python -m benchmarks.studies.gate_self_test"
    return run(command.parse(GateSelfTestConfig, name, __doc__, args))


def run(config: GateSelfTestConfig) -> int:
    """Judge the run, then its damaged copy; return the exit code."""
    print(f"healthy: {config.run}", flush=True)
    limits = replace(gate.settings(gate.PROJECT), run=config.run)
    healthy = gate.run(limits)

    # Beside the run, where links are possible: its clips need not be copied.
    with tempfile.TemporaryDirectory(dir=config.run.parent, prefix=f"{config.run.name}-damaged-") as folder:
        lines = lines_of_damaged(RunFolder(config.run), RunFolder(Path(folder)), limits)
    for line in lines:
        print(f"gate: {line}", flush=True)

    # Other rows must stay green: a gate that is red for everything tells nothing either.
    fine = healthy == 0 and bool(lines) and all(line.startswith(f"{DAMAGED}: ") for line in lines)
    print(f"gate_self_test: {'the gate can tell' if fine else 'the gate FAILED: see above'}")
    return 0 if fine else 1


def lines_of_damaged(healthy: RunFolder, copy: RunFolder, limits: gate.GateConfig) -> list[str]:
    """Copy a run, damage a program, measure the copy, and return the gate's lines about it."""
    for name in stage.STAGES_READ:
        shutil.copytree(healthy.made(name), copy.folder(name), copy_function=link_or_copy)
    weights = damage(copy.folder("bundle"))
    print(f"damaged: {DAMAGED}, the weights {weights} upside down", flush=True)

    # Agreement is what must fall; stock networks and many timed calls would say nothing about it.
    quick = replace(PRESETS["demo"], run=copy.path, alternatives="none", warmup=1, repeats=5)
    todo = stage.make_stage(quick)
    with todo.work() as work:
        stage.fill(quick, todo, work)
    return gate.broken_limits(limits, read_results(copy.results))


if __name__ == "__main__":
    command.start(main)
