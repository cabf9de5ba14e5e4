"""What `fit` does about memory: a pass tried in every process, and smaller passes where it was too large."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pocketmood.training import memory
from pocketmood.training.distributed import alone, anywhere, make_accelerator, wait
from pocketmood.training.history import TrainingFacts, read_facts, write_facts
from pocketmood.training.loader import share_of_batch

if TYPE_CHECKING:
    from accelerate import Accelerator

    from pocketmood.training.fit import Training


def retreat(training: Training, rehearsed: bool) -> None:
    """Halve the size of a pass in training.json and say so; RunError where there is no smaller one.

    rehearsed: whether all processes have come here together; else there must be one process only.
    """
    accelerator = make_accelerator(training.schedule.precision)
    share = share_of_batch(training, accelerator.num_processes)
    facts = read_facts(training.folder) or TrainingFacts(share, ())
    before = min(facts.pass_size, share)
    size = memory.halved(before, training.least)
    if size is None:
        raise memory.too_little(training.name, before, training.remedy)

    if rehearsed:
        wait()  # until all have read the file
    if accelerator.is_main_process or not rehearsed:
        write_facts(training.folder, replace(facts, pass_size=size))
    if rehearsed:
        wait()  # until it is written
    elif accelerator.num_processes > 1:
        raise memory.interrupted(training.name, training.folder, size)
    if accelerator.is_main_process:
        print(
            f"{training.name}: memory ran out with {before} items per pass; going on from the last epoch with {size}, "
            f"{-(-share // size)} passes for each batch of {share}",
            flush=True,
        )


def rehearse(training: Training, accelerator: Accelerator, size: int) -> None:
    """Try one pass, forward and backward, in every process by itself; OutOfMemory in all if it is too large for one.

    In eval mode, in which neither batch norms nor generators of random numbers are moved.
    """
    from accelerate.utils import send_to_device

    items = [training.dataset[row] for row in range(min(size, len(training.dataset)))]
    network, failed = training.model.eval(), False
    try:
        with alone():
            network(**send_to_device(training.collate(items), accelerator.device))["loss"].backward()
    except Exception as error:
        if not memory.ran_out(error):
            raise
        failed = True
    network.zero_grad(set_to_none=True)
    if anywhere(failed):
        raise memory.OutOfMemory
