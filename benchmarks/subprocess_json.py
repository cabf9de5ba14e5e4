"""JSON from a fresh Python process: threads, libraries and memory of one measurement must not touch the next.

A module that is measured in a process of its own has the shape of every command, with a config that both sides read:

    measure_in_process(...)     on this side: starts `python -m module` and returns what its last line holds
    main(args), run(config)     on the other side: measures, and ends with `print(json.dumps(...))`
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pocketmood.errors import RunError

LIMIT_S = 600.0
ROOT = Path(__file__).resolve().parent.parent


class JsonProcess:
    """A process that gets ready from now on, and ends with JSON on its last line once it is told to go on."""

    def __init__(self, title: str, *words: str, limit_s: float = LIMIT_S) -> None:
        """Start Python with these words, in the root of the repository; `title` begins each of its errors."""
        self.title, self.limit_s = title, limit_s
        # No fork: that would begin with all that this process holds, its libraries' threads and memory included.
        self._process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def result(self) -> Any:
        """Tell it to go on, wait for its end, and return what it found; RunError with its last words if it failed."""
        try:
            output, errors = self._process.communicate("go on\n", timeout=self.limit_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            # Once more, or the dead process stays a zombie with open pipes.
            self._process.communicate()
            raise RunError(f"{self.title}: no answer within {self.limit_s:g} s") from None
        if self._process.returncode:
            last = (errors.strip().splitlines() or ["no message"])[-1]
            raise RunError(f"{self.title}: the measuring process ended with {self._process.returncode} ({last})")
        # Libraries print lines of their own before.
        return json.loads(output.strip().splitlines()[-1])


def wait_for_go() -> None:
    """Wait, in the process, until somebody wants the result: what is timed earlier is timed beside others' work."""
    sys.stdin.readline()
