"""Does the gate turn red? `python -m benchmarks.studies.gate_self_test --run runs/demo` damages a program and looks.

The run's own results must be green. Then one weight array of one ONNX program is turned upside down in a copy of the
run, its hash in bundle.json is made to fit, as if somebody had exported a broken student, and the copy is measured and
judged: the gate must be red, and must name that program and no other. The copy is removed. Exit code 1 otherwise.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import __main__ as stage
from benchmarks import gate
from benchmarks.config import PRESETS
from benchmarks.record import read_results
from pocketmood import command
from pocketmood.runs import file_hash, link_or_copy, read_json, write_json

DAMAGED = "model.fp32.onnx"
NEEDED = ("data", "teacher", "student", "bundle")


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
    path.unlink()  # a link to the healthy file
    onnx.save(model, path)
    about = read_json(bundle / "bundle.json")
    about["files"][name] = file_hash(path)
    (bundle / "bundle.json").unlink()
    write_json(bundle / "bundle.json", about)
    return str(largest.name)


def main(args: Sequence[str] | None = None) -> int:
    """Judge the run, then its damaged copy."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.gate_self_test", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--run", type=Path, required=True, help="run folder with finished benchmarks")
    run: Path = parser.parse_args(args).run
    limits = replace(gate.settings(gate.PROJECT), run=run)
    print(f"healthy: {run}", flush=True)
    healthy = gate.main(["--run", str(run)])
    with tempfile.TemporaryDirectory(dir=run.parent, prefix=f"{run.name}-damaged-") as folder:
        copy = Path(folder)
        for name in NEEDED:
            shutil.copytree(run / name, copy / name, copy_function=link_or_copy)
        what = damage(copy / "bundle")
        print(f"damaged: {DAMAGED}, the weights {what} upside down", flush=True)
        quick = replace(PRESETS["demo"], run=copy, peers="none", warmup=1, repeats=5)
        todo = stage.make_stage(quick)
        with todo.work() as work:
            stage.fill(quick, todo, work)
        lines = gate.broken_limits(limits, read_results(copy / "benchmarks" / "results.json"))
    for line in lines:
        print(f"gate: {line}", flush=True)
    fine = healthy == 0 and bool(lines) and all(line.startswith(f"{DAMAGED}: ") for line in lines)
    print(f"gate trial: {'the gate can tell' if fine else 'the gate FAILED: see above'}")
    return 0 if fine else 1


if __name__ == "__main__":
    command.start(main)
