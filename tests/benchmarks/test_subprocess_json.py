"""A measurement in a process of its own: its answer, its last words, its time limit, and when it starts to time."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks import threads, timing
from benchmarks.config import BenchmarksConfig
from benchmarks.record import Record
from benchmarks.rows import Contender
from benchmarks.subprocess_json import ROOT, Child
from pocketmood.errors import RunError


def child(code: str, limit_s: float = 60.0) -> Child:
    return Child("weight of a row", "-c", code, limit_s=limit_s)


def test_the_answer_is_the_last_line_whatever_libraries_say_before() -> None:
    code = "import os, json; print('a library says hello'); print(json.dumps({'kg': [1.5, None], 'at': os.getcwd()}))"
    assert child(code).answer() == {"kg": [1.5, None], "at": str(ROOT)}


def test_a_failure_is_one_line_with_the_last_words() -> None:
    code = "import sys; print('first', file=sys.stderr); print('no scales', file=sys.stderr); sys.exit(3)"
    with pytest.raises(RunError, match=r"^weight of a row: the measuring process ended with 3 \(no scales\)$"):
        child(code).answer()
    with pytest.raises(RunError, match=r"ended with 4 \(no message\)"):
        child("import sys; sys.exit(4)").answer()


def test_a_child_that_takes_too_long_is_ended() -> None:
    slow = child("import time; time.sleep(60)", limit_s=0.3)
    with pytest.raises(RunError, match=r"^weight of a row: no answer within 0\.3 s$"):
        slow.answer()
    assert slow._process.returncode == -9


def test_a_child_gets_ready_at_once_and_goes_on_when_asked(tmp_path: Path) -> None:
    ready, measured = tmp_path / "ready", tmp_path / "measured"
    waiting = child(
        "from pathlib import Path\nfrom benchmarks.subprocess_json import wait_until_asked\n"
        f"Path({str(ready)!r}).touch()\nwait_until_asked()\nPath({str(measured)!r}).touch()\nprint('true')"
    )
    patience = time.monotonic() + 60
    while not ready.exists() and time.monotonic() < patience:
        time.sleep(0.01)
    time.sleep(0.3)  # time enough to run past the wait, if it did not wait
    assert ready.exists() and not measured.exists()
    assert waiting.answer() is True
    assert measured.exists()


def test_other_numbers_of_threads_are_told_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], int]] = []

    def start(run: Path, names: list[str], count: int) -> Child:
        asked.append((list(names), count))
        said = "{'a': 2.5, 'b': 4}" if count == 1 else "1/0"
        return Child(f"{count} threads", "-c", f"import json; print(json.dumps({said}))")

    monkeypatch.setattr(threads, "counts", lambda count: [1, 8])
    monkeypatch.setattr(threads, "start_child", start)
    rows = [Contender(Record("a")), Contender(Record("b"), opens_again=False), Contender(Record("c"))]
    opened = {name: lambda wave: ((0.0, 0.0), (0.1, 0.1)) for name in ("a", "b")}
    others = timing.OtherThreads(BenchmarksConfig(other_threads=True), rows, opened)
    assert asked == [(["a"], 1), (["a"], 8)]  # b cannot be opened again, c was never opened
    others.time()
    first, second, third = (row.record for row in rows)
    assert first.latency_ms_by_threads == {"1": 2.5}
    assert "not timed with 8 threads: the measuring process ended with 1 (ZeroDivisionError" in first.reason
    assert second.latency_ms_by_threads is None and third.latency_ms_by_threads is None
    assert timing.OtherThreads(BenchmarksConfig(), rows, opened).children == {}


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "sched_getaffinity"), reason="cannot hold to a core")
def test_numbers_of_threads_that_are_measured_anyway_are_left_out() -> None:
    cores = len(os.sched_getaffinity(0))
    assert threads.counts(cores) == ([1] if cores > 1 else [])
    assert threads.counts(1) == ([cores] if cores > 1 else [])
