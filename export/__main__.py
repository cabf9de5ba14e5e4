"""`python -m export --run runs/x [--preset demo]`: waveform in, emotion out, in three formats, each proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.config import PRESETS
from pocketmood.command import parse, start

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> int:
    """Read the command line and run the stage; torch is imported only then."""
    config = parse(PRESETS, "python -m export", __doc__ or "", args)
    from export.stage import run as run_stage

    return run_stage(config)


if __name__ == "__main__":
    start(main)
