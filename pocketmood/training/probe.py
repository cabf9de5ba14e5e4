"""Time one training step of a network, for an estimate of the whole training."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from pocketmood.training.device import choose_precision, default_device
from pocketmood.training.schedule import Precision

_STEPS_ON_GPU = 3
OutOfMemory = torch.OutOfMemoryError


@dataclass(frozen=True)
class Probe:
    """A training step to be timed."""

    name: str
    """The network."""
    batch: int
    """Items of a real step."""
    steps: float
    """Real steps in the whole training."""
    precision: Precision
    """Arithmetic that the config asks for."""
    build: Callable[[torch.device], Callable[[int], None]]
    """Builds the network on a device; what it returns makes one step, forward and backward, with so many items."""
    least: int = 1
    """Items that are timed on a CPU, where a step of ViT-B with 12 takes 20 s; 2 for what has batch norms."""


class Measured(NamedTuple):
    """What a probe found."""

    seconds: float
    """Per real step."""
    items: int
    """Items that were timed; fewer than a real step has where it is scaled from them."""


def measure(probe: Probe) -> Measured:
    """Time a step: on a GPU with the whole batch after an untimed one, on a CPU with an item or two, scaled to it.

    `OutOfMemory` where the batch does not fit.
    """
    place = default_device()
    half = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}[choose_precision(probe.precision)]
    on_gpu = place.type == "cuda"
    items = probe.batch if on_gpu else min(probe.least, probe.batch)
    # Forked, so that a training draws the same numbers with a doctor before it as without.
    with torch.random.fork_rng(), torch.autocast(place.type, half, enabled=half is not None):
        step = probe.build(place)
        if on_gpu:
            step(items)
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(_STEPS_ON_GPU if on_gpu else 1):
            step(items)
        if on_gpu:
            torch.cuda.synchronize()
    took = (time.perf_counter() - start) / (_STEPS_ON_GPU if on_gpu else 1)
    del step
    if on_gpu:
        torch.cuda.empty_cache()
    return Measured(took * probe.batch / items, items)
