"""A student small enough to be exported in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from timm.layers import ConvNormAct
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from export import stage, steps
from export.config import ExportConfig
from export.contract import Contract, Labels, contract
from export.coreml import compress
from export.parity_record import FAILED, PASSED, Distance, Gates, ParityRecord
from export.pipeline import Pipeline, build
from pocketmood.bundle import SCHEMA
from pocketmood.runs import Stage, write_json
from pocketmood.spec import MelSpec
from tests.helpers import tiny
from tests.helpers.saved_student import write_student_config

SPEC, STRIDE, FRAMES = MelSpec(), 5, 256
MIN_NUMBERS = 512
"""The tiny student has no tensor that is large enough to be compressed in a real package."""
LABELS = Labels("tones made for tests", "none", synthetic=True)


class Prediction(NamedTuple):
    """As a student predicts."""

    emotion: Tensor
    interval68: Tensor
    features: Tensor


class TinyStudent(nn.Module):
    """Has one of everything that the rewrites change: batch norm, attention, LayerNorm, softplus, detach."""

    def __init__(self) -> None:
        super().__init__()
        timm.layers.set_fused_attn(False)
        self.first, self.second = ConvNormAct(1, 8, 3, stride=4), ConvNormAct(8, 16, 3, stride=4)
        self.block, self.norm = Block(16, num_heads=2, qkv_bias=True, act_layer=nn.SiLU), nn.LayerNorm(16)
        self.last = ConvNormAct(16, 16, 1)
        self.emotion_head, self.interval68_head = nn.Linear(16, 2), nn.Linear(16, 2)

    def forward(self, mel: Tensor) -> Prediction:
        x = self.second(self.first(mel))  # [B, 16, 9, 17]
        tokens = self.norm(self.block(x.flatten(2).transpose(1, 2)))
        x = self.last(tokens.transpose(1, 2).contiguous().reshape(x.shape))
        features = nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
        interval68 = nn.functional.softplus(self.interval68_head(features.detach())) + 0.02
        return Prediction(torch.tanh(self.emotion_head(features)), interval68, features)


def pipeline(seed: int = 0, kind: type[TinyStudent] = TinyStudent) -> Pipeline:
    """Return a pipeline of random weights; its norms hold statistics and scales that are not 0 and 1."""
    torch.manual_seed(seed)
    student = kind()
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
    return build(student, SPEC, STRIDE, FRAMES)


def waves(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Return waveforms [N, 1, S] of tones in noise, louder from clip to clip."""
    rng, time_s = np.random.default_rng(seed), np.arange(SPEC.samples) / SPEC.sample_rate
    clips = [
        0.02 * (row + 1) * (np.sin(2 * np.pi * rng.uniform(100, 3000) * time_s) + rng.normal(0, 0.3, SPEC.samples))
        for row in range(count)
    ]
    return np.stack(clips).astype(np.float32)[:, None]


def promise() -> Contract:
    """Return the contract of the tiny pipeline."""
    return contract(SPEC, STRIDE, FRAMES, LABELS)


def measured(artefact: str = "a", max_error: float = 0.0) -> ParityRecord:
    """Return a record that is not judged yet, of an artefact with one error everywhere."""
    errors = dict.fromkeys(
        (f"{output}_{kind}" for output in ("emotion", "interval68") for kind in ("max_error", "mean_error")), max_error
    )
    signed = {f"{output}_{kind}": 0.0 for output in ("emotion", "interval68") for kind in ("signed_error", "sqnr_db")}
    return ParityRecord(artefact, FAILED, distance=Distance(clips=2, max_error=max_error, **errors, **signed))


def write_parity(bundle: Path, tolerances: Mapping[str, float]) -> None:
    """Write a parity.json of programs that passed, with these tolerances."""
    records = [ParityRecord(name, PASSED, gates=Gates(1e-4, tolerance)) for name, tolerance in tolerances.items()]
    write_json(bundle / "parity.json", [record.to_json() for record in records])


def write_bundle_json(bundle: Path, samples: int) -> None:
    """Write a bundle.json that lists no file, of programs that take so many samples."""
    about = {"schema": SCHEMA, "spec": SPEC.to_dict(), "spec_hash": SPEC.hash, "input": {"shape": [1, samples]}}
    write_json(bundle / "bundle.json", about | {"files": {}})


def make_run(folder: Path) -> Path:
    """Write a run whose data and student stages are done; the student's weights come from `pipeline`."""
    run = tiny.make_data(folder)
    done = Stage(run, "student", {"name": "tiny"})
    with done.work() as work:
        write_student_config(work, "tiny", FRAMES, STRIDE, SPEC)
    return run


def export(run: Path, **changes: object) -> int:
    """Run the export stage in this process, with the tiny student for the run's own."""
    settings = {"run": run, "golden": 2, "held_out": 2, "calibration": 3, "processes": 0}
    settings |= {"int8_drop": 2.0, "ccc_drop_limit": None}  # random weights have no CCC to lose
    config = ExportConfig(**settings | changes)  # type: ignore[arg-type]
    with (
        mock.patch.object(steps, "load_pipeline", lambda config: pipeline()),
        mock.patch.object(compress, "MIN_NUMBERS", MIN_NUMBERS),
    ):
        return stage.run(config)
