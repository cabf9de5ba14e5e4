"""One way to train teacher and student: transformers' Trainer, our checkpoints, averaged weights, one line per epoch.

`fit` can be killed at any moment: called again it goes on from the last finished epoch, and on the CPU it ends with the
same weights to the last bit. All randomness follows from (seed, epoch, process), never from what ran before.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketmood.errors import RunError
from pocketmood.training.schedule import BEST_RECORD, BEST_WEIGHTS, HISTORY, EpochDataset, Schedule, read_history

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Training:
    """What `fit` trains, on what, judged by what, and where its files go."""

    model: nn.Module
    """model(**batch) returns a dict with "loss" and further scalar terms, which are logged unweighted."""
    dataset: EpochDataset
    """The items, whose `epoch` is set before each epoch."""
    collate: Callable[[list[Any]], dict[str, Tensor]]
    """Stacks items to a batch."""
    validate: Callable[[nn.Module], Mapping[str, float]]
    """Scores by name; called after each epoch in eval mode without gradients, on the averaged weights if there are."""
    folder: Path
    """Gets metrics.jsonl, best.safetensors, best.json and checkpoints/."""
    schedule: Schedule
    """How long and how fast."""
    seed: int = 0
    """Decides the order of items and dropout."""
    metric: str = "ccc_mean"
    """The score whose highest value makes the best epoch."""
    groups: Sequence[Mapping[str, Any]] | None = None
    """Parameter groups as torch.optim takes them; decay for matrices only, if left out."""
    on_epoch: Callable[[int], None] | None = None
    """Called before each epoch, counted from 0; may switch `requires_grad` of parameters off and on. All that are ever
    trained must require gradients when `fit` is called; those that wait keep their optimiser state."""


def fit(training: Training) -> list[dict[str, Any]]:
    """Train the model and leave its best weights in it; return one record per epoch.

    A folder that holds a training with another schedule or seed raises RunError. Under torchrun each process takes its
    share of every batch.
    """
    model, folder, schedule = training.model, training.folder, training.schedule
    # Two warnings per import come from torchao's enums, none of them ours to act on.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    from pocketmood.training.checkpoints import load_tensors, newest_checkpoint, read_state
    from pocketmood.training.trainer import build_trainer

    trainer, progress = build_trainer(training)
    found = newest_checkpoint(folder / "checkpoints")
    state = read_state(found) if found else {}
    plan = asdict(schedule) | {"seed": training.seed}
    if found and state["schedule"] != json.loads(json.dumps(plan)):
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
