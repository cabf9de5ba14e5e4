"""A fresh Python process for one measurement: threads, libraries and memory of one must not touch the next figure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pocketmood.errors import RunError

LIMIT_S = 600.0
ROOT = Path(__file__).resolve().parent.parent


class Child:
    """A process that gets ready from now on, and answers with JSON on its last line once it is asked."""

    def __init__(self, about: str, *words: str, limit_s: float = LIMIT_S) -> None:
        """Start Python with these words, in the root of the repository; `about` begins each of its errors."""
        self.about, self.limit_s = about, limit_s
        self._process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def answer(self) -> Any:
        """Tell it to go on, wait for its end, and return what it found; RunError with its last words if it failed."""
        try:
            said, complaint = self._process.communicate("go on\n", timeout=self.limit_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise RunError(f"{self.about}: no answer within {self.limit_s:g} s") from None
        if self._process.returncode:
            last = (complaint.strip().splitlines() or ["no message"])[-1]
            raise RunError(f"{self.about}: the measuring process ended with {self._process.returncode} ({last})")
        return json.loads(said.strip().splitlines()[-1])


def wait_until_asked() -> None:
    """Wait, in the child, until somebody wants the answer: what is timed earlier is timed beside others' work."""
    sys.stdin.readline()
