"""`python -m teacher`: data in, a teacher and its soft targets out, in steps of which a kill costs one at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketmood.command import parse, start
from teacher.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Sequence

DESCRIPTION = """Train the teacher: ridge floor, conditional GAN with a quality gate, fine-tuned ViT, soft targets.

Reads RUN/data, writes RUN/teacher. Run again after a kill it continues, and it does nothing when up to date.

Also: python -m teacher.predict SONG... (the trained teacher's predictions for songs of yours), and
python -m benchmarks.studies.teacher_ablation (what the GAN is worth, with intervals)."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the stage with the words of a command line."""
    config = parse(PRESETS, "python -m teacher", DESCRIPTION, args)
    from teacher.stage import run  # torch and transformers take seconds to import; --help does not need them

    return run(config)


if __name__ == "__main__":
    start(main)
