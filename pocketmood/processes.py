"""Processes: which of several is the main one, how many cores workers may use, and how they end with their command."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading


def is_main_process() -> bool:
    """Tell whether this process writes folders and prints: always, but for the others that torchrun starts."""
    # torchrun sets RANK before any code of ours runs: this holds before the processes have met, too.
    return os.environ.get("RANK", "0") == "0"


def cores() -> int:
    """Return how many cores this process may use: containers and `taskset` often grant fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """Let this worker exit when its parent does, however that ends; made to be a pool's `initializer`.

    A killed parent cannot tell its workers to stop, and the same command, started again, must find nobody at work.
    """
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            # Not sys.exit, which would end this thread alone.
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it; made to be a pool's `initializer`."""
    # Ctrl-C reaches the whole process group: each worker would print a traceback of its own.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
