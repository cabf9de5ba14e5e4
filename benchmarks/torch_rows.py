"""Rows that are not ours to ship: ceiling, floor, teacher, and the student before export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketmood.data.clips import ClipStore
from pocketmood.errors import RunError
from pocketmood.runs import read_json
from pocketmood.spec import MelSpec

if TYPE_CHECKING:
    from torch import nn

    from benchmarks.accuracy import Predict


class Opened(NamedTuple):
    """A row that is ready to answer."""

    predict: Predict
    params: int | None
    """Trained numbers in the network; None where the format does not tell."""
    size_bytes: int | None = None
    """Bytes of a file that was made only now."""


def parameters(model: nn.Module) -> int:
    """Count the trained numbers of a network."""
    return sum(parameter.numel() for parameter in model.parameters())


def torch_row(model: nn.Module, spec: MelSpec, stride: int, frames: int) -> Opened:
    """Join the front end and a network in eager PyTorch: waveform in, emotion and spread out."""
    import torch

    from pocketmood.mel import MelFrontEnd

    front, model = MelFrontEnd(spec, stride, frames).eval(), model.eval()

    def predict(wave: NDArray[np.float32]) -> tuple[Any, Any]:
        with torch.inference_mode():
            out = model(front(torch.from_numpy(wave)[None]))
        emotion, deviation, _ = out  # rater_sd of a teacher, interval68 of a student
        return emotion[0].numpy(), deviation[0].numpy()

    return Opened(predict, parameters(model))


def open_teacher(run: Path) -> Opened:
    """Open the teacher behind the front end, with the frames it was trained on."""
    from teacher.vit import load_teacher

    model, _ = load_teacher(run / "teacher")
    seen = read_json(run / "teacher" / "soft_targets" / "soft_targets.json")
    return torch_row(model, spec_of(run), int(seen["stride"]), int(seen["frames"]))


def open_student(run: Path) -> Opened:
    """Open the student behind the front end, in eager PyTorch."""
    from student.mobilevit import load_student

    model, config = load_student(run / "student")
    return torch_row(model, spec_of(run), int(config["stride"]), int(config["frames"]))


def open_compiled(run: Path, cache: Path) -> Opened:
    """Open the student under torch.compile, and let it compile (a minute); the compiler's work is kept in `cache`."""
    import os

    import torch

    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache.resolve())
    from student.mobilevit import load_student

    model, config = load_student(run / "student")
    spec = spec_of(run)
    opened = torch_row(torch.compile(model.eval()), spec, int(config["stride"]), int(config["frames"]))
    opened.predict(np.zeros(spec.samples, np.float32))
    return opened


def spec_of(run: Path) -> MelSpec:
    """Read the spectrogram's numbers from the bundle."""
    return MelSpec.from_dict(read_json(run / "bundle" / "bundle.json")["spec"])


def store_of(run: Path) -> ClipStore:
    """Open the run's clips through the bundle's window: the middle of each where the student hears less than all."""
    return ClipStore.open(run / "data" / "store", spec_of(run).samples)


def student_architecture(run: Path) -> str:
    """Read which timm model the student is."""
    name = read_json(run / "student" / "config.json").get("name")
    if not isinstance(name, str):
        raise RunError(f'{run / "student" / "config.json"}: no timm model under "name"; run the student again')
    return name
