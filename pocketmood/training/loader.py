"""The order of a training's items, and the batches that each process takes of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import DataLoader, Sampler

from pocketmood.errors import PocketmoodError
from pocketmood.training.memory import collate_passes

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


def share_of_batch(training: Training, processes: int) -> int:
    """Return how many items of a batch each process trains on."""
    items, size = len(training.dataset), training.schedule.batch_size
    if items < 2:
        raise PocketmoodError(f"{items} training items: at least 2 are needed")
    if size % processes:
        raise PocketmoodError(f"batch_size {size} does not divide among {processes} processes")
    # A data set smaller than a batch makes one batch of what there is, instead of none.
    return max(1, min(size, items) // processes)


def make_loader(training: Training, accelerator: Accelerator, pass_size: int) -> tuple[Any, EpochSampler]:
    """Return the loader of this process's share of every batch, and the sampler, whose `epoch` is set before an epoch.

    A batch is a list of passes of at most `pass_size` items (`memory.collate_passes`); its items do not depend on it.
    """
    items, share = len(training.dataset), share_of_batch(training, accelerator.num_processes)
    sampler = EpochSampler(items, training.seed)
    loader: DataLoader[Any] = DataLoader(
        training.dataset,  # type: ignore[arg-type]  # map-style: torch's own class is not needed for that
        batch_size=share,
        sampler=sampler,
        collate_fn=partial(collate_passes, collate=training.collate, size=pass_size),
        # Whole batches only, wherever there is one: a batch norm cannot train on one item.
        drop_last=items >= share * accelerator.num_processes,
        num_workers=training.schedule.workers,
        pin_memory=accelerator.device.type == "cuda",
    )
    return accelerator.prepare(loader), sampler
