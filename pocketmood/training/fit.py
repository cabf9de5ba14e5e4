"""One way to train teacher and student: a loop on accelerate, our checkpoints, averaged weights, one line per epoch.

Where memory runs out, `fit` goes on with smaller passes of the same batches (`memory.py`). It can be killed at any
moment: called again it goes on from the last finished epoch, and on the CPU it ends with the same weights to the last
bit. All randomness follows from (seed, epoch, process), never from what ran before.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from pocketmood.errors import RunError
from pocketmood.training import memory
from pocketmood.training.averages import Averages
from pocketmood.training.checkpoints import load_tensors, newest_checkpoint
from pocketmood.training.distributed import agree, make_accelerator, synchronised, whole_batch_norms
from pocketmood.training.epoch import close_epoch, out_of_patience
from pocketmood.training.history import (
    HISTORY,
    EpochRecord,
    Learning,
    TrainingFacts,
    read_facts,
    read_history,
    write_facts,
)
from pocketmood.training.loader import EpochSampler, make_loader, share_of_batch
from pocketmood.training.optimizer import make_optimizer, make_scheduler
from pocketmood.training.retreat import rehearse, retreat
from pocketmood.training.schedule import BEST_RECORD, BEST_WEIGHTS, EpochDataset, Schedule
from pocketmood.training.state import State

if TYPE_CHECKING:
    from accelerate import Accelerator


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
    """The score whose best value makes the best epoch."""
    lowest: bool = False
    """Whether the best value is the lowest: a loss or an error; else it is the highest."""
    groups: Sequence[Mapping[str, Any]] | None = None
    """Parameter groups as torch.optim takes them; decay for matrices only, if left out."""
    on_epoch: Callable[[int], str | None] | None = None
    """Called before each epoch, counted from 0; may switch `requires_grad` of parameters off and on, and returns what
    learns in words. All that are ever trained must require gradients when `fit` is called; those that wait keep their
    optimiser state."""
    name: str = "training"
    """What its lines call it."""
    least: int = 1
    """Fewest items that a pass may have: 2 where the loss compares items with each other."""
    remedy: str = "fewer frames per crop, or a smaller network"
    """What to train instead where such a pass is too large for memory, with its flags."""


def fit(training: Training) -> list[EpochRecord]:
    """Train the model and leave its best weights in it; return one record per epoch.

    A folder that holds a training with another schedule or seed raises RunError, and so does a training whose smallest
    pass does not fit in memory. Under torchrun each process takes its share of every batch.
    """
    checkpoints = training.folder / "checkpoints"
    # In host memory: where memory runs out before the first checkpoint, this is what the training begins with again.
    first = {name: value.detach().to("cpu", copy=True) for name, value in training.model.state_dict().items()}
    ever = [(parameter, parameter.requires_grad) for parameter in training.model.parameters()]
    while True:
        try:
            return attempt(training)
        except Exception as error:
            if not memory.ran_out(error):
                raise
            rehearsed = isinstance(error, memory.OutOfMemory)
        # Out of the block above, which holds the error and with it every tensor of the failed pass.
        training.model.zero_grad(set_to_none=True)
        memory.free()
        retreat(training, rehearsed)
        # An epoch may have frozen what learns later: optimiser and processes must meet all that ever learns again.
        for parameter, learns in ever:
            parameter.requires_grad_(learns)
        if newest_checkpoint(checkpoints) is None:
            training.model.load_state_dict(first)


def attempt(training: Training) -> list[EpochRecord]:
    """Train from the last checkpoint to the end, with passes of the size in training.json; memory may run out."""
    schedule, folder = training.schedule, training.folder
    accelerator = make_accelerator(schedule.precision, waiting=training.on_epoch is not None)
    share = share_of_batch(training, accelerator.num_processes)
    facts = read_facts(folder) or TrainingFacts(share, ())
    loader, sampler = make_loader(training, accelerator, min(facts.pass_size, share))
    steps_per_epoch = math.ceil(len(loader) / schedule.accumulation)
    last_step = math.ceil(schedule.epochs * steps_per_epoch)

    network = training.model
    if accelerator.num_processes > 1 and accelerator.device.type == "cuda":  # torch has no such norms for CPUs
        network = whole_batch_norms(network)
    model, optimizer = accelerator.prepare(network, make_optimizer(network, training.groups, schedule))
    scheduler = make_scheduler(optimizer, schedule, steps_per_epoch)
    averages = Averages(network, schedule.ema_decay) if schedule.ema_decay else None
    plan = asdict(schedule) | {"seed": training.seed}
    state = State(plan, network, optimizer, scheduler, averages, accelerator.scaler)
    if not state.resume(folder / "checkpoints") and accelerator.is_main_process:
        forget(folder)  # what a training left that was killed before its first checkpoint

    tried: Learning | None = None
    quiet = not (accelerator.is_main_process and sys.stderr.isatty())
    bar = tqdm(total=last_step, initial=state.step, unit="step", leave=False, disable=quiet)
    for epoch in range(len(state.history), 0 if state.finished else math.ceil(schedule.epochs)):
        words = begin_epoch(training, sampler, epoch, accelerator.process_index)
        facts = note_learning(training, accelerator, facts, epoch, words)
        # One process learns as much from its first step; several could not agree in the middle of it.
        if accelerator.num_processes > 1 and facts.learning[-1] != tried:
            rehearse(training, accelerator, min(facts.pass_size, share))
            tried = facts.learning[-1]
        sums, before, started = dict[str, Tensor](), state.step, time.perf_counter()
        model.train()  # validation leaves eval mode behind
        batches = iter(loader)
        while state.step < last_step and (step := list(islice(batches, schedule.accumulation))):
            add_gradients(accelerator, model, step, sums)
            if schedule.clip:
                accelerator.clip_grad_norm_(model.parameters(), schedule.clip)
            optimizer.step()
            if not accelerator.optimizer_step_was_skipped:  # fp16 skips one where a gradient overflows
                scheduler.step()
            model.zero_grad()
            state.step += 1
            if averages:
                averages.update(state.step)
            bar.update()

        means = mean_terms(training, sums, state.step - before)
        if accelerator.is_main_process:
            close_epoch(training, state, means, started, (time.perf_counter() - started) / (state.step - before))
        # Only the main process has scores; the others stop when it does.
        best = state.best.epoch if state.best else 0
        state.finished = agree(out_of_patience(len(state.history), best, schedule)) or state.step >= last_step
        if accelerator.is_main_process:
            state.save(folder / "checkpoints")
        if state.finished:
            break
    bar.close()
    return take_best(training, accelerator, model)


def forget(folder: Path) -> None:
    """Remove the record and the weights of an epoch that is trained again."""
    for name in (BEST_WEIGHTS, BEST_RECORD, HISTORY):
        (folder / name).unlink(missing_ok=True)


def take_best(training: Training, accelerator: Accelerator, model: nn.Module) -> list[EpochRecord]:
    """Leave the weights of the best epoch in the model, in eval mode, and return the record of all epochs."""
    accelerator.wait_for_everyone()
    training.model.load_state_dict(load_tensors(training.folder / BEST_WEIGHTS))
    training.model.eval()
    history = read_history(training.folder)
    accelerator.wait_for_everyone()  # only now may the main process move the folder
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)  # the model's own forward, without autocast around it
    return history


def note_learning(
    training: Training, accelerator: Accelerator, facts: TrainingFacts, epoch: int, words: str | None
) -> TrainingFacts:
    """Count what learns in an epoch (from 0); where that changes, print it and write it to training.json."""
    counted = [(parameter.numel(), parameter.requires_grad) for parameter in training.model.parameters()]
    now = Learning(epoch + 1, sum(size for size, _ in counted), sum(size for size, learns in counted if learns))
    # Without entries of epochs that are trained again after a kill.
    before = tuple(entry for entry in facts.learning if entry.epoch <= epoch)
    if before and before[-1].learning == now.learning:
        return replace(facts, learning=before)
    facts = replace(facts, learning=(*before, now))
    if accelerator.is_main_process:
        tqdm.write(f"{training.name}: epoch {epoch + 1}: {words + ': ' if words else ''}{now}")
        training.folder.mkdir(parents=True, exist_ok=True)
        write_facts(training.folder, facts)
    return facts


def add_gradients(
    accelerator: Accelerator,
    model: nn.Module,
    batches: Sequence[Sequence[tuple[float, dict[str, Tensor]]]],
    sums: dict[str, Tensor],
) -> None:
    """Accumulate the mean gradient of a step's batches, each in one or more passes; add their mean terms to `sums`."""
    passes = [part for batch in batches for part in batch]
    for number, (share, tensors) in enumerate(passes, 1):
        with synchronised(accelerator, model, number == len(passes)):
            terms = model(**tensors)
            # An epoch's last step may have fewer batches, and the passes of a batch need not be of one size.
            accelerator.backward(terms["loss"] * share / len(batches))
        add_terms(sums, terms, share / len(batches))


def begin_epoch(training: Training, sampler: EpochSampler, epoch: int, process: int) -> str | None:
    """Derive everything random in the epoch from (seed, epoch, process); return what learns in words."""
    training.dataset.epoch = sampler.epoch = epoch
    # Dropout draws from the global generators, and two processes with one seed would drop the same values.
    seed = int(np.random.SeedSequence([training.seed, epoch, process]).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return training.on_epoch(epoch) if training.on_epoch else None


def add_terms(sums: dict[str, Tensor], terms: Mapping[str, Tensor], share: float) -> None:
    """Add the scalar terms of one of a step's passes, on their device: reading them out would wait for the GPU."""
    for name, value in terms.items():
        if value.ndim == 0:
            part = value.detach() * share
            sums[name] = sums[name] + part if name in sums else part


def mean_terms(training: Training, sums: Mapping[str, Tensor], steps: int) -> dict[str, float]:
    """Read out the mean terms per step, which waits for a GPU; RunError in every process if the loss is not finite."""
    means = {name: float(total) / steps for name, total in sums.items()}
    if not math.isfinite(means["loss"]):
        rate = training.schedule.learning_rate
        raise RunError(f"{training.folder}: the loss became {means['loss']}; try a learning rate below {rate}")
    return means
