"""Memory that runs out: the same steps with smaller passes, from the last checkpoint, until nothing smaller is left."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pocketmood.errors import RunError
from pocketmood.training import memory
from pocketmood.training.checkpoints import load_tensors, newest_checkpoint
from pocketmood.training.fit import Training, fit
from pocketmood.training.history import Learning, TrainingFacts, read_facts, read_history
from pocketmood.training.schedule import Schedule
from tests.pocketmood.training.test_fit import SCHEDULE, KillError, Line, Net, Points, collate, dies_at

FITS: dict[str, int] = {"items": 8}


class Narrow(Line):
    """A network on a device that holds `FITS["items"]` items per pass."""

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        if len(x) > FITS["items"]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(x, y)


@pytest.fixture
def fits() -> Any:
    """Let a test say how many items fit; all fit again after it."""
    yield FITS
    FITS["items"] = 8


def narrow(folder: Path, schedule: Schedule, **options: Any) -> Narrow:
    model = Narrow()
    fit(Training(model, Points(), collate, lambda _: {"ccc_mean": 0.0}, folder, schedule, **options))
    return model


def test_halving_by_hand() -> None:
    sizes, size = [], 12
    while (half := memory.halved(size, 1)) is not None:
        sizes.append(size := half)
    assert sizes == [6, 3, 2, 1]
    assert memory.halved(3, 2) == 2 and memory.halved(2, 2) is None and memory.halved(1, 1) is None


def test_cutting_by_hand() -> None:
    assert [list(part) for part in memory.cut(range(12), 5)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert [len(part) for part in memory.cut(range(5), 2)] == [1, 2, 2]
    assert memory.cut([1, 2], 12) == [[1, 2]]


@pytest.mark.parametrize(("holds", "size"), [(4, 4), (3, 2), (1, 1)])
def test_smaller_passes_take_the_same_steps(
    tmp_path: Path, fits: dict[str, int], capsys: pytest.CaptureFixture[str], holds: int, size: int
) -> None:
    schedule = Schedule(epochs=2, batch_size=8, learning_rate=0.01)
    whole = narrow(tmp_path / "whole", schedule)
    capsys.readouterr()
    fits["items"] = holds
    parts = narrow(tmp_path / "parts", schedule, name="vit")

    # The mean squared error is a mean over items: only the order of additions differs, float32's 1e-7 a few times.
    torch.testing.assert_close(parts.layer.weight, whole.layer.weight, rtol=1e-5, atol=1e-6)
    histories = [read_history(tmp_path / name) for name in ("whole", "parts")]
    assert [[record.step for record in history] for history in histories] == [[4, 8]] * 2
    for ours, theirs in zip(*histories, strict=True):
        assert ours.terms["loss"] == pytest.approx(theirs.terms["loss"], rel=1e-5, abs=0)
    facts = read_facts(tmp_path / "parts")
    assert facts is not None and facts.pass_size == size

    printed = capsys.readouterr().out
    first = (
        "vit: memory ran out with 8 items per pass; going on from the last epoch with 4, 2 passes for each batch of 8"
    )
    assert first in printed and f"with {size}, {8 // size} passes for each batch of 8" in printed


def test_passes_of_unequal_size_count_by_their_items(tmp_path: Path, fits: dict[str, int]) -> None:
    schedule = Schedule(epochs=1, batch_size=7, accumulation=2, learning_rate=0.01)
    whole = narrow(tmp_path / "whole", schedule)
    fits["items"] = 4  # 7 items become 3 and 4
    parts = narrow(tmp_path / "parts", schedule)
    torch.testing.assert_close(parts.layer.weight, whole.layer.weight, rtol=1e-5, atol=1e-6)


def test_training_goes_on_from_the_last_checkpoint(tmp_path: Path, fits: dict[str, int]) -> None:
    begun: list[int] = []

    def on_epoch(epoch: int) -> None:
        begun.append(epoch)
        fits["items"] = 8 if epoch < 2 else 4  # an unfreezing takes more memory

    narrow(tmp_path, Schedule(epochs=4, batch_size=8), on_epoch=on_epoch)
    assert begun == [0, 1, 2, 2, 3]
    assert [record.step for record in read_history(tmp_path)] == [4, 8, 12, 16]


def test_going_on_with_smaller_passes_meets_all_that_ever_learns(tmp_path: Path, fits: dict[str, int]) -> None:
    model = Narrow()

    def on_epoch(epoch: int) -> None:
        model.layer.bias.requires_grad_(epoch >= 2)
        fits["items"] = 8 if epoch < 1 else 4  # memory runs out while the offsets are frozen

    before = model.layer.bias.detach().clone()
    schedule = Schedule(epochs=3, batch_size=8, learning_rate=0.01)
    fit(Training(model, Points(), collate, lambda _: {"ccc_mean": 0.0}, tmp_path, schedule, on_epoch=on_epoch))
    facts = read_facts(tmp_path)
    assert facts is not None and facts.learning == (Learning(1, 10, 8), Learning(3, 10, 10))
    # The kept epoch is the first one; the last checkpoint has the offsets that have learnt.
    last = newest_checkpoint(tmp_path / "checkpoints")
    assert last is not None and not torch.equal(load_tensors(last / "model.safetensors")["layer.bias"], before)


def test_before_the_first_checkpoint_it_begins_again_with_the_first_weights(tmp_path: Path) -> None:
    calls = itertools.count(1)

    class Late(Net):
        """Batch norms, dropout and moved weights: memory runs out in the third step."""

        def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
            if self.training and next(calls) == 3:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().forward(x, y)

    def train(model: Net, folder: Path) -> Net:
        fit(Training(model, Points(), collate, lambda _: {"ccc_mean": 0.0}, folder, replace(SCHEDULE, epochs=1)))
        return model

    again = train(Late(), tmp_path / "again")
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "training.json").write_text('{"pass_size": 4, "learning": []}')
    small = train(Net(), tmp_path / "small")
    for name, value in small.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_continued_training_remembers_its_passes(tmp_path: Path, fits: dict[str, int]) -> None:
    fits["items"] = 4
    schedule = Schedule(epochs=3, batch_size=8)
    with pytest.raises(KillError):
        fit(Training(Narrow(), Points(), dies_at(14), lambda _: {"ccc_mean": 0.0}, tmp_path, schedule))
    facts = read_facts(tmp_path)
    assert facts is not None and facts.pass_size == 4
    fits["items"] = 8  # more would fit now
    seen: list[int] = []

    def counting(items: list[Any]) -> dict[str, Tensor]:
        seen.append(len(items))
        return collate(items)

    fit(Training(Narrow(), Points(), counting, lambda _: {"ccc_mean": 0.0}, tmp_path, schedule))
    assert set(seen) == {4}


def test_a_pass_of_one_that_does_not_fit_is_an_error_with_what_to_try(tmp_path: Path, fits: dict[str, int]) -> None:
    fits["items"] = 0
    with pytest.raises(RunError, match=r"vit: memory ran out even with 1 item per pass.*expandable_segments:True.*--x"):
        narrow(tmp_path / "one", Schedule(epochs=1, batch_size=8), name="vit", remedy="fewer --x")
    fits["items"] = 1
    with pytest.raises(RunError, match="even with 2 items per pass"):
        narrow(tmp_path / "two", Schedule(epochs=1, batch_size=8), least=2)


def test_other_errors_are_not_taken_for_memory(tmp_path: Path) -> None:
    assert memory.ran_out(torch.OutOfMemoryError("CUDA out of memory."))
    assert memory.ran_out(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    assert not memory.ran_out(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) and not memory.ran_out(
        KillError()
    )

    def broken(items: list[Any]) -> dict[str, Tensor]:
        raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        fit(Training(Line(), Points(), broken, lambda _: {"ccc_mean": 0.0}, tmp_path, Schedule(epochs=1, batch_size=8)))


def test_predictions_are_made_in_parts_where_all_at_once_is_too_much() -> None:
    sizes: list[int] = []

    def predict(rows: Tensor) -> Tensor:
        if len(rows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        sizes.append(len(rows))
        return rows * 2

    rows = torch.arange(10.0)
    assert torch.equal(torch.cat(memory.in_parts(predict, rows)), rows * 2)
    assert sizes == [2, 3, 2, 3]


def test_what_learns_is_counted_when_it_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Line()

    def on_epoch(epoch: int) -> str:
        model.layer.bias.requires_grad_(epoch >= 2)
        return f"{epoch // 2} of 1 offsets"

    training = Training(
        model, Points(), collate, lambda _: {"ccc_mean": 0.0}, tmp_path, Schedule(epochs=4, batch_size=8),
        on_epoch=on_epoch, name="line",
    )  # fmt: skip
    fit(training)
    printed = [line for line in capsys.readouterr().out.splitlines() if "parameters" in line]
    assert printed == [
        "line: epoch 1: 0 of 1 offsets: 8 of 10 parameters, 2 frozen",
        "line: epoch 3: 1 of 1 offsets: all 10 parameters learn",
    ]
    assert read_facts(tmp_path) == TrainingFacts(8, (Learning(1, 10, 8), Learning(3, 10, 10)))


def test_counts_in_words() -> None:
    assert str(Learning(8, 86_193_412, 7_100_000)) == "7.1 M of 86.2 M parameters, 79.1 M frozen"
    assert str(Learning(1, 86_193_412, 86_193_412)) == "all 86.2 M parameters learn"
    assert str(Learning(1, 422_532, 422_532)) == "all 422,532 parameters learn"


def test_loader_processes_change_nothing(tmp_path: Path) -> None:
    schedule = Schedule(epochs=2, batch_size=8, learning_rate=0.01)
    weights = [narrow(tmp_path / str(workers), replace(schedule, workers=workers)).layer.weight for workers in (0, 2)]
    assert torch.equal(*weights)
