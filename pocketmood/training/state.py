"""What a training changes as it goes: all that a checkpoint must hold, and how it is taken over again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from pocketmood.errors import RunError
from pocketmood.records import from_json
from pocketmood.training.averages import Averages
from pocketmood.training.checkpoints import Parts, load_tensors, newest_checkpoint, read_state
from pocketmood.training.history import BestRecord, EpochRecord

# The shapes of a LambdaLR are functions; they follow from the schedule, which is compared.
_NOT_STORED = ("lr_lambdas",)


@dataclass
class State:
    """Networks and numbers of a training between two epochs."""

    plan: Mapping[str, Any]
    """Schedule and seed: a checkpoint of another plan is refused."""
    network: nn.Module
    """What is trained."""
    optimizer: Any
    """Its optimiser."""
    scheduler: Any
    """That of the learning rate."""
    averages: Averages | None
    """Running averages of the weights; None where none are kept."""
    scaler: Any
    """The gradient scaler of fp16; None for other precisions."""
    step: int = 0
    """Optimiser steps taken."""
    history: list[EpochRecord] = field(default_factory=list)
    """One record per finished epoch, in the main process."""
    best: BestRecord | None = None
    """The best epoch so far, in the main process; None before the first."""
    finished: bool = False
    """True once the last step is taken or patience has ended."""

    def save(self, folder: Path) -> None:
        """Write a checkpoint, and remove the one before."""
        averages = {"averages": self.averages.state()} if self.averages else {}
        scheduler = {key: value for key, value in self.scheduler.state_dict().items() if key not in _NOT_STORED}
        values = {
            "plan": self.plan,
            "step": self.step,
            "history": [asdict(record) for record in self.history],
            "best": asdict(self.best) if self.best else None,
            "finished": self.finished,
            "scheduler": scheduler,
            "scaler": self.scaler.state_dict() if self.scaler else {},
        }
        self._parts.save(folder, self.step, values, **averages)

    def resume(self, folder: Path) -> bool:
        """Take over the newest checkpoint in place; False where there is none. RunError for one of another plan."""
        found = newest_checkpoint(folder)
        if found is None:
            return False
        values = read_state(found)
        # Before anything is taken over, and through JSON, which makes lists of tuples.
        if values.get("plan") != json.loads(json.dumps(self.plan)):
            raise RunError(f"{found}: begun with another schedule ({values.get('plan')}). Delete this folder first")
        self.step, self.finished = values["step"], values["finished"]
        self.history = [from_json(EpochRecord, line, str(found)) for line in values["history"]]
        self.best = from_json(BestRecord, values["best"], str(found)) if values["best"] else None

        self._parts.load(found)
        # The stored numbers over the new scheduler's, which alone knows the shapes.
        self.scheduler.load_state_dict(self.scheduler.state_dict() | values["scheduler"])
        if self.averages:
            self.averages.load(load_tensors(found / "averages.safetensors"))
        if self.scaler:
            self.scaler.load_state_dict(values["scaler"])
        return True

    @property
    def _parts(self) -> Parts:
        return Parts({"model": self.network}, {"optimizer": self.optimizer})
