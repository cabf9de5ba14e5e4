"""The largest memory that PyTorch holds on the GPU during a stage, its steps counted each for itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_open: list[int] = []
"""For each stage that is being made, from the outermost in: its largest size before its present step, in bytes."""


@contextmanager
def gpu_peak() -> Iterator[Callable[[], int | None]]:
    """Yield what tells the largest size in bytes since the block began; None without a GPU in use.

    Blocks nest: torch has one counter, so that a step which resets it leaves what came before with its stage.
    """
    _keep()
    cuda = _cuda()
    if cuda:
        cuda.reset_peak_memory_stats()
    _open.append(0)
    try:
        yield lambda: max(_open[-1], _peak()) or None
    finally:
        _open.pop()
        # The counter still holds this block's peak, and the stage around it has it as its own.
        _keep()


def _keep() -> None:
    """Remember the counter for the innermost open stage."""
    if _open:
        _open[-1] = max(_open[-1], _peak())


def _peak() -> int:
    """Read the counter; 0 where there is none."""
    cuda = _cuda()
    return int(cuda.max_memory_allocated()) if cuda else 0


def _cuda() -> Any:
    """Return torch.cuda where it is in use, else None."""
    # Not imported for this: data stages and benchmarks of a bundle run without torch, and asking would start the GPU.
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized() else None
