"""Rows in eager PyTorch: the teacher, and the student before export."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from pocketmood.audio import fit
from pocketmood.bundle import Predictor
from pocketmood.data.run_folder import RunFolder
from pocketmood.emotion import Emotion
from pocketmood.spec import MelSpec

if TYPE_CHECKING:
    from torch import nn

    from pocketmood.programs import Array, Program


class OpenedRow(NamedTuple):
    """A row that is ready to predict."""

    predict: Predictor
    params: int | None
    """Trained numbers in the network; None where the format does not tell."""
    size_bytes: int | None = None
    """Bytes of a file that was made only now."""


def parameters(model: nn.Module) -> int:
    """Count the trained numbers of a network."""
    return sum(parameter.numel() for parameter in model.parameters())


def for_one_clip(program: Program) -> Predictor:
    """Return a program as the rows call it: one waveform [S] in, emotion and its width out."""

    def predict(waveform: Array) -> tuple[Emotion, Emotion]:
        emotion, width = program(waveform[None])
        return Emotion(*map(float, emotion[0])), Emotion(*map(float, width[0]))

    return predict


def torch_row(model: nn.Module, spec: MelSpec, stride: int, frames: int) -> OpenedRow:
    """Join the front end and a network in eager PyTorch: waveform in, emotion and its width out."""
    import torch

    from pocketmood.mel import MelFrontEnd

    front, model = MelFrontEnd(spec, stride, frames).eval(), model.eval()

    def program(waveform: Array) -> tuple[Array, Array]:
        with torch.inference_mode():
            # By place, not by name: the width is a teacher's rater_sd, and a student's interval68.
            emotion, width, *_ = model(front(torch.from_numpy(waveform)))
        return emotion.numpy(), width.numpy()

    return OpenedRow(for_one_clip(program), parameters(model))


def open_teacher(run: RunFolder) -> OpenedRow:
    """Open the teacher, waveform in: every member of a company, each behind its own front end and on its own input."""
    from teacher.company.open import open_company

    # Their own, not those of the soft targets: the student looks at a fifth of what a ViT-B/16 is shown.
    company = open_company(run.made("teacher"), on_cpu=True)

    def predict(waveform: Array) -> tuple[Emotion, Emotion]:
        # A bundle's window may be shorter than the clip: silence behind it would be another song.
        return company.hear(fit(waveform, company.spec.samples))

    return OpenedRow(predict, company.parameters)


def open_student(run: RunFolder) -> OpenedRow:
    """Open the student behind the front end, in eager PyTorch."""
    from student.mobilevit import load_student

    model, saved = load_student(run.made("student"))
    return torch_row(model, run.bundle.spec, saved.stride, saved.frames)


def open_compiled(run: RunFolder, cache: Path) -> OpenedRow:
    """Open the student under torch.compile, and let it compile (a minute); the compiler's work is kept in `cache`."""
    import torch

    # Inductor's own place is the system's temporary folder: in the run's, the next table need not wait a minute.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache.resolve())
    from student.mobilevit import load_student

    model, saved = load_student(run.made("student"))
    spec = run.bundle.spec
    # torch.compile returns a module where it is given one; its types say "callable".
    compiled = cast("nn.Module", torch.compile(model.eval()))
    opened = torch_row(compiled, spec, saved.stride, saved.frames)
    # Compiling happens at the first call; it belongs to opening, not to the row's first call.
    opened.predict(np.zeros(spec.samples, np.float32))
    return opened
