"""The end of an epoch: its validation, whether it is the best one so far, whether patience is over, and its line."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

from pocketmood.errors import PocketmoodError
from pocketmood.runs import write_json
from pocketmood.training.checkpoints import save_tensors
from pocketmood.training.history import BestRecord, EpochRecord, write_history
from pocketmood.training.schedule import BEST_RECORD, BEST_WEIGHTS, Schedule
from pocketmood.training.state import State

if TYPE_CHECKING:
    from pocketmood.training.fit import Training


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
    # From the best epoch alone, as the recipe counts. Restarts hold nothing back: with unfreezings every four epochs, a
    # patience of five that began anew at each could not end anything before the last one.
    return done - best >= schedule.patience > 0


def epoch_line(training: Training, record: EpochRecord, better: bool) -> str:
    """Lay out an epoch as one line; a star marks the best so far."""
    # The terms' shares of the loss are for the file; the line is long enough without them.
    shown = {name: value for name, value in record.terms.items() if name != "loss" and "share" not in name}
    terms = ", ".join(f"{name} {value:.3f}" for name, value in shown.items())
    score = f"{training.metric} {record.validation[training.metric]:.3f}{' *' if better else '  '}"
    total = math.ceil(training.schedule.epochs)
    loss = f"loss {record.terms['loss']:.3f} ({terms})"
    return f"epoch {record.epoch:>3}/{total}  {loss}  {score}  {record.seconds:.1f} s"
