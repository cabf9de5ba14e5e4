"""A moving average of a model's weights while it is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class Averages:
    """A moving average of a model's trainable weights and float buffers, used for validation and as the result.

    average <- average + (1 - d) (live - average), d = min(decay, (1 + step) / (10 + step)): the first steps weigh more,
    so that the average leaves the random start behind. Batch-norm statistics are averaged with the weights they fit.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        """Start from the model's values of now; the model must be on its device already."""
        self.decay = decay
        named = [(name, p.data) for name, p in model.named_parameters() if p.requires_grad]
        named += [(name, b) for name, b in model.named_buffers() if b.is_floating_point()]
        self.names = [name for name, _ in named]
        self.live = [tensor for _, tensor in named]
        self.values = [tensor.clone() for tensor in self.live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the live values; `step` counts from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        # One call for all tensors: a kernel per tensor would cost a GPU more time than the arithmetic.
        torch._foreach_lerp_(self.values, self.live, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange live and averaged values; called a second time it undoes itself."""
        # In place: optimiser and wrapped model hold these very tensors.
        for live, value in zip(self.live, self.values, strict=True):
            kept = live.clone()
            live.copy_(value)
            value.copy_(kept)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model hold the averages for a while, whatever happens in it."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def state(self) -> dict[str, Tensor]:
        """Return the averages by name."""
        return dict(zip(self.names, self.values, strict=True))

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over saved averages."""
        for name, value in zip(self.names, self.values, strict=True):
            value.copy_(tensors[name])
