"""`python -m student`: ratings and the teacher's soft targets in, a MobileViT out; a kill costs one epoch at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketmood.command import parse, start
from student.config import PRESETS, StudentConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

DESCRIPTION = """Distil the teacher of a run into a MobileViT: ratings, the teacher's soft targets and its features.

Reads RUN/data and the soft targets in RUN/teacher (never its weights), writes RUN/student. Run again after a kill it
continues, and it does nothing when up to date.

Also: python -m benchmarks.studies.student_ablation (what response, features and both give beside ratings alone)."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return run(parse(PRESETS, "python -m student", DESCRIPTION, args))


def run(config: StudentConfig) -> int:
    """Make the student of a run."""
    # Imported here: torch and timm take seconds, which --help need not wait for.
    from student import stage

    stage.run(config)
    return 0


if __name__ == "__main__":
    start(main)
