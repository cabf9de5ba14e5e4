"""Several processes at one stage: all of them train, the main one alone makes folders and everything else.

Outside of `torchrun` there is one process, and nothing here costs anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from pocketmood.processes import is_main_process
from pocketmood.training.device import choose_precision, default_device

if TYPE_CHECKING:
    from accelerate import Accelerator

    from pocketmood.runs import Stage
    from pocketmood.training.schedule import Precision


_alone = False
"""True inside of `alone`."""


def join() -> None:
    """Meet the other processes of `torchrun`; every process calls this once, before the first step."""
    from accelerate import PartialState

    PartialState(cpu=default_device().type == "cpu")


def make_accelerator(precision: Precision, waiting: bool = False) -> Accelerator:
    """Join the processes of `torchrun`, on GPUs or, where there are none, on CPUs, and choose the arithmetic.

    waiting: whether some parameters get no gradient in some epochs; the others then do not wait for them for ever.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState

    # accelerate keeps the first precision of a program for good and refuses another; the GAN's need not be the ViT's.
    AcceleratorState._reset_state()
    parallel = DistributedDataParallelKwargs(find_unused_parameters=waiting)
    on_cpu = default_device().type == "cpu"
    accelerator = Accelerator(cpu=on_cpu, mixed_precision=choose_precision(precision), kwargs_handlers=[parallel])
    if torch.cuda.device_count() > accelerator.num_processes == 1:
        print(f"{torch.cuda.device_count()} GPUs are here and one is used; start with torchrun to use all", flush=True)
    return accelerator


def synchronised(accelerator: Accelerator, model: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Average gradients over processes in the last pass of a step only: in the others it would be work thrown away."""
    return nullcontext() if last else accelerator.no_sync(model)


def whole_batch_norms(model: nn.Module) -> nn.Module:
    """Return the model with batch norms over the batches of all processes; weights, their names and predictions stay.

    timm's converter, because torch's own drops the activation inside timm's `BatchNormAct2d`: every ReLU or SiLU there.
    """
    from timm.layers import convert_sync_batchnorm

    converted: nn.Module = convert_sync_batchnorm(model)
    return converted


def wait() -> None:
    """Go on when every process has got here."""
    if distributed.is_initialized():
        distributed.barrier()


def agree(flag: bool) -> bool:
    """Return the main process's flag in every process."""
    if not distributed.is_initialized():
        return flag
    # NCCL moves nothing but tensors of a GPU.
    shared = torch.tensor([int(flag)], device=default_device() if distributed.get_backend() == "nccl" else "cpu")
    distributed.broadcast(shared, 0)
    return bool(shared)


def share(text: str) -> str:
    """Return the main process's text in every process."""
    if not distributed.is_initialized():
        return text
    place = default_device() if distributed.get_backend() == "nccl" else torch.device("cpu")
    # Bytes in a tensor, its length first: torch's own broadcast of objects pickles them.
    data = torch.tensor(list(text.encode()), dtype=torch.uint8, device=place)
    length = torch.tensor([len(data)], device=place)
    distributed.broadcast(length, 0)
    shared = data if is_main_process() else torch.empty(int(length), dtype=torch.uint8, device=place)
    distributed.broadcast(shared, 0)
    return bytes(shared.tolist()).decode()


def anywhere(flag: bool) -> bool:
    """Tell every process whether the flag is set in any of them."""
    if not distributed.is_initialized():
        return flag
    shared = torch.tensor([int(flag)], device=default_device() if distributed.get_backend() == "nccl" else "cpu")
    distributed.all_reduce(shared, distributed.ReduceOp.MAX)
    return bool(shared)


@contextmanager
def alone() -> Iterator[None]:
    """Let `gather` leave rows as they are for a while: what is tried in one process must not wait for the others."""
    global _alone
    _alone = True
    try:
        yield
    finally:
        _alone = False


def gather(rows: Tensor) -> Tensor:
    """Join the rows of all processes to the whole batch, with gradients; unchanged in a single process.

    A correlation over half a batch is another number than one over all of it. Every process then has the same loss, and
    the mean of their gradients is that of one process with the whole batch.
    """
    if _alone or not (distributed.is_initialized() and distributed.get_world_size() > 1):
        return rows
    if not rows.requires_grad:
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)
    # The plain all_gather above passes no gradient on; this one does.
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
    if not is_main_process():
        stage.up_to_date(quiet=True)  # reads the record, which the main process alone has filled
