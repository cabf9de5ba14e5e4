"""Steps in processes: their order, and what becomes of a step whose needs failed."""

from __future__ import annotations

import pytest

from export import step_pool


def test_a_step_waits_for_what_it_needs_and_fails_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def run_step(job: str, step: str) -> str:
        order.append(step)
        return {"bad": "no clips"}.get(step, "")

    monkeypatch.setattr(step_pool, "run_step", run_step)
    needs = {"late": ("early",), "early": (), "other": (), "spoilt": ("bad",), "bad": ()}
    errors = step_pool.in_order("job", needs, 1)  # type: ignore[arg-type]
    assert order == ["early", "late", "other", "bad"]
    assert errors == {"early": "", "late": "", "other": "", "bad": "no clips", "spoilt": "bad failed: no clips"}


def test_a_process_that_dies_costs_its_own_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_step(job: str, step: str) -> str:
        raise step_pool.BrokenProcessPool if step == "killed" else KeyError(step)

    class Pool(step_pool.InlineExecutor):
        def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
            done = step_pool.Future()  # type: ignore[var-annotated]
            try:
                done.set_result(fn(*args, **kwargs))
            except step_pool.BrokenProcessPool as error:
                done.set_exception(error)
            return done

    monkeypatch.setattr(step_pool, "run_step", run_step)
    monkeypatch.setattr(step_pool, "_workers", lambda processes: Pool())
    errors = step_pool.in_order("job", {"killed": ()}, 2)  # type: ignore[arg-type]
    assert "want of memory; try --processes 1" in errors["killed"]
