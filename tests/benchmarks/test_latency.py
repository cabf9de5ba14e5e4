"""Rows take turns, warm-up is untimed, one broken row does not stop the others; memory; time to a first line."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from benchmarks import latency, machine, memory, timing
from benchmarks.latency import Turns
from benchmarks.studies import cli_startup
from pocketmood.errors import RunError


class Clock:
    """A clock that rows move on themselves."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def spending(clock, times_s):
    """Return a row whose calls take these times, one after the other."""
    left = iter(times_s)

    def call():
        clock.now_s += next(left)

    return call


def test_median_and_p95_without_the_warm_up():
    clock = Clock()
    rows = {"slow start": spending(clock, [9.0, 9.0, 0.001, 0.003, 0.002]), "steady": spending(clock, [0.004] * 5)}
    found = latency.take_turns(rows, Turns(2, 3), clock=clock)
    assert sorted(found["slow start"].times_ms) == pytest.approx([1, 2, 3], abs=1e-6)
    assert found["slow start"].median_ms == pytest.approx(2, abs=1e-6)
    # between the 2nd and 3rd of three values, at 95 % of the way: 2 + .9 * 1
    assert found["slow start"].p95_ms == pytest.approx(2.9, abs=1e-6)
    assert found["steady"].median_ms == pytest.approx(4, abs=1e-6)


def test_rows_take_turns_in_changing_order():
    calls = []
    rows = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    latency.take_turns(rows, Turns(0, 20, seed=1))
    rounds = [tuple(calls[start : start + 3]) for start in range(0, len(calls), 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in rounds)
    assert len(set(rounds)) > 3
    assert Counter(calls) == {"a": 20, "b": 20, "c": 20}


def test_each_call_is_compared_with_the_reference_around_it():
    # reference, row, reference, row, ...: each ratio is a row's time over the mean of its two neighbours
    clock = Clock()
    reference = spending(clock, [9.0, 9.0, 0.002, 0.004, 0.004, 0.006])
    rows = {"row": spending(clock, [9.0, 0.030, 0.050])}
    found = latency.take_turns(rows, Turns(1, 2), reference, clock)["row"]
    assert found.beside_ms == pytest.approx([3, 5], abs=1e-6)
    assert found.ratios == pytest.approx([10, 10], abs=1e-6)


def test_the_speed_over_the_teacher_is_the_median_of_the_rounds() -> None:
    # 10 / 2, 12 / 4, 40 / 4: a median of times would say 12 / 4 and hide that the machine was slow in the last round
    teacher, row = latency.Timing([10.0, 12.0, 40.0]), latency.Timing([2.0, 4.0, 4.0])
    assert timing.speedup(teacher, row) == pytest.approx(5, rel=1e-12)
    assert timing.speedup(teacher, teacher) == 1
    broken = latency.Timing([1.0], failure="ValueError: no such operator")
    assert timing.speedup(None, row) is timing.speedup(broken, row) is timing.speedup(teacher, broken) is None


def test_a_broken_row_keeps_its_message_and_the_others_go_on():
    def broken():
        raise ValueError("no such operator")

    found = latency.take_turns({"bad": broken, "good": lambda: None}, Turns(1, 4))
    assert found["bad"].failure == "ValueError: no such operator"
    assert len(found["good"].times_ms) == 4


def test_a_crowded_machine_gets_fewer_rounds_but_three_at_least():
    clock = Clock()
    rows = {"slow": spending(clock, [1.0] * 50)}
    assert len(latency.take_turns(rows, Turns(1, 30, limit_s=9.5), clock=clock)["slow"].times_ms) == 9
    rows = {"slower": spending(clock, [60.0] * 50)}
    assert len(latency.take_turns(rows, Turns(1, 30, limit_s=9.5), clock=clock)["slower"].times_ms) == 3


@pytest.mark.slow
def test_torch_is_held_to_the_threads_asked_for():
    import torch

    before = torch.get_num_threads()
    try:
        assert latency.pin_threads(1)["torch"] == 1
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_cpu_flags_of_both_families():
    x86 = "processor : 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 avx512f avx512_vnni sse4_2\n"
    assert machine.cpu_flags(x86) == ["avx2", "avx512f", "avx512_vnni"]
    assert machine.cpu_name(x86) == "Some CPU"
    assert machine.cpu_flags("Features : fp asimd asimddp\n") == ["asimd", "asimddp"]
    assert machine.cpu_flags("") == []


def test_peak_memory_grows_with_what_is_held():
    # a child of a large process, as in the benchmarks: what the parent ever held must not count
    ballast = bytearray(b"x") * 200_000_000
    code = (
        "from pocketmood.runs import peak_rss_bytes\n"
        "before = peak_rss_bytes()\n"
        "held = bytearray(b'x') * 50_000_000\n"
        "print(peak_rss_bytes() - before)"
    )
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert 40_000_000 < grown < 70_000_000
    assert len(ballast) == 200_000_000


def test_a_child_that_fails_says_so_in_one_line(tmp_path):
    with pytest.raises(RunError, match=r"memory of model\.x: the measuring process ended with 1 \("):
        memory.measure_in_process(tmp_path, "model.x", 1)


def test_time_to_the_first_line_stops_at_the_first_line():
    call = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(.5); print('late')"]
    found = cli_startup.measure(call, repeats=1)
    assert found["first_prediction_s_median"] == found["first_prediction_s_max"] < 0.45
    assert found["limit_s"] == cli_startup.LIMIT_S


def test_a_command_that_fails_is_no_measurement():
    call = [sys.executable, "-c", "import sys; print('error: no bundle', file=sys.stderr); sys.exit(1)"]
    with pytest.raises(RunError, match="ended with 1: error: no bundle"):
        cli_startup.measure(call, repeats=1)
