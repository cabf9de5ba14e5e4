"""`python -m teacher`: data in, a teacher and its answers out, in steps of which a kill costs one at most."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pocketmood.command import parse, run
from teacher.config import PRESETS, TeacherConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

DESCRIPTION = """Train the teacher: ridge floor, conditional GAN with a quality gate, fine-tuned ViT, table of answers.

Reads RUN/data, writes RUN/teacher. Run again after a kill it continues, and it does nothing when up to date.

Two more commands, with a --help of their own:
  python -m teacher try SONG...   what the trained teacher hears in songs of yours
  python -m teacher ablate        what the GAN is worth, with intervals"""


def main(config: TeacherConfig | None = None, args: Sequence[str] | None = None) -> int:
    """Run the stage with a config, or with command-line arguments."""
    args = sys.argv[1:] if args is None and config is None else args
    if args and args[0] == "try":
        from teacher.try_songs import main as listen

        return listen(args[1:])
    if args and args[0] == "ablate":
        from teacher.ablate import main as ablate

        return ablate(args[1:])
    if config is None:
        config = parse(PRESETS, "python -m teacher", DESCRIPTION, args)
    from teacher.stage import make  # torch and transformers take seconds to import; --help does not need them

    make(config)
    return 0


if __name__ == "__main__":
    run(main)
