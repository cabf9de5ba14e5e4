"""One way to train teacher and student: a loop on accelerate, our checkpoints, averaged weights, one line per epoch.

`fit` can be killed at any moment: called again it goes on from the last finished epoch, and on the CPU it ends with the
same weights to the last bit. All randomness follows from (seed, epoch, process), never from what ran before.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from pocketmood.errors import PocketmoodError, RunError
from pocketmood.runs import write_json
from pocketmood.training.averages import Averages
from pocketmood.training.checkpoints import load_tensors, save_tensors
from pocketmood.training.distributed import agree, make_accelerator, synchronised, whole_batch_norms
from pocketmood.training.history import HISTORY, BestRecord, EpochRecord, read_history, write_history
from pocketmood.training.loader import EpochSampler, make_loader
from pocketmood.training.optimizer import make_optimizer, make_scheduler
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
    on_epoch: Callable[[int], None] | None = None
    """Called before each epoch, counted from 0; may switch `requires_grad` of parameters off and on. All that are ever
    trained must require gradients when `fit` is called; those that wait keep their optimiser state."""


def fit(training: Training) -> list[EpochRecord]:
    """Train the model and leave its best weights in it; return one record per epoch.

    A folder that holds a training with another schedule or seed raises RunError. Under torchrun each process takes its
    share of every batch.
    """
    schedule, folder = training.schedule, training.folder
    accelerator = make_accelerator(schedule.precision, waiting=training.on_epoch is not None)
    loader, sampler = make_loader(training, accelerator)
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

    quiet = not (accelerator.is_main_process and sys.stderr.isatty())
    bar = tqdm(total=last_step, initial=state.step, unit="step", leave=False, disable=quiet)
    for epoch in range(len(state.history), 0 if state.finished else math.ceil(schedule.epochs)):
        begin_epoch(training, sampler, epoch, accelerator.process_index)
        sums, before, started = dict[str, Tensor](), state.step, time.perf_counter()
        model.train()  # validation leaves eval mode behind
        batches = iter(loader)
        while state.step < last_step and (passes := list(islice(batches, schedule.accumulation))):
            for number, batch in enumerate(passes, 1):
                with synchronised(accelerator, model, number == len(passes)):
                    terms = model(**batch)
                    accelerator.backward(terms["loss"] / len(passes))  # an epoch's last step may have fewer passes
                add_terms(sums, terms, len(passes))
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


def begin_epoch(training: Training, sampler: EpochSampler, epoch: int, process: int) -> None:
    """Derive everything random in the epoch from (seed, epoch, process)."""
    training.dataset.epoch = sampler.epoch = epoch
    # Dropout draws from the global generators, and two processes with one seed would drop the same values.
    seed = int(np.random.SeedSequence([training.seed, epoch, process]).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if training.on_epoch:
        training.on_epoch(epoch)


def add_terms(sums: dict[str, Tensor], terms: Mapping[str, Tensor], passes: int) -> None:
    """Add the scalar terms of one of a step's passes, on their device: reading them out would wait for the GPU."""
    for name, value in terms.items():
        if value.ndim == 0:
            share = value.detach() / passes
            sums[name] = sums[name] + share if name in sums else share


def mean_terms(training: Training, sums: Mapping[str, Tensor], steps: int) -> dict[str, float]:
    """Read out the mean terms per step, which waits for a GPU; RunError in every process if the loss is not finite."""
    means = {name: float(total) / steps for name, total in sums.items()}
    if not math.isfinite(means["loss"]):
        rate = training.schedule.learning_rate
        raise RunError(f"{training.folder}: the loss became {means['loss']}; try a learning rate below {rate}")
    return means


def close_epoch(training: Training, state: State, terms: dict[str, float], started: float, step_s: float) -> None:
    """Validate on the averaged weights, keep the best, and write and print the record of this epoch."""
    folder, metric = training.folder, training.metric
    with state.averages.in_place() if state.averages else nullcontext():
        state.network.eval()
        with torch.no_grad():
            scores = {name: float(value) for name, value in training.validate(state.network).items()}
        if metric not in scores:
            raise PocketmoodError(f"validation returned {sorted(scores)}, without the metric {metric!r}")
        epoch, rate = len(state.history) + 1, state.optimizer.param_groups[0]["lr"]
        seconds = round(time.perf_counter() - started, 3)
        state.history.append(EpochRecord(epoch, state.step, rate, terms, scores, seconds, round(step_s, 5)))

        better = is_better(scores[metric], state.best, training.lowest)
        if better:
            # JSON knows no NaN; any defined value is better than the worst.
            worst = math.inf if training.lowest else -math.inf
            value = scores[metric] if math.isfinite(scores[metric]) else worst
            state.best = BestRecord(epoch, metric, value)
            save_tensors(folder / BEST_WEIGHTS, state.network.state_dict())
            write_json(folder / BEST_RECORD, asdict(state.best))
    write_history(folder, state.history)
    tqdm.write(epoch_line(training, state.history[-1], better))


def is_better(value: float, best: BestRecord | None, lowest: bool) -> bool:
    """Tell whether a score beats that of the best epoch so far; an undefined one beats nothing but no epoch at all."""
    # The first epoch wins whatever it scores: a training must not be left without any weights.
    if best is None or not math.isfinite(value):
        return best is None
    return value < best.value if lowest else value > best.value


def out_of_patience(done: int, best: int, schedule: Schedule) -> bool:
    """Tell whether training ends after `done` epochs, of which number `best` is the best (0: none yet)."""
    # A restart raises the rate again, and the epochs after it are to show what they are good for; one that is still to
    # come is no reason to wait, or the recipe's five epochs could not end anything before its last unfreezing.
    since = max(best, *(epoch for epoch in schedule.restarts if epoch < done), 0)
    return done - since >= schedule.patience > 0


def epoch_line(training: Training, record: EpochRecord, better: bool) -> str:
    """Lay out an epoch as one line; a star marks the best so far."""
    # The terms' shares of the loss are for the file; the line is long enough without them.
    shown = {name: value for name, value in record.terms.items() if name != "loss" and "share" not in name}
    terms = ", ".join(f"{name} {value:.3f}" for name, value in shown.items())
    score = f"{training.metric} {record.validation[training.metric]:.3f}{' *' if better else '  '}"
    total = math.ceil(training.schedule.epochs)
    loss = f"loss {record.terms['loss']:.3f} ({terms})"
    return f"epoch {record.epoch:>3}/{total}  {loss}  {score}  {record.seconds:.1f} s"
