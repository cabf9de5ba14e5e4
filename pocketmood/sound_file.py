"""Audio files as libsndfile opens them: by descriptor, so that no other file decides what they are, and in silence."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES_OF_DESCRIPTORS = Path("/dev/fd")

_stderr_lock = threading.Lock()


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file as a `soundfile.SoundFile`, the decoder muted meanwhile; the errors are soundfile's and the system's.

    libsndfile looks for a Mac's resource fork beside the name that it is given. Beside "song.mp3" that is
    "._song.mp3"; beside a handle, which has no name, it is "._" or ".AppleDouble" in the working directory, and where
    one lies, every MP3 is taken for SD2. Beside the name of a descriptor nothing can lie.
    """
    import soundfile

    with path.open("rb") as handle, quiet_decoder():
        name = NAMES_OF_DESCRIPTORS / str(handle.fileno())
        # Windows has no such names, and a container may have no /proc behind them.
        with soundfile.SoundFile(name if name.exists() else handle) as file:
            yield file


@contextmanager
def quiet_decoder() -> Iterator[None]:
    """Mute the MP3 decoder's C library, which prints on the process's stderr about files that we report ourselves."""
    # One at a time: descriptor 2 belongs to the process, and two threads would restore each other's.
    with _stderr_lock:
        try:
            sys.stderr.flush()
            real, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        except (OSError, ValueError, AttributeError):
            # No stderr to mute (a windowed program): nothing can be printed there either.
            yield
            return
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            os.close(nowhere)
