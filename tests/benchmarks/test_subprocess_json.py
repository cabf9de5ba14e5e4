"""A measurement in a process of its own: its result, its last words, its time limit, and when it starts to time."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks import threads, timing
from benchmarks.config import BenchmarksConfig
from benchmarks.record import Record
from benchmarks.rows import Row
from benchmarks.subprocess_json import ROOT, JsonProcess
from pocketmood.errors import RunError


def process(code: str, limit_s: float = 60.0) -> JsonProcess:
    return JsonProcess("weight of a row", "-c", code, limit_s=limit_s)


def test_the_result_is_the_last_line_whatever_libraries_say_before() -> None:
    code = "import os, json; print('a library says hello'); print(json.dumps({'kg': [1.5, None], 'at': os.getcwd()}))"
    assert process(code).result() == {"kg": [1.5, None], "at": str(ROOT)}


def test_a_failure_is_one_line_with_the_last_words() -> None:
    code = "import sys; print('first', file=sys.stderr); print('no scales', file=sys.stderr); sys.exit(3)"
    with pytest.raises(RunError, match=r"^weight of a row: the measuring process ended with 3 \(no scales\)$"):
        process(code).result()
    with pytest.raises(RunError, match=r"ended with 4 \(no message\)"):
        process("import sys; sys.exit(4)").result()


def test_a_process_that_takes_too_long_is_ended() -> None:
    slow = process("import time; time.sleep(60)", limit_s=0.3)
    with pytest.raises(RunError, match=r"^weight of a row: no answer within 0\.3 s$"):
        slow.result()
    assert slow._process.returncode == -9


def test_a_process_gets_ready_at_once_and_goes_on_when_told(tmp_path: Path) -> None:
    ready, measured = tmp_path / "ready", tmp_path / "measured"
    waiting = process(
        "from pathlib import Path\nfrom benchmarks.subprocess_json import wait_for_go\n"
        f"Path({str(ready)!r}).touch()\nwait_for_go()\nPath({str(measured)!r}).touch()\nprint('true')"
    )
    patience = time.monotonic() + 60
    while not ready.exists() and time.monotonic() < patience:
        time.sleep(0.01)
    time.sleep(0.3)  # time enough to run past the wait, if it did not wait
    assert ready.exists() and not measured.exists()
    assert waiting.result() is True
    assert measured.exists()


def test_other_numbers_of_threads_are_told_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], int]] = []

    def start(run: Path, names: list[str], count: int) -> JsonProcess:
        asked.append((list(names), count))
        printed = "{'a': 2.5, 'b': 4}" if count == 1 else "1/0"
        return JsonProcess(f"{count} threads", "-c", f"import json; print(json.dumps({printed}))")

    monkeypatch.setattr(threads, "counts", lambda count: [1, 8])
    monkeypatch.setattr(threads, "start_process", start)
    rows = [Row(Record("a")), Row(Record("b"), opens_again=False), Row(Record("c"))]
    opened = {name: lambda wave: ((0.0, 0.0), (0.1, 0.1)) for name in ("a", "b")}
    others = timing.OtherThreads(BenchmarksConfig(other_threads=True), rows, opened)
    assert asked == [(["a"], 1), (["a"], 8)]  # b cannot be opened again, c was never opened
    others.time()
    first, second, third = (row.record for row in rows)
    assert first.latency_ms_by_threads == {"1": 2.5}
    assert "not timed with 8 threads: the measuring process ended with 1 (ZeroDivisionError" in first.reason
    assert second.latency_ms_by_threads is None and third.latency_ms_by_threads is None
    assert timing.OtherThreads(BenchmarksConfig(), rows, opened).processes == {}


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "sched_getaffinity"), reason="cannot hold to a core")
def test_numbers_of_threads_that_are_measured_anyway_are_left_out() -> None:
    cores = len(os.sched_getaffinity(0))
    assert threads.counts(cores) == ([1] if cores > 1 else [])
    assert threads.counts(1) == ([cores] if cores > 1 else [])
