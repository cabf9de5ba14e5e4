"""What happens around the steps of a training: seeding, averages, validation, best weights, the log, stopping early."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import TrainerCallback

from pocketmood.errors import PocketmoodError, RunError
from pocketmood.training.checkpoints import Averages, save_tensors
from pocketmood.training.fit import Training
from pocketmood.training.schedule import BEST_WEIGHTS, Epochal, write_best, write_history


class Progress(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """What happens around the steps: seeding, averaging, validation, best weights, the log, stopping early."""

    def __init__(self, training: Training) -> None:
        """Keep the parts; the averages begin at the first step, when the model is on its device."""
        self.model, self.validate, self.folder = training.model, training.validate, training.folder
        self.metric, self.dataset, self.on_epoch = training.metric, training.dataset, training.on_epoch
        self.schedule, self.seed = training.schedule, training.seed
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}
        self.terms: dict[str, Tensor] = {}
        self.averages: Averages | None = None
        self.finished, self.rank, self.steps_per_epoch = False, 0, 1
        self.sampler: Epochal | None = None
        self.bar: tqdm[Any] | None = None

    @property
    def is_main(self) -> bool:
        """Tell whether this process validates and writes."""
        return self.rank == 0

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Sum the scalar terms of a step, on their device: reading them out would wait for the GPU."""
        for name, value in terms.items():
            if value.ndim == 0:
                self.terms[name] = self.terms[name] + value.detach() if name in self.terms else value.detach()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold of this."""
        return {
            "schedule": asdict(self.schedule) | {"seed": self.seed},
            "history": self.history,
            "best": self.best,
            "finished": self.finished,
        }

    def load(self, state: Mapping[str, Any], averages: Mapping[str, Tensor] | None) -> None:
        """Take over a checkpoint's state."""
        self.history, self.best = list(state["history"]), dict(state["best"])
        if averages is not None:
            self.averages = Averages(self.model, self.schedule.ema_decay)
            self.averages.load(averages)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar and the averages."""
        if self.schedule.ema_decay and self.averages is None:
            self.averages = Averages(self.model, self.schedule.ema_decay)
        hidden = not (self.is_main and sys.stderr.isatty())
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", leave=False, disable=hidden)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Derive everything random in the epoch from (seed, epoch, process)."""
        epoch = state.global_step // self.steps_per_epoch
        self.dataset.epoch = epoch
        if self.sampler is not None:
            self.sampler.epoch = epoch
        seed = int(np.random.SeedSequence([self.seed, epoch, self.rank]).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        if self.on_epoch:
            self.on_epoch(epoch)
        self.terms, self.started, self.first_step = {}, time.perf_counter(), state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Average the weights."""
        if self.averages:
            self.averages.update(state.global_step)
        if self.bar is not None:
            self.bar.update()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Validate, log, keep the best weights, and ask for a checkpoint."""
        steps = max(state.global_step - self.first_step, 1)
        terms = {name: float(value) / steps for name, value in self.terms.items()}
        trained_s = time.perf_counter() - self.started
        if not np.isfinite(terms["loss"]):
            raise RunError(f"{self.folder}: the loss became {terms['loss']}; try a learning rate below "
                           f"{self.schedule.learning_rate}")  # fmt: skip
        if self.is_main:
            self._close_epoch(state, terms, trained_s / steps, kwargs["optimizer"])
        since = max(self.best.get("epoch", 0), *self.schedule.restarts, 0)
        late = len(self.history) - since >= self.schedule.patience > 0
        stop = torch.tensor([float(self.is_main and late)], device=args.device)
        if args.world_size > 1:
            torch.distributed.broadcast(stop, 0)
        control.should_training_stop = control.should_training_stop or bool(stop)
        self.finished = bool(control.should_training_stop or state.global_step >= state.max_steps)
        control.should_save = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()

    def _close_epoch(self, state: Any, terms: dict[str, float], step_s: float, optimizer: Any) -> None:
        """Validate on the averaged weights and write what is known of this epoch."""
        if self.averages:
            self.averages.swap()
        try:
            self.model.eval()
            with torch.no_grad():
                scores = {name: float(value) for name, value in self.validate(self.model).items()}
            if self.metric not in scores:
                raise PocketmoodError(f"validation returned {sorted(scores)}, without the metric {self.metric!r}")
            record = {
                "epoch": len(self.history) + 1,
                "step": state.global_step,
                "learning_rate": optimizer.param_groups[0]["lr"],
                "terms": terms,
                "validation": scores,
                "seconds": round(time.perf_counter() - self.started, 3),
                "step_seconds": round(step_s, 5),
            }
            self.history.append(record)
            value = scores[self.metric] if np.isfinite(scores[self.metric]) else -np.inf
            better = not self.best or value > self.best["value"]
            if better:
                self.best = {"epoch": record["epoch"], "metric": self.metric, "value": value}
                save_tensors(self.folder / BEST_WEIGHTS, self.model.state_dict())
                write_best(self.folder, self.best)
        finally:
            if self.averages:
                self.averages.swap()
        write_history(self.folder, self.history)
        self._say(record, better, state.max_steps)

    def _say(self, record: Mapping[str, Any], better: bool, max_steps: int) -> None:
        """Print the epoch as one line."""
        total = -(-max_steps // self.steps_per_epoch)
        shown = {name: value for name, value in record["terms"].items() if name != "loss" and "share" not in name}
        terms = ", ".join(f"{name} {value:.3f}" for name, value in shown.items())
        score = f"{self.metric} {record['validation'][self.metric]:.3f}{' *' if better else '  '}"
        loss = f"loss {record['terms']['loss']:.3f} ({terms})"
        tqdm.write(f"epoch {record['epoch']:>3}/{total}  {loss}  {score}  {record['seconds']:.1f} s")
