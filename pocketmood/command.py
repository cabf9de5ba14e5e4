"""Command lines built from config dataclasses, and errors that are one line.

Every command of the project has this shape, so that `--help`, flags and code cannot disagree:

    def main(args: Sequence[str] | None = None) -> int:      the words of a command line; `sys.argv` if left out
        return run(command.parse(Config, "python -m thing", __doc__, args))

    def run(config: Config) -> int:                          the work; what Python code and tests call

    if __name__ == "__main__":
        command.start(main)

`pocketmood predict` and `pocketmood archive` alone build their parser by hand: they work without tyro. One command
reads its words without any parser: `benchmarks.memory` weighs its own process, and tyro would be 5 MB of every figure.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import NoReturn, TypeVar

from pocketmood.errors import PocketmoodError
from pocketmood.processes import is_main_process

Config = TypeVar("Config")
EXIT_STOPPED = 130
PATIENCE_S = 15.0
"""How long a process beside the main one waits with an error: that one may still be importing its libraries."""


def parse(
    config: type[Config] | Mapping[str, Config],
    prog: str,
    description: str | None,
    args: Sequence[str] | None = None,
    positional: bool = False,
) -> Config:
    """Read every field of a config dataclass as a flag; with presets by name, `--preset NAME` chooses the defaults.

    Flags, types, defaults and help come from the dataclass through tyro. A rule broken in `__post_init__` reaches the
    user as the PocketmoodError that it raises. positional: fields without a default are read without a flag.
    """
    words = sys.argv[1:] if args is None else list(args)
    if is_main_process():
        return _read(config, prog, description, words, positional)
    # The same words: what is wrong with them is said once, by the main process.
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        try:
            return _read(config, prog, description, words, positional)
        except SystemExit as stop:
            time.sleep(PATIENCE_S if stop.code else 0)  # see _leave
            raise


def _read(
    config: type[Config] | Mapping[str, Config],
    prog: str,
    description: str | None,
    words: Sequence[str],
    positional: bool,
) -> Config:
    """Read the words of a command line."""
    import tyro

    about = (description or "").strip()
    marks = (tyro.conf.PositionalRequiredArgs,) if positional else ()
    if isinstance(config, type):
        return tyro.cli(config, prog=prog, description=about, args=words, config=marks)

    # Read before all else, and by argparse: tyro can only build the other flags when it knows their defaults.
    from pocketmood import presets  # a command itself, which imports this module

    names = list(config)
    first = argparse.ArgumentParser(prog=prog, add_help=False, allow_abbrev=False)
    first.add_argument("--preset", choices=names, default=names[0])
    chosen, rest = first.parse_known_args(words)
    if len(names) > 1:
        about += f"\n\n--preset {{{','.join(names)}}} sets all defaults below; shown: {chosen.preset}\n"
        about += presets.table(names)
    presets.choose(chosen.preset)
    default = presets.with_run(config[chosen.preset], chosen.preset)
    return tyro.cli(type(default), prog=prog, description=about, default=default, args=rest, config=marks)


def start(main: Callable[[], int | None]) -> NoReturn:
    """Run a command and exit: 0 or its own code, 1 with one line for a known error, 130 when stopped by hand."""
    try:
        sys.exit(main() or 0)
    except PocketmoodError as error:
        _leave(f"error: {error}")
    except KeyboardInterrupt:
        _leave("stopped; the same command continues from here", EXIT_STOPPED)
    except OSError as error:
        # A full disk or a folder that is not ours is the user's to mend; any other OSError is a fault of this program.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        place = f"{error.filename}: " if error.filename else ""
        _leave(f"error: {place}{error.strerror}; make room or pick another folder, then run it again")


def _leave(why: str, code: int = 1) -> NoReturn:
    """Exit with a line on standard error; of the processes that torchrun starts the main one alone prints it."""
    if not is_main_process():
        # Nearly always the main process meets the same error, prints it and ends, and torchrun then ends this one.
        # Not ended at once, because torchrun would take the main one along before it has spoken; and what is wrong
        # with this process alone, as the memory of its GPU, must be said by somebody.
        if code != EXIT_STOPPED:
            time.sleep(PATIENCE_S)
            print(f"process {os.environ['RANK']}: {why}", file=sys.stderr)
        sys.exit(code)
    print(why, file=sys.stderr)
    sys.exit(code)
