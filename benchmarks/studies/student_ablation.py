"""What each part of the distillation gives: four arms, the same optimiser steps, several seeds.

    labels      the people's ratings alone
    response    and the teacher's answers
    features    ratings and the teacher's features, without its answers
    all         ratings, answers, features, and the interval, as the recipe has them

Music without ratings teaches only through the teacher, so that the first arm leaves it out; every arm takes the same
number of optimiser steps. Each training is kept under RUN/ablation/student; a killed ablation continues.
"""

from __future__ import annotations

import math
import shlex
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketmood.errors import RunError
from student.config import PRESETS as STUDENTS
from student.config import LossConfig, StudentConfig, with_epochs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.studies.ablation import Arm
    from student.train_once import Material
    from teacher.soft_targets import SoftTargets

ARMS = {
    "labels": ("labels",),
    "response": ("labels", "response"),
    "features": ("labels", "features"),
    "all": ("labels", "response", "features", "rater_sd"),
}
"""Terms of the loss that each arm has; the others weigh nothing."""
DESCRIPTION = """Measure what each part of the distillation gives: answers, features, both, against ratings alone.

Reads RUN/data and the answers in RUN/teacher; writes a table (.md and .json). A training costs as much as that of
`python -m student`, and there are four per seed."""


@dataclass(frozen=True)
class AblateConfig:
    """The ablation: which student, how many seeds, where the table goes."""

    student: StudentConfig = field(default_factory=StudentConfig)
    """Network and training; --student.run is the run folder, whose teacher stage must be finished."""
    seeds: int = 3
    """Trainings per arm."""
    epochs: float | None = None
    """Epochs of each training; those of the student if left out."""
    out: Path = Path("benchmarks/studies/results/student-ablation")
    """Where the table goes, without its endings .md and .json."""

    def __post_init__(self) -> None:
        """Refuse an ablation without trainings, or of parts that the recipe does not have."""
        if self.seeds < 1:
            raise RunError(f"ablate: --seeds {self.seeds} must be at least 1")
        if self.epochs is not None and self.epochs <= 0:
            raise RunError(f"ablate: --epochs {self.epochs} must be above 0; leave it out for the student's own")
        for term in ("labels", "response", "features"):
            if getattr(self.student.loss, term) == 0:
                raise RunError(f"ablate: the recipe has no {term}; give --student.loss.{term} a weight")


PRESETS = {name: AblateConfig(student=config) for name, config in STUDENTS.items()}


def main(args: Sequence[str] | None = None) -> int:
    """Run the ablation from the command line."""
    from pocketmood.command import parse

    args = sys.argv[2:] if args is None else args
    command = shlex.join(["python", "-m", "benchmarks.studies.student_ablation", *args])
    run(parse(PRESETS, "python -m benchmarks.studies.student_ablation", DESCRIPTION, args), command)
    return 0


def run(config: AblateConfig, command: str = "python -m benchmarks.studies.student_ablation") -> str:
    """Train every arm with every seed, compare them on the test songs, and write the table."""
    import numpy as np

    from benchmarks.studies import ablation
    from pocketmood.runs import Stage
    from pocketmood.training.device import keep_freed_memory
    from student.train_once import open_material, stage_inputs, trial

    student = config.student if config.epochs is None else with_epochs(config.student, config.epochs)
    inputs, material = stage_inputs(student.run), open_material(student.run)
    keep_freed_memory()
    said: dict[str, list[Any]] = {arm: [] for arm in ARMS}
    facts: dict[str, dict[str, Any]] = {}
    for seed in range(config.seeds):
        for arm in ARMS:
            recipe, music = prepared(arm, replace(student, seed=seed), material)
            stage = Stage(student.run / "ablation" / "student", f"{arm}-{seed}", recipe, inputs)
            said[arm].append(trial(music, recipe, stage).emotion)
            facts[arm] = {"terms": ", ".join(ARMS[arm]), "clips": len(music.soft_targets.ids)}
            facts[arm]["steps"] = stage.record["steps"]
    songs = list(material.split.test)
    labels = material.store.labels(songs).astype(float)
    stacked = {arm: np.stack(rows) for arm, rows in said.items()}
    rows = ablation.compare(stacked, labels, songs, facts)
    features = ablation.compare({arm: stacked[arm] for arm in ("response", "all")}, labels, songs)
    notes = sentences(rows, features[1], len(songs))
    text = ablation.write(config.out, rows, "What each part of the distillation gives", command, notes)
    print(text, flush=True)
    return text


def sentences(rows: Sequence[Arm], beyond_response: Arm, songs: int) -> list[str]:
    """Conclude in one sentence per arm, and say what was compared."""
    from benchmarks.studies.ablation import intervals, verdict

    what = {
        "response": "The teacher's answers, beside ratings,",
        "features": "The teacher's features, beside ratings,",
        "all": "All of it, against ratings alone,",
    }
    concluded = [verdict(row, what[row.name]) for row in rows if row.name in what]
    concluded.append(verdict(beyond_response, "Features and rater_sd, beside ratings and answers,"))
    return [
        *concluded,
        f"{songs} test songs; every arm took the same optimiser steps, and its kept epoch is the best on validation. "
        + intervals(rows[0].seeds),
    ]


def prepared(arm: str, config: StudentConfig, material: Material) -> tuple[StudentConfig, Material]:
    """Return the recipe of an arm and what it learns from, with the steps that the whole recipe takes."""
    terms = ARMS[arm]
    config = replace(config, loss=only_terms(config.loss, terms))
    if {"response", "features"} & set(terms) or len(material.soft_targets.ids) == len(material.split.train):
        return config, material
    rated = material._replace(soft_targets=only_clips(material.soft_targets, material.split.train))
    return equal_steps(config, len(rated.soft_targets.ids), len(material.soft_targets.ids)), rated


def only_terms(loss: LossConfig, terms: Sequence[str]) -> LossConfig:
    """Return the loss with the weights of all other terms 0."""
    names = ("labels", "response", "features", "rater_sd")
    others: Mapping[str, Any] = {name: 0.0 for name in names if name not in terms}
    return replace(loss, **others)


def only_clips(soft_targets: SoftTargets, ids: Sequence[str]) -> SoftTargets:
    """Return the table for some of its clips."""
    rows = [soft_targets.index(id_) for id_ in ids]
    parts = {name: getattr(soft_targets, name)[rows] for name in ("emotion", "rater_sd", "features")}
    return replace(soft_targets, ids=tuple(ids), **parts)


def equal_steps(config: StudentConfig, clips: int, most: int) -> StudentConfig:
    """Return the recipe with as many epochs over `clips` as make the steps that it takes over `most`."""

    def per_epoch(count: int) -> int:
        return max(count * config.draws // config.schedule.batch_size, 1)

    steps = math.ceil(config.schedule.epochs * per_epoch(most))
    return with_epochs(config, (steps - 0.5) / per_epoch(clips))


if __name__ == "__main__":
    from pocketmood import command

    command.start(main)
