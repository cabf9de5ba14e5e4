"""Cores that are really there, and workers that do not outlive a killed command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pocketmood.processes import cores
from tests.helpers import ROOT

POOL = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from pocketmood import processes

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, context, initializer=processes.{initializer})
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 60)
    time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot hold a process to a core")
def test_cores_are_those_that_the_process_may_use() -> None:
    words = [sys.executable, "-c", "from pocketmood.processes import cores; print(cores())"]
    allowed = os.sched_getaffinity(0)
    assert cores() == len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "1\n"
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize("initializer", ["end_with_parent", "start_worker"])
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to see a process end")
def test_a_worker_ends_when_its_parent_is_killed(initializer: str, tmp_path: Path) -> None:
    script = tmp_path / "pool.py"
    script.write_text(POOL.replace("{initializer}", initializer))
    where = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=where) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + 20
        while running(worker) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not running(worker)


def running(process: int) -> bool:
    """Tell whether a process is there and no zombie, which nobody may have reaped yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
