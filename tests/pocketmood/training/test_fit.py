"""The training loop: what it resumes, averages, keeps and refuses. A small network with everything that has state."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketmood.errors import PocketmoodError, RunError
from pocketmood.training import checkpoints
from pocketmood.training.averages import Averages
from pocketmood.training.fit import Training, fit
from pocketmood.training.history import EpochRecord, read_history
from pocketmood.training.loader import EpochSampler
from pocketmood.training.schedule import Schedule

SCHEDULE = Schedule(epochs=4, batch_size=8, learning_rate=0.01, ema_decay=0.9)


class Net(nn.Module):
    """Batch norm has buffers, dropout draws from the global generator, channels-last weights have their own strides."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))
        self.kernel = nn.Conv2d(2, 3, 2).to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        error = nn.functional.mse_loss(self.body(x), y)
        picture = self.kernel(torch.stack([x, x.sin()], 1).reshape(-1, 2, 2, 2)).flatten(1)  # [B, 3]
        return {"loss": error + (picture - 1).square().mean(), "error": error}


class Points:
    """Items that follow from (epoch, index)."""

    epoch = 0

    def __len__(self) -> int:
        return 35

    def __getitem__(self, index: int) -> np.ndarray:
        return np.random.default_rng([self.epoch, index]).normal(size=4).astype(np.float32)


def collate(items: list[np.ndarray]) -> dict[str, Tensor]:
    x = torch.from_numpy(np.stack(items))
    return {"x": x, "y": x[:, :2].abs()}


def validate(model: nn.Module) -> dict[str, float]:
    assert not model.training and not torch.is_grad_enabled()
    x = torch.linspace(-1, 1, 40).reshape(10, 4)
    return {"ccc_mean": -float(model(x, x[:, :2].abs())["loss"])}


class KillError(Exception):
    """Stands for the kill."""


def dies_at(call: int) -> Callable[[list[np.ndarray]], dict[str, Tensor]]:
    calls = itertools.count(1)

    def dying(items: list[np.ndarray]) -> dict[str, Tensor]:
        if next(calls) == call:
            raise KillError
        return collate(items)

    return dying


def train(folder: Path, schedule: Schedule = SCHEDULE, collate: Any = collate) -> tuple[Net, list[EpochRecord]]:
    model = Net()
    return model, fit(Training(model, Points(), collate, validate, folder, schedule))


def without_times(history: list[EpochRecord]) -> list[EpochRecord]:
    return [replace(record, seconds=0, step_seconds=0) for record in history]


def test_resume_is_bit_identical(tmp_path: Path) -> None:
    whole, history = train(tmp_path / "whole")
    for call in (2, 6, 9):  # in the first epoch, in the next one after a restart, and once more
        with pytest.raises(KillError):
            train(tmp_path / "killed", collate=dies_at(call))
    again, resumed = train(tmp_path / "killed")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert without_times(resumed) == without_times(history)
    last = [checkpoints.newest_checkpoint(tmp_path / run / "checkpoints") for run in ("whole", "killed")]
    for name in ("model", "averages", "optimizer"):
        a, b = (checkpoints.load_tensors(path / f"{name}.safetensors") for path in last if path)
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a), name


def test_a_kill_within_the_checkpoint_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = train(tmp_path / "whole")
    real, calls = checkpoints.save_tensors, itertools.count(1)

    def dying(path: Path, *args: Any) -> None:
        real(path, *args)
        if path.name == "optimizer.safetensors" and next(calls) == 2:
            raise KillError

    with monkeypatch.context() as patch, pytest.raises(KillError):
        patch.setattr(checkpoints, "save_tensors", dying)
        train(tmp_path / "killed")
    folder = tmp_path / "killed" / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000004", "step-00000008.part"]
    again, _ = train(tmp_path / "killed")
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


def test_nothing_in_the_folder_is_a_pickle(tmp_path: Path) -> None:
    train(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".jsonl", ".safetensors"}
    assert len(list(tmp_path.rglob("step-*"))) == 1
    assert not any(path.read_bytes()[:2] in (b"\x80\x02", b"PK") for path in files)


def test_a_finished_training_does_nothing_more(tmp_path: Path) -> None:
    first, history = train(tmp_path)
    second, again = train(tmp_path, collate=dies_at(1))
    assert history == again
    assert torch.equal(first.body[0].weight, second.body[0].weight)


def test_best_epoch_is_kept_and_logged(tmp_path: Path) -> None:
    model, history = train(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [asdict(record) for record in history] and [line["epoch"] for line in lines] == [1, 2, 3, 4]
    scores = [line["validation"]["ccc_mean"] for line in lines]
    best = json.loads((tmp_path / "best.json").read_text())
    assert best == {"epoch": 1 + int(np.argmax(scores)), "metric": "ccc_mean", "value": max(scores)}
    model.eval()
    with torch.no_grad():
        assert validate(model)["ccc_mean"] == pytest.approx(max(scores), rel=1e-6, abs=1e-9)


def test_patience_stops_and_stays_stopped(tmp_path: Path) -> None:
    falling = itertools.count(0, -1)
    schedule = Schedule(epochs=9, batch_size=8, patience=2)
    model = Net()
    history = fit(Training(model, Points(), collate, lambda _: {"ccc_mean": float(next(falling))}, tmp_path, schedule))
    assert len(history) == 3
    assert len(fit(Training(Net(), Points(), collate, validate, tmp_path, schedule))) == 3


def test_averages_follow_the_formula() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    model[0].weight.data.fill_(0.0)
    averages = Averages(model, decay=0.5)
    assert averages.names == ["0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var"]
    expected = 0.0
    for step, live in enumerate([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0], 1):
        model[0].weight.data.fill_(live)
        averages.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * live
    assert float(averages.values[0]) == pytest.approx(expected, rel=1e-5, abs=0)
    averages.swap()
    assert float(model[0].weight.detach()) == pytest.approx(expected, rel=1e-5, abs=0)
    averages.swap()
    assert float(model[0].weight.detach()) == 512


def test_parameter_groups_have_their_own_rates(tmp_path: Path) -> None:
    model = Net()
    frozen = model.body[0].weight.clone()
    groups = [{"params": [model.body[0].weight], "lr": 0.0}, {"params": list(model.body[4].parameters())}]
    before = model.body[4].weight.clone()
    schedule = Schedule(epochs=1, batch_size=8, weight_decay=0)
    fit(Training(model, Points(), collate, validate, tmp_path, schedule, groups=groups))
    assert torch.equal(model.body[0].weight, frozen)
    assert not torch.equal(model.body[4].weight, before)


def test_order_follows_from_seed_and_epoch() -> None:
    sampler = EpochSampler(20, seed=3)
    first = list(sampler)
    sampler.epoch = 1
    second = list(sampler)
    assert sorted(first) == sorted(second) == list(range(20)) and first != second
    sampler.epoch = 0
    assert list(sampler) == first


def test_divergence_is_one_clear_error(tmp_path: Path) -> None:
    class Nan(Net):
        def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
            return {"loss": super().forward(x, y)["loss"] * float("nan")}

    with pytest.raises(RunError, match=r"loss became nan; try a learning rate below 0\.01"):
        fit(Training(Nan(), Points(), collate, validate, tmp_path, SCHEDULE))


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(PocketmoodError, match="batch_size 0"):
        Schedule(batch_size=0)
    with pytest.raises(PocketmoodError, match="accumulation 0"):
        Schedule(accumulation=0)
    with pytest.raises(PocketmoodError, match="ema_decay 1"):
        Schedule(ema_decay=1.0)
    with pytest.raises(PocketmoodError, match="without the metric 'ccc_mean'"):
        fit(Training(Net(), Points(), collate, lambda _: {"mse": 0.0}, tmp_path / "a", SCHEDULE))
    train(tmp_path / "b", Schedule(epochs=1, batch_size=8))
    with pytest.raises(RunError, match="begun with another schedule"):
        train(tmp_path / "b", SCHEDULE)
    (tmp_path / "weights.safetensors").write_bytes(b"no")
    with pytest.raises(RunError, match="not a readable safetensors file"):
        checkpoints.load_tensors(tmp_path / "weights.safetensors")


def test_optimizer_state_survives_packing() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight], lr=0.1)
    weight.grad = torch.tensor([1.0, -2.0])
    optimizer.step()
    tensors, rest = checkpoints.pack_optimizer(optimizer.state_dict())
    back = checkpoints.unpack_optimizer(tensors, json.loads(json.dumps(rest)))
    assert back["param_groups"] == optimizer.state_dict()["param_groups"]
    for key, value in optimizer.state_dict()["state"][0].items():
        assert torch.equal(back["state"][0][key], value), key


def test_a_resumed_training_begins_at_the_epoch_after_its_last_checkpoint(tmp_path: Path) -> None:
    begun: list[int] = []
    schedule = Schedule(epochs=4, batch_size=8)
    # Four batches per epoch; the loader reads one ahead.
    training = Training(Net(), Points(), dies_at(11), validate, tmp_path, schedule, on_epoch=begun.append)
    with pytest.raises(KillError):
        fit(training)
    assert begun == [0, 1, 2]
    history = fit(replace(training, model=Net(), collate=collate))
    assert begun == [0, 1, 2, 2, 3]
    assert [record.step for record in history] == [4, 8, 12, 16]


class Line(nn.Module):
    """A network without batch norm or dropout: two half batches then have the mean gradient of the whole one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"loss": nn.functional.mse_loss(self.layer(x), y)}


def line(folder: Path, schedule: Schedule) -> tuple[Line, list[EpochRecord]]:
    model = Line()
    return model, fit(Training(model, Points(), collate, lambda _: {"ccc_mean": 0.0}, folder, schedule))


def test_accumulated_passes_step_like_one_batch(tmp_path: Path) -> None:
    one, whole = line(tmp_path / "one", Schedule(epochs=1, batch_size=8, learning_rate=0.01))
    two, halves = line(tmp_path / "two", Schedule(epochs=1, batch_size=4, accumulation=2, learning_rate=0.01))
    assert whole[-1].step == halves[-1].step == 4
    assert halves[0].terms["loss"] == pytest.approx(whole[0].terms["loss"], rel=1e-6, abs=0)
    torch.testing.assert_close(two.layer.weight, one.layer.weight, rtol=1e-6, atol=1e-7)


def test_accumulation_equals_its_slow_twin_with_a_short_last_step(tmp_path: Path) -> None:
    # 35 points make 8 batches of 4: two steps of 3 passes, and a last one of 2.
    schedule = Schedule(epochs=1, batch_size=4, accumulation=3, learning_rate=0.01, warmup=0, clip=0, weight_decay=0)
    model, history = line(tmp_path, schedule)
    assert history[-1].step == 3

    twin, points = Line(), Points()
    optimizer = torch.optim.AdamW(twin.parameters(), weight_decay=0)
    order = list(EpochSampler(len(points), seed=0))
    for step, passes in enumerate(([0, 1, 2], [3, 4, 5], [6, 7])):
        optimizer.param_groups[0]["lr"] = 0.01 * 0.5 * (1 + np.cos(np.pi * step / 3))
        losses = [twin(**collate([points[row] for row in order[4 * k : 4 * k + 4]]))["loss"] for k in passes]
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        optimizer.step()
    torch.testing.assert_close(model.layer.weight, twin.layer.weight, rtol=1e-5, atol=1e-7)


def test_a_history_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl, line 1 needs exactly .*found \['epoch'\]"):
        read_history(tmp_path)
    with pytest.raises(RunError, match="no such record of a training"):
        read_history(tmp_path / "nothing")
