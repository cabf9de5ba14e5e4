"""Which layers learn in which epoch, the restarted schedule, and optimiser states that survive an unfreezing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketmood.errors import PocketmoodError
from pocketmood.training.fit import Training, fit
from pocketmood.training.optimizer import cosine
from pocketmood.training.schedule import Schedule
from teacher.config import FineTuneConfig, VitConfig
from teacher.presets import PRESETS
from teacher.unfreezing import begin_epoch, layers_at, parameter_groups, prepare, restarts
from teacher.vit import Teacher, build_teacher, encoder_layers, final_norm

RECIPE = FineTuneConfig(
    schedule=Schedule(epochs=4, learning_rate=1e-2, weight_decay=0.1),
    backbone_learning_rate=1e-3,
    unfreeze=((1, 0), (2, 1), (4, 2)),
)


@pytest.fixture
def teacher() -> Teacher:
    torch.manual_seed(0)
    return build_teacher(VitConfig(size="ast", width=16, layers=3, heads=2, period_frames=64, dropout=0.0))


def learning(teacher: Teacher) -> list[bool]:
    """Tell for heads, layers from the last to the first, and the rest of the backbone, whether they learn."""
    parts = [teacher.emotion, *reversed(encoder_layers(teacher)), teacher.backbone.patches]
    states = []
    for part in parts:
        flags = {parameter.requires_grad for parameter in part.parameters()}
        assert len(flags) == 1
        states.append(flags.pop())
    return states


def test_the_recipe_unfreezes_one_two_and_three_layers() -> None:
    full = PRESETS["full"].training
    assert [layers_at(epoch, full.unfreeze) for epoch in range(24)] == [0] * 7 + [1] * 4 + [2] * 4 + [3] * 9
    assert restarts(full) == (7, 11, 15)
    assert PRESETS["streamlined"].training.unfreeze == ()


def test_layers_learn_from_their_epoch_on_and_the_rest_never(teacher: Teacher) -> None:
    prepare(teacher, RECIPE)
    assert learning(teacher) == [True, True, True, False, False]  # all that ever learn, for the optimiser
    expected = [[True, False, False], [True, True, False], [True, True, False], [True, True, True]]
    for epoch, states in enumerate(expected):
        words = begin_epoch(teacher, RECIPE, epoch)
        assert learning(teacher) == [*states, False, False]
        layers = sum(states[1:])
        assert words == ["heads alone learn", "1 of 3 layers learns", "2 of 3 layers learn"][layers]
        norm = final_norm(teacher)
        assert norm is not None and norm.weight.requires_grad is (epoch >= 1)


def test_without_unfreezing_everything_learns(teacher: Teacher) -> None:
    recipe = FineTuneConfig()
    prepare(teacher, recipe)
    begin_epoch(teacher, recipe, 0)
    assert learning(teacher) == [True] * 5 and restarts(recipe) == ()


def test_groups_name_epoch_rate_and_decay(teacher: Teacher) -> None:
    prepare(teacher, RECIPE)
    groups = parameter_groups(teacher, RECIPE)
    keys = {(group["epoch"], group["lr"], group["weight_decay"]) for group in groups}
    assert keys == {(0, 1e-2, 0.1), (0, 1e-2, 0.0), (1, 1e-3, 0.1), (1, 1e-3, 0.0), (3, 1e-3, 0.1), (3, 1e-3, 0.0)}
    last = {id(parameter) for parameter in encoder_layers(teacher)[-1].parameters()}
    second = {id(parameter) for group in groups if group["epoch"] == 1 for parameter in group["params"]}
    norm = final_norm(teacher)
    assert norm is not None and second == last | {id(parameter) for parameter in norm.parameters()}


@pytest.mark.parametrize("unfreeze", [((0, 1),), ((1, -1),), ((3, 1), (2, 2)), ((1, 2), (2, 2))])
def test_orders_that_make_no_sense_are_refused(unfreeze: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(PocketmoodError, match="unfreeze"):
        FineTuneConfig(unfreeze=unfreeze)


def test_restarts_of_the_schedule_hold_only_without_an_unfreezing() -> None:
    schedule = Schedule(epochs=4, restarts=(2,))
    assert restarts(FineTuneConfig(schedule=schedule)) == (2,)
    with pytest.raises(PocketmoodError, match=r"restarts \(2,\) follow from unfreeze"):
        FineTuneConfig(schedule=schedule, unfreeze=((1, 0), (3, 1)))


def test_cosine_by_hand() -> None:
    def rate(step: int) -> float:
        return cosine(step, total=20, warmup=4, restarts=[12], last=0.1)

    assert [rate(step) for step in (0, 2, 4)] == pytest.approx([0, 0.5, 1], rel=0, abs=1e-12)
    assert rate(8) == pytest.approx(0.1 + 0.9 * 0.5, rel=0, abs=1e-12)  # half of 4 .. 12
    assert rate(11) == pytest.approx(0.1 + 0.45 * (1 + math.cos(math.pi * 7 / 8)), rel=0, abs=1e-12)
    assert rate(12) == 1  # again at the peak, without a warm-up
    assert rate(16) == pytest.approx(0.55, rel=0, abs=1e-12) and rate(20) == pytest.approx(0.1, rel=0, abs=1e-12)


def test_cosine_without_restarts_is_that_of_transformers() -> None:
    from transformers import get_cosine_schedule_with_warmup

    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_cosine_schedule_with_warmup(optimizer, 5, 40).lr_lambdas[0]
    for step in range(41):
        assert cosine(step, 40, 5, [], 0.0) == pytest.approx(theirs(step), rel=0, abs=1e-12)


class Items:
    """Eight noisy points, two per step."""

    epoch = 0

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([index, self.epoch])
        x = rng.normal(size=3).astype(np.float32)
        return x, x[:1] * 2


class Two(nn.Module):
    """A head that always learns and a layer that waits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layer, self.head = nn.Linear(3, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"loss": ((self.head(torch.tanh(self.layer(x))) - y) ** 2).mean()}


def train(folder: Path, seen: list[dict[str, float]], stop_before: int | None = None) -> Two:
    """Train for four epochs of four steps; the layer joins in the third."""
    model = Two()

    def on_epoch(epoch: int) -> None:
        if epoch == stop_before:
            raise KeyboardInterrupt
        for parameter in model.layer.parameters():
            parameter.requires_grad_(epoch >= 2)

    def validate(network: nn.Module) -> dict[str, float]:
        seen.append(
            {"layer": float(model.layer.weight.detach().sum()), "head": float(model.head.weight.detach().sum())}
        )
        return {"ccc_mean": float(len(seen))}

    def collate(items: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, Tensor]:
        return {"x": torch.tensor(np.stack([x for x, _ in items])), "y": torch.tensor(np.stack([y for _, y in items]))}

    schedule = Schedule(epochs=4, batch_size=2, learning_rate=1e-2, warmup=0.0, restarts=(2,), final_rate=1e-4)
    fit(Training(model, Items(), collate, validate, folder, schedule, seed=3, on_epoch=on_epoch))
    return model


def test_a_waiting_layer_stands_still_and_others_keep_their_moments(tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    start = float(Two().layer.weight.detach().sum())
    train(tmp_path / "whole", seen)
    assert seen[0]["layer"] == seen[1]["layer"] == pytest.approx(start, rel=0, abs=1e-7)
    assert seen[2]["layer"] != seen[1]["layer"] and len({row["head"] for row in seen}) == 4

    from safetensors.torch import load_file

    (checkpoint,) = (tmp_path / "whole" / "checkpoints").iterdir()
    steps = {
        key: float(value) for key, value in load_file(checkpoint / "optimizer.safetensors").items() if "step" in key
    }
    # The head has taken all 16 steps: its state was not thrown away when the layer joined for the last 8.
    assert sorted(steps.values()) == [8, 8, 16, 16]


@pytest.mark.parametrize("killed_before", [1, 2, 3])
def test_a_kill_around_an_unfreezing_changes_nothing(tmp_path: Path, killed_before: int) -> None:
    whole = train(tmp_path / "whole", [])
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", [], stop_before=killed_before)
    again = train(tmp_path / "killed", [{}] * killed_before)
    for ours, theirs in zip(again.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert (tmp_path / "killed" / "metrics.jsonl").read_text().count("\n") == 4
