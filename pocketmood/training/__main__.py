"""`python -m pocketmood.training doctor`: what a run needs and what is there, before hours of training."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pocketmood import command, presets
from pocketmood.errors import ConfigError
from pocketmood.training import doctor

STAGES = ("teacher", "student")
FOUND = 2
"""Exit code where something stands in the way."""


@dataclass(frozen=True)
class DoctorConfig:
    """Which run to look at."""

    what: Literal["doctor"]
    """Look at GPU, precision, disk, weights, songs, and the time that training will take."""
    preset: str = presets.PRESETS[0].name
    """Name of the preset that is to be trained."""
    run: Path = presets.DEFAULT_RUN
    """Run folder, made or not."""
    teacher: str = ""
    """Flags of the teacher's stage, in one string."""
    student: str = ""
    """Flags of the student's stage, in one string."""

    def __post_init__(self) -> None:
        """Refuse a preset that no stage knows."""
        doctor.require_preset(self.preset)


def main(args: Sequence[str] | None = None) -> int:
    """Read the command line and look."""
    return run(command.parse(DoctorConfig, "python -m pocketmood.training", __doc__, args, positional=True))


def run(config: DoctorConfig) -> int:
    """Print the screen; return 0, or 2 where something stands in the way and ANYWAY is not set."""
    # Two warnings per import come from torchao's enums, none of them ours to act on.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    flags = {"teacher": config.teacher, "student": config.student}
    needs = [doctor.of(stage, config.preset, config.run, _words(stage, flags[stage])) for stage in STAGES]
    presets.choose(config.preset)
    findings = doctor.examine(needs, config.run)
    print(doctor.screen(findings, f"doctor: {config.preset}, {config.run}"), flush=True)
    return FOUND if any(finding.verdict == "stop" for finding in findings) and not doctor.anyway() else 0


def _words(stage: str, flags: str) -> list[str]:
    """Split a stage's flags as the shell would that starts it from the Makefile: quotes, and ~ for the home folder."""
    try:
        return [str(Path(word).expanduser()) if word.startswith("~") else word for word in shlex.split(flags)]
    except ValueError as error:
        raise ConfigError(f"--{stage} {flags!r}: {error}") from error


if __name__ == "__main__":
    command.start(main)
