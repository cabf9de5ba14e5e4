"""Pool of processes for the steps of the export stage: each runs as soon as those that it needs are done."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from export.job import REFERENCE, SEARCH, Job
from pocketmood.errors import ExportError
from pocketmood.processes import end_with_parent


def run_all(job: Job) -> dict[str, str]:
    """Run PyTorch's step, the search and one step per artefact; return why each failed, "" where it did not."""
    needs: dict[str, tuple[str, ...]] = {
        artefact.step: (SEARCH,) if artefact.is_searched else () for artefact in job.config.artefacts
    }
    # The search comes first, because the slowest steps wait for it.
    if any(needs.values()):
        needs = {SEARCH: (), **needs}
    errors = in_order(job, {**needs, REFERENCE: ()}, job.config.processes)
    if errors[REFERENCE]:
        raise ExportError(f"the student itself does not run in PyTorch: {errors[REFERENCE]}")
    return errors


def in_order(job: Job, needs: Mapping[str, Sequence[str]], processes: int) -> dict[str, str]:
    """Run steps, each as soon as those that it needs are done and a process is free.

    A step whose needs failed fails with their reason, untried.
    """
    waiting, errors, running = list(needs), dict[str, str](), dict[Future[str], str]()
    with _workers(processes) as pool:
        while waiting or running:
            for step in [step for step in waiting if all(need in errors for need in needs[step])]:
                failed = [need for need in needs[step] if errors[need]]
                if failed:
                    errors[step] = f"{failed[0]} failed: {errors[failed[0]]}"
                elif len(running) < processes:
                    # No more than there are processes: what the pool has taken can no longer change its turn.
                    running[pool.submit(run_step, job, step)] = step
                else:
                    continue
                waiting.remove(step)

            for future in wait(running, return_when=FIRST_COMPLETED).done:
                errors[running.pop(future)] = _outcome(future)
    return errors


def run_step(job: Job, step: str) -> str:
    """Make one step unless it is there; return "" or why it failed. The process that calls it is the one with torch."""
    from export import steps

    return steps.run(job, step)


def _outcome(future: Future[str]) -> str:
    try:
        return future.result()
    except BrokenProcessPool:
        return "its process died, most likely for want of memory; try --processes 1"


def _workers(processes: int) -> Executor:
    """Return fresh processes, or this one where one is asked for."""
    if processes == 1:
        return InlineExecutor()
    # Forked ones would save importing torch again, but took several times as long to lower a program (250 to 280 s, on
    # a busy machine; page faults are suspected).
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=end_with_parent)


class InlineExecutor(Executor):
    """An executor without workers: runs what is submitted at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it, and return what it returned."""
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done
