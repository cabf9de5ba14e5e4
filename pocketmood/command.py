"""Command lines built from config dataclasses, and errors that are one line."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, TypeVar

from pocketmood.errors import PocketmoodError

Config = TypeVar("Config")
EXIT_STOPPED = 130


def parse(presets: Mapping[str, Config], prog: str, description: str, args: Sequence[str] | None = None) -> Config:
    """Read `--preset NAME` (the first preset if left out), then every field of the dataclass as a flag of its own.

    Flags, types, defaults and help come from the dataclass through tyro. A rule broken in `__post_init__` reaches the
    user as the PocketmoodError that it raises.
    """
    import tyro

    names = list(presets)
    first = argparse.ArgumentParser(prog=prog, add_help=False, allow_abbrev=False)
    first.add_argument("--preset", choices=names, default=names[0])
    chosen, rest = first.parse_known_args(sys.argv[1:] if args is None else list(args))
    if len(names) > 1:
        description += f"\n\n--preset {{{','.join(names)}}} sets all defaults below; shown: {chosen.preset}"
    return tyro.cli(
        type(presets[chosen.preset]),
        prog=prog,
        description=description,
        default=presets[chosen.preset],
        args=rest,
    )


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a command and exit: 0 or its own code, 1 with one line for a known error, 130 when stopped by hand."""
    try:
        sys.exit(main() or 0)
    except PocketmoodError as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped; the same command continues from here", file=sys.stderr)
        sys.exit(EXIT_STOPPED)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror}; make room or pick another folder, then run it again", file=sys.stderr)
    sys.exit(1)
