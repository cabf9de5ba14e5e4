"""`python -m teacher`: data in, a teacher and its answers out, in steps of which a kill costs one at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketmood.command import parse, start
from teacher.config import PRESETS, TeacherConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

DESCRIPTION = """Train the teacher: ridge floor, conditional GAN with a quality gate, fine-tuned ViT, table of answers.

Reads RUN/data, writes RUN/teacher. Run again after a kill it continues, and it does nothing when up to date.

Also: python -m teacher.predict SONG... (the trained teacher's predictions for songs of yours), and
python -m benchmarks.studies.teacher_ablation (what the GAN is worth, with intervals)."""


def main(config: TeacherConfig | None = None, args: Sequence[str] | None = None) -> int:
    """Run the stage with a config, or with command-line arguments."""
    if config is None:
        config = parse(PRESETS, "python -m teacher", DESCRIPTION, args)
    from teacher.stage import make  # torch and transformers take seconds to import; --help does not need them

    make(config)
    return 0


if __name__ == "__main__":
    start(main)
