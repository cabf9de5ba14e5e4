"""Steps in processes: their order, and what becomes of one that fails, dies, hangs, or needs another."""

from __future__ import annotations

import multiprocessing
import os
import time
from types import SimpleNamespace
from typing import Any

import pytest

from export import step_pool, steps
from export.step_pool import Crew, InThisProcess, in_order
from pocketmood.errors import ExportError


def test_a_step_waits_for_what_it_needs_and_fails_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def run_step(job: str, step: str) -> str:
        order.append(step)
        return {"bad": "no clips"}.get(step, "")

    monkeypatch.setattr(step_pool, "run_step", run_step)
    needs = {"late": ("early",), "early": (), "other": (), "spoilt": ("bad",), "bad": ()}
    errors = in_order(InThisProcess("job"), needs)  # type: ignore[arg-type]
    assert order == ["early", "other", "bad", "late"]
    assert errors == {"early": "", "late": "", "other": "", "bad": "no clips", "spoilt": "bad failed: no clips"}


class Made:
    """A job whose steps are named after what they do; it travels to the processes as a whole."""

    def __reduce__(self) -> tuple[type[Job], tuple[()]]:
        return Job, ()


class Job:
    """The same on the other side, where `run_step` is taken over for it."""

    def __init__(self) -> None:
        step_pool.run_step = do  # type: ignore[assignment]


def do(job: Job, step: str) -> str:
    """Do what a step's name says."""
    if step.startswith("die"):
        os._exit(9)
    if step.startswith("hang"):
        time.sleep(600)
    return "" if step.startswith("fine") else f"{step}, it said"


@pytest.mark.parametrize("size", [1, 2])
def test_a_process_that_dies_costs_its_own_step(size: int) -> None:
    steps = ("fine 1", "die 1", "fine 2", "die 2", "raise", "fine 3")
    errors = in_order(Crew(Made(), size, limit_s=600.0), {**dict.fromkeys(steps, ()), "after": ("die 1",)})  # type: ignore[arg-type]
    assert errors == {
        **{"fine 1": "", "fine 2": "", "fine 3": "", "raise": "raise, it said"},
        **{"die 1": step_pool.DIED, "die 2": step_pool.DIED, "after": f"die 1 failed: {step_pool.DIED}"},
    }


def test_a_process_that_takes_too_long_is_replaced() -> None:
    crew = Crew(Made(), 1, limit_s=0.1)  # type: ignore[arg-type]
    try:
        crew.begin("hang")
        assert not crew.has_room
        assert crew.ended() == {"hang": "not done after 0.1 s (--step-limit-s)"}
        crew.limit_s = 600.0
        crew.begin("fine")
        assert crew.ended() == {"fine": ""}
        assert crew.ended() == {}
    finally:
        crew.dismiss()


def test_a_process_that_was_killed_between_two_steps_costs_none() -> None:
    crew = Crew(Made(), 1, limit_s=600.0)  # type: ignore[arg-type]
    try:
        crew.begin("fine 1")
        assert crew.ended() == {"fine 1": ""}
        (child,) = multiprocessing.active_children()
        child.kill()
        child.join()
        crew.begin("fine 2")
        assert crew.ended() == {"fine 2": ""}
    finally:
        crew.dismiss()


@pytest.mark.parametrize(("processes", "share"), [(0, 8), (1, 8), (2, 4), (3, 2), (9, 1)])
def test_the_processes_share_the_cores(processes: int, share: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unwritten:
        def up_to_date(self, quiet: bool) -> bool:
            return False

        def work(self) -> None:
            raise ExportError("not written here")

    given = [8]
    monkeypatch.setattr(steps.torch, "get_num_threads", lambda: given[-1])
    monkeypatch.setattr(steps.torch, "set_num_threads", given.append)
    steps._threads_at_first.cache_clear()
    job: Any = SimpleNamespace(stage=lambda step: Unwritten(), config=SimpleNamespace(processes=processes))
    # Step after step in one process: a share of a share would soon be a single thread.
    assert [steps.run(job, "onnx.fp32") for _ in range(3)] == ["not written here"] * 3
    steps._threads_at_first.cache_clear()
    assert given == [8, share, share, share]
