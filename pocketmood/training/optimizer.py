"""AdamW over parameter groups, and the cosine with restarts that leads its learning rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from pocketmood.training.schedule import Schedule


def make_optimizer(model: nn.Module, groups: Sequence[Mapping[str, Any]] | None, schedule: Schedule) -> Any:
    """Make AdamW over the given parameter groups, or over `default_groups`."""
    return torch.optim.AdamW(
        [dict(group) for group in groups or default_groups(model, schedule.weight_decay)],
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        fused=True,  # one kernel for all weights, on a CPU as well
    )


def default_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split trainable parameters: decay for matrices and kernels, none for biases, norms and single numbers."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]


def make_scheduler(optimizer: Any, schedule: Schedule, steps_per_epoch: int) -> LambdaLR:
    """Make the cosine with its restarts; each group comes from its own peak down to the same last rate."""
    total = math.ceil(schedule.epochs * steps_per_epoch)
    warmup = math.ceil(total * schedule.warmup)
    restarts = [epoch * steps_per_epoch for epoch in schedule.restarts]
    shape = partial(cosine, total=total, warmup=warmup, restarts=restarts, to_last=schedule.cosine_end == "last")
    peaks = [group["lr"] for group in optimizer.param_groups]
    # LambdaLR multiplies each group's own rate, so that the common last rate is another share of each peak.
    # A group whose rate is 0 stands still, and its share of the last rate has no meaning.
    lasts = [min(schedule.final_rate / peak, 1.0) if peak else 0.0 for peak in peaks]
    shapes: list[Callable[[int], float]] = [partial(shape, last=last) for last in lasts]
    return LambdaLR(optimizer, shapes)


def cosine(step: int, total: int, warmup: int, restarts: Sequence[int], last: float, *, to_last: bool = False) -> float:
    """Return the rate of a step as a share of its peak.

    A straight line up over `warmup` steps, then half a cosine down to `last`, and another from the peak after each step
    of `restarts` (SGDR, Loshchilov and Hutter 2017, with cycles as long as they are asked to be). to_last: every cosine
    is stretched over all remaining steps, and a restart cuts it short.
    """
    edges = [0, *restarts, max(total, 1)]
    begin = max((edge for edge in edges[:-1] if edge <= step), default=0)
    end = edges[-1] if to_last else edges[edges.index(begin) + 1]
    if begin == 0:
        if step < warmup:
            return step / max(warmup, 1)
        begin = warmup
    progress = min((step - begin) / max(end - begin, 1), 1.0)
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * progress))


def match_layout(state: Mapping[Tensor, dict[str, Any]]) -> None:
    """Give loaded moments the strides of their weights.

    Files hold contiguous tensors; the fused AdamW pairs elements by address, so that moments of channels-last weights
    would silently belong to other elements.
    """
    for weight, entries in state.items():
        for key, value in entries.items():
            if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                entries[key] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
