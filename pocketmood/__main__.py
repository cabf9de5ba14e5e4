"""`python -m pocketmood`, and the `pocketmood` command of an installed wheel."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from pocketmood import command
from pocketmood.cli import main


def start() -> NoReturn:
    """Run the command line; known errors become one line, and a reader who stops listening (`| head`) is no error."""
    try:
        command.start(main)
    except BrokenPipeError:
        # Python flushes stdout once more at exit; give it a place to do so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    start()
