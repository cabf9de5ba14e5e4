"""The folder that a stage works in: one command at a time, and no file in its place."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pocketmood.errors import RunError

PATIENCE_S = 10.0
"""How long a command waits for another in the same folder: that may have been killed, and its workers be ending."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make a work folder and keep it from other commands; RunError where another has it, or a file is there.

    The lock goes with the process, however that ends. File systems that cannot lock folders go without.
    """
    refuse_files(folder)
    lock = _lock(folder)
    try:
        yield
    finally:
        if lock is not None:
            import fcntl

            # Said aloud: closed alone, it would stay with workers that were forked meanwhile.
            fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)


def refuse_files(folder: Path) -> None:
    """Refuse a folder where a file stands, in its place or further up."""
    for place in (folder, *folder.parents):
        if place.exists():
            if not place.is_dir():
                raise RunError(f"{place}: a file, where a folder is needed; move it away, or name another RUN")
            return


def empty(folder: Path) -> None:
    """Remove all that is in a folder, and leave itself: its lock is held."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _lock(folder: Path) -> int | None:
    """Return the open folder with its lock; None where its file system has none."""
    import fcntl

    until = time.monotonic() + PATIENCE_S
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        # The folder itself, not a file in it: that would be hashed, shipped and archived with the rest.
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # While this one waited, the other may have finished and renamed it: then it is the stage, not its work.
            if folder.exists() and os.path.samestat(os.fstat(lock), folder.stat()):
                return lock
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(lock)
                raise RunError(
                    f"{folder}: another command is making this stage; wait until it has ended, or stop it, and type "
                    "the same again"
                ) from None
            time.sleep(0.2)
        except OSError:
            os.close(lock)
            return None
        os.close(lock)
