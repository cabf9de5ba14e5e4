"""One way to train teacher and student: transformers' Trainer, our checkpoints, averaged weights, one line per epoch.

`fit` can be killed at any moment: called again it goes on from the last finished epoch, and on the CPU it ends with the
same weights to the last bit. All randomness follows from (seed, epoch, process), never from what ran before.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketmood.errors import RunError
from pocketmood.training.schedule import BEST_RECORD, BEST_WEIGHTS, HISTORY, EpochDataset, Schedule, read_history

if TYPE_CHECKING:
    from torch import Tensor, nn


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
    from pocketmood.training.checkpoints import load_tensors, newest_checkpoint, read_state
    from pocketmood.training.trainer import build_trainer

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
