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
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, TypeVar

from pocketmood.errors import PocketmoodError

Config = TypeVar("Config")
EXIT_STOPPED = 130


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
    import tyro

    words = sys.argv[1:] if args is None else list(args)
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
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped; the same command continues from here", file=sys.stderr)
        sys.exit(EXIT_STOPPED)
    except OSError as error:
        # A full disk or a folder that is not ours is the user's to mend; any other OSError is a fault of this program.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror}; make room or pick another folder, then run it again", file=sys.stderr)
    sys.exit(1)
