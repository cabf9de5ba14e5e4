"""Programs for timing: students with random weights, which do not change how long a prediction takes, written and kept.

Beside the shipped formats, the front end and the network of the fp32 `.pte` alone, to see where its time goes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.latency import quiet
from export.sources import exporter
from pocketmood.runs import Stage
from pocketmood.spec import MelSpec

if TYPE_CHECKING:
    from torch import nn

    from export.pipeline import Pipeline

SPEC, STRIDE, FRAMES = MelSpec(), 5, 256
"""The window, the frame stride and the frames that a student has by default."""


def student_pipeline(model: str) -> Pipeline:
    """Return front end and student of random weights, whose norms hold what a short training would leave."""
    import torch

    from export.pipeline import build
    from student.mobilevit import Student

    torch.manual_seed(0)
    return build(Student(model, STRIDE, FRAMES, SPEC), SPEC, STRIDE, FRAMES)


def waves(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Return noise [N, 1, S]: what is heard does not change how long it takes."""
    # Full scale is ten deviations away, so that clipping changes nothing: int8 is calibrated on this noise.
    noise = np.random.default_rng(seed).normal(0, 0.1, (count, 1, SPEC.samples))
    return np.clip(noise, -1, 1).astype(np.float32)


def write_programs(work: Path, model: str, parts: bool) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Write the programs of a student unless they are there; returns row -> file and what its writer says of it."""
    writers: dict[str, Callable[[Path], dict[str, Any]]] = {
        "fp32.pte": partial(_write_pte, model),
        "int8.pte": partial(_write_int8, model),
        "fp32.onnx": partial(_write_onnx, model),
    }
    # Each part alone: what the whole takes beyond both is handing over and calling.
    if parts:
        writers |= {"front.pte": partial(_write_front, model), "network.pte": partial(_write_network, model)}

    made = {}
    for file, write in writers.items():
        settings = {"spec": SPEC.to_dict(), "exporter": exporter()}
        stage = Stage(work, f"{model}.{file}", settings)
        # Exporting takes minutes in all: what is there is kept, as long as the exporter is the same.
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
    from export.contract import Labels, contract
    from export.onnx import to_onnx
    from export.rewrite import for_onnx

    return to_onnx.write(for_onnx(student_pipeline(model)), path, contract(SPEC, STRIDE, FRAMES, Labels())).to_json()


def _write_front(model: str, path: Path) -> dict[str, Any]:
    from export.rewrite import for_xnnpack

    return _lower(for_xnnpack(student_pipeline(model)).front, (1, SPEC.samples), path)


def _write_network(model: str, path: Path) -> dict[str, Any]:
    from torch import nn

    from export.rewrite import XnnpackPipeline, for_xnnpack

    # The network behind a front end that does nothing, so that it is lowered just as within the whole.
    whole = for_xnnpack(student_pipeline(model))
    return _lower(XnnpackPipeline(nn.Identity(), whole.network, SPEC), (1, 1, SPEC.bands, FRAMES), path)


def _lower(module: nn.Module, shape: tuple[int, ...], path: Path) -> dict[str, Any]:
    from export.executorch import to_executorch

    return to_executorch.write(module, shape, path, {}).to_json()
