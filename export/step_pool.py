"""Processes for the steps of the export stage: each step runs as soon as those that it needs are done.

A step that raises, takes too long, or takes its process with it costs its own program and no other.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Protocol

from export.job import REFERENCE, SEARCH, Job
from pocketmood.errors import ExportError
from pocketmood.processes import start_worker

LINGER_S = 10.0
"""What a process without work may take to end."""
DIED = "its process died, most likely for want of memory; try --processes 1"


def run_all(job: Job) -> dict[str, str]:
    """Run PyTorch's step, the search and one step per artefact; return why each failed, "" where it did not."""
    needs: dict[str, tuple[str, ...]] = {
        artefact.step: (SEARCH,) if artefact.is_searched else () for artefact in job.config.artefacts
    }
    # The search comes first, because the slowest steps wait for it.
    if any(needs.values()):
        needs = {SEARCH: (), **needs}
    size = job.config.processes
    errors = in_order(
        Crew(job, size, job.config.step_limit_s) if size else InThisProcess(job), {**needs, REFERENCE: ()}
    )
    if errors[REFERENCE]:
        raise ExportError(f"the student itself does not run in PyTorch: {errors[REFERENCE]}")
    return errors


def in_order(crew: Workers, needs: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Run steps, each as soon as those that it needs are done and a worker is free.

    A step whose needs failed fails with their reason, untried.
    """
    waiting, errors = list(needs), dict[str, str]()
    try:
        while len(errors) < len(needs):
            for step in [step for step in waiting if all(need in errors for need in needs[step])]:
                failed = [need for need in needs[step] if errors[need]]
                if failed:
                    errors[step] = f"{failed[0]} failed: {errors[failed[0]]}"
                elif crew.has_room:
                    # No more than there are workers: what one has taken can no longer change its turn.
                    crew.begin(step)
                else:
                    continue
                waiting.remove(step)
            errors |= crew.ended()
    finally:
        crew.dismiss()
    return errors


def run_step(job: Job, step: str) -> str:
    """Make one step unless it is there; return "" or why it failed. The process that calls it is the one with torch."""
    from export import steps

    return steps.run(job, step)


class Workers(Protocol):
    """Whoever runs the steps."""

    @property
    def has_room(self) -> bool:
        """Whether a further step can begin."""

    def begin(self, step: str) -> None:
        """Run a step."""

    def ended(self) -> dict[str, str]:
        """Wait until a step has ended; return why each failed, "" where it did not. Nothing where none is running."""

    def dismiss(self) -> None:
        """End all that still runs."""


class InThisProcess:
    """No worker: a step runs at once, where it is begun, for as long as it takes."""

    def __init__(self, job: Job) -> None:
        """Run the steps of a job."""
        self._job, self._outcomes = job, dict[str, str]()
        self.has_room = True

    def begin(self, step: str) -> None:
        """Run a step to its end."""
        self._outcomes[step] = run_step(self._job, step)

    def ended(self) -> dict[str, str]:
        """Return why each step failed since the last call."""
        outcomes, self._outcomes = self._outcomes, {}
        return outcomes

    def dismiss(self) -> None:
        """Nothing runs."""


class Crew:
    """Fresh processes that run one step after another; one that dies, or takes too long, is replaced by a new one."""

    def __init__(self, job: Job, size: int, limit_s: float) -> None:
        """Have up to `size` processes, started when they are needed; a step may take `limit_s`."""
        self._job, self._size, self.limit_s = job, size, limit_s
        self._idle, self._busy = list[_Worker](), dict[str, _Worker]()

    @property
    def has_room(self) -> bool:
        """Whether a further step can begin."""
        return len(self._busy) < self._size

    def begin(self, step: str) -> None:
        """Hand a step to a process."""
        # One may have been killed since its last step, for the memory that it holds.
        self._idle = [worker for worker in self._idle if worker.runs()]
        worker = self._idle.pop() if self._idle else _Worker(self._job)
        worker.begin(step, self.limit_s)
        self._busy[step] = worker

    def ended(self) -> dict[str, str]:
        """Wait until a step ends, its process dies or its time is up."""
        if not self._busy:
            return {}
        left_s = min(worker.deadline for worker in self._busy.values()) - time.monotonic()
        heard = wait([worker.pipe for worker in self._busy.values()], max(0.0, left_s))

        outcomes = {}
        for step, worker in list(self._busy.items()):
            if worker.pipe in heard:
                outcomes[step] = worker.outcome()
            elif time.monotonic() >= worker.deadline:
                outcomes[step] = f"not done after {self.limit_s:g} s (--step-limit-s)"
                worker.end()
            else:
                continue
            del self._busy[step]
            if worker.is_alive:
                self._idle.append(worker)
        return outcomes

    def dismiss(self) -> None:
        """End all processes, also those at work."""
        for worker in self._idle:
            worker.let_go()
        for worker in self._busy.values():
            worker.end()


class _Worker:
    """One process, and the pipe to it."""

    def __init__(self, job: Job) -> None:
        # Forked ones would save importing torch again, but took several times as long to lower a program (250 to
        # 280 s, on a busy machine; page faults are suspected).
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, job))
        self._process.start()
        # Held by the process alone: then its death is the end of the pipe.
        theirs.close()
        self.is_alive, self.deadline = True, 0.0

    def begin(self, step: str, limit_s: float) -> None:
        """Let it run a step from now on."""
        self.deadline = time.monotonic() + limit_s
        # Where it has just died, the end of its pipe says so.
        with suppress(OSError):
            self.pipe.send(step)

    def runs(self) -> bool:
        """Tell whether its process is there; what one that died held is given back."""
        if not self._process.is_alive():
            self.end()
        return self.is_alive

    def outcome(self) -> str:
        """Read what it has sent; a pipe that ended means that the process did."""
        try:
            return str(self.pipe.recv())
        except (EOFError, OSError):
            self.end()
            return DIED

    def let_go(self) -> None:
        """Let it end by itself, which gives back what its libraries hold of the system; kill one that lingers."""
        self.pipe.close()
        self._process.join(LINGER_S)
        self.end()

    def end(self) -> None:
        """Kill it: it may hang in a library that hears no signal."""
        self._process.kill()
        self._process.join()
        self.pipe.close()
        self.is_alive = False


def _serve(pipe: Connection, job: Job) -> None:
    """Run steps as they come; what a worker process does."""
    start_worker()
    while True:
        try:
            step = pipe.recv()
        except EOFError:
            return
        pipe.send(run_step(job, step))
