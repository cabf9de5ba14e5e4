"""`python -m student`: ratings and the teacher's answers in, a MobileViT out; a kill costs one epoch at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketmood.command import parse, start
from student.config import PRESETS, StudentConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

DESCRIPTION = """Distil the teacher of a run into a MobileViT: ratings, the teacher's answers and its features.

Reads RUN/data and the answers in RUN/teacher (never its weights), writes RUN/student. Run again after a kill it
continues, and it does nothing when up to date.

Also: python -m benchmarks.studies.student_ablation (what answers, features and both give beside ratings alone)."""


def main(config: StudentConfig | None = None, args: Sequence[str] | None = None) -> int:
    """Run the stage with a config, or with command-line arguments."""
    if config is None:
        config = parse(PRESETS, "python -m student", DESCRIPTION, args)
    from student.stage import run as make  # torch and timm take seconds to import; --help does not need them

    make(config)
    return 0


if __name__ == "__main__":
    start(main)
