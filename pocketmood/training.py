"""One way to train teacher and student: transformers' Trainer, our checkpoints, averaged weights, one line per epoch.

`fit` can be killed at any moment: called again it goes on from the last finished epoch, and on the CPU it ends with the
same weights to the last bit. All randomness follows from (seed, epoch, process), never from what ran before.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pocketmood.errors import PocketmoodError, RunError
from pocketmood.runs import write_json, write_text

if TYPE_CHECKING:
    from torch import Tensor, nn
BEST_WEIGHTS = "best.safetensors"
BEST_RECORD = "best.json"
HISTORY = "metrics.jsonl"


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    epochs: float = 10.0
    """Passes over the data set; a fraction ends within an epoch."""
    batch_size: int = 16
    """Items per step, over all processes together."""
    learning_rate: float = 1e-3
    """Peak of the cosine, for AdamW; a parameter group may set its own."""
    weight_decay: float = 0.05
    """For weights of two or more dimensions; biases and norms have none."""
    warmup: float = 0.15
    """Share of all steps with a linearly rising rate."""
    ema_decay: float = 0.0
    """Decay of the moving average of the weights; 0 means no average."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    seed: int = 0
    """Decides the order of items, dropout, and what the data set draws."""
    restarts: tuple[int, ...] = ()
    """Epochs after which the cosine begins anew at its peak, without a new warm-up."""
    final_rate: float = 0.0
    """Where each cosine ends: a learning rate, the same for all parameter groups."""
    patience: int = 0
    """Stop after so many epochs without a better validation, counted from the last restart; 0 never stops early."""
    workers: int = 0
    """Loader processes; 0 loads in the training process."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of forward and backward; auto: bf16 or fp16 on a GPU, fp32 on a CPU."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if self.epochs <= 0 or self.batch_size < 1 or self.learning_rate <= 0:
            raise PocketmoodError(
                f"epochs {self.epochs}, batch_size {self.batch_size} and learning_rate {self.learning_rate} "
                "must be above 0"
            )
        if not (0 <= self.warmup < 1 and 0 <= self.ema_decay < 1):
            raise PocketmoodError(f"warmup {self.warmup} and ema_decay {self.ema_decay} must be in [0, 1)")
        if list(self.restarts) != sorted({epoch for epoch in self.restarts if 0 < epoch < self.epochs}):
            raise PocketmoodError(f"restarts {self.restarts} must rise and lie between 0 and {self.epochs} epochs")
        if not 0 <= self.final_rate <= self.learning_rate:
            raise PocketmoodError(f"final_rate {self.final_rate} must lie in [0, {self.learning_rate}]")


class EpochDataset(Protocol):
    """A map-style data set whose items depend on nothing but (seed, `epoch`, index)."""

    epoch: int

    def __len__(self) -> int:
        """Count the items of one epoch."""

    def __getitem__(self, index: int) -> Any:
        """Draw one item."""


def fit(
    model: nn.Module,
    dataset: EpochDataset,
    collate: Callable[[list[Any]], dict[str, Tensor]],
    validate: Callable[[nn.Module], Mapping[str, float]],
    folder: Path,
    schedule: Schedule,
    metric: str = "ccc_mean",
    groups: Sequence[Mapping[str, Any]] | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """Train `model` and leave its best weights in it; return one record per epoch.

    model(**batch) returns a dict with "loss" and further scalar terms, which are logged unweighted. After each epoch
    `validate(model)` runs in eval mode without gradients, on the averaged weights where there are any; the epoch with
    the highest `metric` wins. groups: parameter groups as torch.optim takes them (default: decay for matrices only).
    on_epoch(epoch): called before each epoch, counted from 0; it may switch `requires_grad` of parameters off and on
    (all that are ever trained require gradients when `fit` is called). Those that wait keep their optimiser state.

    Writes to `folder`: metrics.jsonl, best.safetensors, best.json, checkpoints/. A folder that holds a training with
    another schedule raises RunError. Under torchrun each process takes its share of every batch.
    """
    # Two warnings per import come from torchao's enums, none of them ours to act on.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    from pocketmood.checkpoints import load_tensors, newest_checkpoint, read_state
    from pocketmood.trainer import build_trainer

    trainer, progress = build_trainer(model, dataset, collate, validate, folder, schedule, metric, groups, on_epoch)
    found = newest_checkpoint(folder / "checkpoints")
    state = read_state(found) if found else {}
    if found and state["schedule"] != json.loads(json.dumps(asdict(schedule))):
        raise RunError(f"{found}: begun with another schedule ({state['schedule']}). Delete this folder first")
    if not state.get("finished"):
        if not found and progress.is_main:  # left by a training that was killed before its first checkpoint
            for name in (BEST_WEIGHTS, BEST_RECORD, HISTORY):
                (folder / name).unlink(missing_ok=True)
        trainer.train(resume_from_checkpoint=str(found) if found else None)
    trainer.accelerator.wait_for_everyone()
    model.load_state_dict(load_tensors(folder / BEST_WEIGHTS))
    model.eval()
    history = read_history(folder)
    trainer.release()  # only now may the main process move the folder
    return history


def is_main_process() -> bool:
    """Tell whether this process writes folders and prints: always, but for the helpers that torchrun starts."""
    return os.environ.get("RANK", "0") == "0"


def write_history(folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write metrics.jsonl anew: after a kill it must not keep lines of an epoch that is trained again."""
    write_text(folder / HISTORY, "".join(json.dumps(line) + "\n" for line in history))


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl: the record of each epoch."""
    return [json.loads(line) for line in (folder / HISTORY).read_text().splitlines()]


def write_best(folder: Path, best: Mapping[str, Any]) -> None:
    """Write best.json: epoch, metric name and value."""
    write_json(folder / BEST_RECORD, best)
