"""When a GPU's memory runs out: fewer items per pass and more passes per step, which leaves the step what it was."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from pocketmood.errors import RunError

Item = TypeVar("Item")
Result = TypeVar("Result")
ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"
"""Lets PyTorch's allocator grow its blocks: what helps where memory is there, but in pieces."""


class OutOfMemory(Exception):  # noqa: N818  # a signal between two functions, not an error that anybody sees
    """A rehearsal found that memory does not suffice in some process; all of them go on with smaller passes."""


def ran_out(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, be it said by torch, by cuDNN or by `OutOfMemory`."""
    from accelerate.utils.memory import should_reduce_batch_size

    known = (OutOfMemory, torch.OutOfMemoryError)
    return isinstance(error, known) or (isinstance(error, Exception) and should_reduce_batch_size(error))


def halved(size: int, least: int) -> int | None:
    """Return half a pass, rounded up; None where that is no smaller, or fewer than `least` items."""
    half = -(-size // 2)
    return half if least <= half < size else None


def cut(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Cut a batch into as few passes of at most `size` items as it takes, in its order and as equal as can be."""
    passes = max(1, -(-len(items) // size))
    edges = [len(items) * number // passes for number in range(passes + 1)]
    return [items[first:end] for first, end in pairwise(edges)]


def collate_passes(
    items: Sequence[Any], collate: Callable[[list[Any]], dict[str, Tensor]], size: int
) -> list[tuple[float, dict[str, Tensor]]]:
    """Stack a batch as passes of at most `size` items; returns (share of the batch's items, tensors) of each."""
    return [(len(part) / len(items), collate(list(part))) for part in cut(items, size)]


def free() -> None:
    """Give back what a failed pass has left: its tensors hang in cycles, and the allocator keeps freed blocks."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def too_little(name: str, size: int, remedy: str) -> RunError:
    """Make the error for a training whose smallest pass does not fit."""
    items = "1 item" if size == 1 else f"{size} items"
    return RunError(
        f"{name}: memory ran out even with {items} per pass. Set {ALLOCATOR} in the environment, which helps where "
        f"memory is scattered, or train something smaller: {remedy}"
    )


def interrupted(name: str, folder: Path, size: int) -> RunError:
    """Make the error for one of several processes that cannot tell the others in the middle of a step."""
    return RunError(
        f"{name}: memory ran out in the middle of an epoch, where several processes cannot agree. Type the same "
        f"command again: it goes on from the last epoch with {size} items per pass ({folder})"
    )


def in_parts(predict: Callable[[Tensor], Result], rows: Tensor) -> list[Result]:
    """Apply a function to rows, all at once, or in halves, quarters, ... where memory does not suffice for all."""
    try:
        return [predict(rows)]
    except Exception as error:
        if len(rows) < 2 or not ran_out(error):
            raise
    free()  # out of the block above, which holds what has failed
    half = len(rows) // 2
    return in_parts(predict, rows[:half]) + in_parts(predict, rows[half:])
