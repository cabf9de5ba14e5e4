"""Several processes at one stage: all of them train, the main one alone makes folders and everything else.

Outside of `torchrun` there is one process, and nothing here costs anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed

from pocketmood.training.device import default_device

if TYPE_CHECKING:
    from pocketmood.runs import Stage


def join() -> None:
    """Meet the other processes of `torchrun`; every process calls this once, before the first step."""
    from accelerate import PartialState

    PartialState(cpu=default_device().type == "cpu")


def is_main_process() -> bool:
    """Tell whether this process writes folders and prints: always, but for the others that torchrun starts."""
    # torchrun sets RANK before any code of ours runs: this holds before the processes have met, too.
    return os.environ.get("RANK", "0") == "0"


def wait() -> None:
    """Go on when every process has got here."""
    if distributed.is_initialized():
        distributed.barrier()


def agree(answer: bool) -> bool:
    """Return the main process's answer in every process."""
    if not distributed.is_initialized():
        return answer
    said = torch.tensor([int(answer)], device=default_device() if distributed.get_backend() == "nccl" else "cpu")
    distributed.broadcast(said, 0)
    return bool(said)


def gather(rows: Tensor) -> Tensor:
    """Join the rows of all processes to the whole batch, with gradients; unchanged in a single process.

    A correlation over half a batch is another number than one over all of it. Every process then has the same loss, and
    the mean of their gradients is that of one process with the whole batch.
    """
    if not (distributed.is_initialized() and distributed.get_world_size() > 1):
        return rows
    if not rows.requires_grad:
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(rows.contiguous()))


def up_to_date(stage: Stage, quiet: bool = False) -> bool:
    """Ask the main process whether a stage is finished; all others wait, because asking may rename its folder."""
    done = agree(stage.up_to_date(quiet) if is_main_process() else False)
    if done and not is_main_process():
        stage.up_to_date(quiet=True)  # reads the record
    return done


@contextmanager
def work(stage: Stage) -> Iterator[Path]:
    """Let every process into the work folder of a stage that the main process makes and puts in place."""
    if is_main_process():
        with stage.work() as folder:
            wait()
            yield folder
            wait()
    else:
        wait()
        yield stage.part
        wait()
    wait()
