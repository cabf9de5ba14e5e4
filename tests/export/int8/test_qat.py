"""The quantisation-aware finish on the tiny student: what learns, that it learns, and when it is used."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.config import ExportConfig
from export.int8 import qat
from export.int8.quantise import Quantised, quantise
from export.pipeline import Pipeline
from export.rewrite import for_xnnpack
from pocketmood.errors import ConfigError, ExportError
from tests.helpers import export_fixtures as tiny

STEPS = 12


def rewritten() -> Pipeline:
    """Return the tiny pipeline with one coarse layer: inputs weighted thirty times more take all of int8's range."""
    pipeline = tiny.pipeline()
    with torch.no_grad():
        pipeline.network.block.mlp.fc1.weight[:, 0] *= 30
    return for_xnnpack(pipeline)


def clips(count: int = 4) -> list[Tensor]:
    return [torch.from_numpy(wave) for wave in tiny.waves(count)]


def error(module: nn.Module, pipeline: nn.Module, heard: list[Tensor]) -> float:
    """Return the mean squared difference of the predictions, emotion and interval68."""
    with torch.inference_mode():
        pairs = [(torch.cat(module(clip), 1), torch.cat(pipeline(clip), 1)) for clip in heard]
    return float(np.mean([float(((a - b) ** 2).mean()) for a, b in pairs]))


@pytest.mark.slow
def test_a_finish_brings_int8_nearer_to_fp32() -> None:
    pipeline, heard = rewritten(), clips()
    before = copy.deepcopy(pipeline.state_dict())
    plain = quantise(pipeline, heard)
    finished, losses = qat.finish(pipeline, heard, steps=STEPS, rate=1e-4)
    assert len(losses) == STEPS and np.mean(losses[-4:]) < 0.7 * np.mean(losses[:4])
    assert all(torch.equal(before[name], value) for name, value in pipeline.state_dict().items())
    assert (finished.quantised, finished.left_float) == (plain.quantised, plain.left_float)
    assert error(finished.module, pipeline, heard) < error(plain.module, pipeline, heard)


def test_the_network_learns_and_its_constants_stay() -> None:
    pipeline = for_xnnpack(tiny.pipeline())
    twin = copy.deepcopy(pipeline)
    found = qat.learnable(twin, pipeline)
    assert {"network.block.mlp.fc1.weight", "network.first.conv.bias", "network.norm.weight"} <= found.keys()
    assert not any(name.startswith("front.") or ".mean." in name or ".mean_square." in name for name in found)
    learning = {name for name, parameter in twin.named_parameters() if parameter.requires_grad}
    assert learning == found.keys() and len(found) < len(list(twin.named_parameters()))


def test_ranges_are_the_extremes_of_the_clips_and_stay() -> None:
    from torchao.quantization.pt2e import FusedMovingAvgObsFakeQuantize as Fake

    rounded = Fake(quant_min=-128, quant_max=127, dtype=torch.int8, qscheme=torch.per_tensor_affine)
    qat.settle(rounded, [torch.tensor([[-1.0, 2.0]]), torch.tensor([[-3.0, 0.5]])])  # type: ignore[arg-type]
    assert float(rounded.scale) == pytest.approx(5 / 255, rel=1e-6, abs=0) and int(rounded.zero_point) == 25
    with torch.no_grad():
        found = rounded(torch.tensor([[9.0, 0.0, 0.015]]))
    assert found[0].tolist() == pytest.approx([2, 0, 5 / 255], rel=1e-5, abs=1e-6)  # clipped, kept, rounded
    assert float(rounded.scale) == pytest.approx(5 / 255, rel=1e-6, abs=0)


def made_up(score: float) -> Any:
    module = nn.Identity()
    module.score = score  # type: ignore[assignment]
    return module


@pytest.mark.parametrize(
    ("plain", "after", "steps", "chosen"),
    [(0.695, None, 0, "plain"), (0.65, 0.69, 30, "again"), (0.65, 0.64, 0, "plain")],
)
def test_the_finish_is_tried_where_int8_costs_much_and_kept_where_it_helps(
    plain: float, after: float | None, steps: int, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"plain": Quantised(made_up(plain), {}, {}), "again": Quantised(made_up(after or 0.0), {}, {})}
    tried: list[int] = []

    def finish(pipeline: nn.Module, clips: Any, steps: int, left: Any) -> tuple[Quantised, list[float]]:
        assert after is not None, "int8 costs .005 only"
        tried.append(steps)
        return found["again"], [0.2, 0.1]

    monkeypatch.setattr(qat, "finish", finish)
    kept, facts = qat.improve(made_up(0.7), found["plain"], [], lambda module: module.score, 30)
    assert kept is found[chosen] and facts.qat_steps == steps
    assert facts.int8_cost == pytest.approx(0.7 - plain, rel=1e-9, abs=0)
    assert tried == ([] if after is None else [30])
    if after is not None:
        assert facts.int8_cost_finished == pytest.approx(0.7 - after, rel=1e-9, abs=0)
        assert (facts.qat_loss_first, facts.qat_loss_last) == (0.2, 0.1)


def test_a_program_without_a_network_is_refused() -> None:
    with pytest.raises(ExportError, match="no weights under `network`"):
        qat.learnable(nn.Linear(2, 2), for_xnnpack(tiny.pipeline()))


def test_negative_steps_are_refused() -> None:
    with pytest.raises(ConfigError, match="qat_steps and processes must be at least 0"):
        ExportConfig(qat_steps=-1)
