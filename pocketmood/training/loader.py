"""The order of a training's items, and the batches that each process takes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import DataLoader, Sampler

from pocketmood.errors import PocketmoodError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from pocketmood.training.fit import Training


class EpochSampler(Sampler[int]):
    """A permutation of the items that follows from (seed, epoch) alone."""

    def __init__(self, length: int, seed: int) -> None:
        """Start at epoch 0; `epoch` is set before each pass."""
        self.length, self.seed, self.epoch = length, seed, 0

    def __len__(self) -> int:
        """Count the items."""
        return self.length

    def __iter__(self) -> Iterator[int]:
        """Yield the epoch's order."""
        yield from np.random.default_rng([self.seed, self.epoch]).permutation(self.length).tolist()


def make_loader(training: Training, accelerator: Accelerator) -> tuple[Any, EpochSampler]:
    """Return the loader of this process's share of every batch, and the sampler, whose `epoch` is set before a pass."""
    items, size, processes = len(training.dataset), training.schedule.batch_size, accelerator.num_processes
    if items < 2:
        raise PocketmoodError(f"{items} training items: at least 2 are needed")
    if size % processes:
        raise PocketmoodError(f"batch_size {size} does not divide among {processes} processes")
    # A data set smaller than a batch makes one batch of what there is, instead of none.
    share = max(1, min(size, items) // processes)
    sampler = EpochSampler(items, training.seed)
    loader: DataLoader[Any] = DataLoader(
        training.dataset,  # type: ignore[arg-type]  # map-style: torch's own class is not needed for that
        batch_size=share,
        sampler=sampler,
        collate_fn=training.collate,
        # Whole batches only, wherever there is one: a batch norm cannot train on one item.
        drop_last=items >= share * processes,
        num_workers=training.schedule.workers,
        pin_memory=accelerator.device.type == "cuda",
    )
    return accelerator.prepare(loader), sampler
