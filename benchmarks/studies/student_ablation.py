"""What each part of the distillation gives: four arms, the same optimiser steps, several seeds.

    labels      the people's ratings alone
    response    and the teacher's predictions
    features    ratings and the teacher's features, without its predictions
    all         ratings, predictions, features, and rater_sd, as the recipe has them

Music without ratings teaches only through the teacher, so that the first arm leaves it out; every arm takes the same
number of optimiser steps. Each training is kept under RUN/ablation/student; a killed ablation continues.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.studies.ablation import AblationConfig
from benchmarks.studies.result_files import RESULTS, parse_command
from pocketmood.errors import ConfigError
from student.config import PRESETS as STUDENTS
from student.config import LossConfig, StudentConfig, with_epochs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.studies.ablation import Arm, Facts
    from pocketmood.metrics import Array
    from student.training_set import TrainingData
    from teacher.soft_targets import SoftTargets

NAME = "benchmarks.studies.student_ablation"
TERMS = ("labels", "response", "features", "rater_sd")
"""Terms of the student's loss, as `LossConfig` names their weights."""
ARMS = {
    "labels": ("labels",),
    "response": ("labels", "response"),
    "features": ("labels", "features"),
    "all": TERMS,
}
"""Terms of the loss that each arm has; the others weigh nothing."""
DESCRIPTION = """Measure what each part of the distillation gives: response, features, both, against ratings alone.

Reads RUN/data and the soft targets in RUN/teacher; writes a table (.md and .json). A training costs as much as that of
`python -m student`, and there are four per seed."""


@dataclass(frozen=True)
class StudentAblationConfig(AblationConfig):
    """The student's ablation: which student, how long, where the table goes."""

    student: StudentConfig = field(default_factory=StudentConfig)
    """Network and training; --student.run is the run folder, whose teacher stage must be finished."""
    epochs: float | None = None
    """Epochs of each training; those of the student if left out."""
    out: Path = RESULTS / "student-ablation"
    """Where the table goes, without its endings .md and .json."""

    def __post_init__(self) -> None:
        """Refuse an ablation without trainings, or of parts that the recipe does not have."""
        super().__post_init__()
        if self.epochs is not None and self.epochs <= 0:
            raise ConfigError(f"--epochs {self.epochs} must be above 0; leave it out for the student's own")
        # A term that weighs nothing would make two arms the same training.
        for term in ("labels", "response", "features"):
            if getattr(self.student.loss, term) == 0:
                raise ConfigError(f"the recipe has no {term}; give --student.loss.{term} a weight")


PRESETS = {name: StudentAblationConfig(student=config) for name, config in STUDENTS.items()}


def main(args: Sequence[str] | None = None) -> int:
    """Run the ablation from the command line."""
    return run(*parse_command(PRESETS, NAME, DESCRIPTION, args))


def run(config: StudentAblationConfig, typed: str = f"python -m {NAME}") -> int:
    """Train every arm with every seed, compare them on the test songs, write and print the table."""
    # Imported here, not above: --help need not wait for torch and timm.
    from benchmarks.studies import ablation
    from pocketmood.data.run_folder import RunFolder
    from pocketmood.runs import Stage
    from pocketmood.training.device import keep_freed_memory
    from student.record import TrainingRecord
    from student.train_once import stage_inputs, train_once
    from student.training_set import TrainingData

    folder = RunFolder(config.student.run)
    inputs, data = stage_inputs(folder), TrainingData.open(folder)
    student = config.student if config.epochs is None else with_epochs(config.student, config.epochs)
    keep_freed_memory()

    def train(arm: str, seed: int) -> tuple[Array, Facts]:
        recipe, music = prepared(arm, replace(student, seed=seed), data)
        stage = Stage(ablation.stages_of(folder, "student"), f"{arm}-{seed}", recipe, inputs)
        emotion = train_once(music, recipe, stage).emotion
        clips = len(music.soft_targets.ids)
        return emotion, {"terms": ", ".join(ARMS[arm]), "clips": clips, "steps": TrainingRecord.of(stage).steps}

    trained = ablation.train_arms(list(ARMS), config.seeds, train)

    songs = list(data.split.test)
    labels = data.store.labels(songs).astype(float)
    rows = ablation.compare(trained.emotion, labels, songs, trained.facts)
    # `all` is compared once more, with `response`: what features add where the predictions are already there.
    pair = {arm: trained.emotion[arm] for arm in ("response", "all")}
    notes = sentences(rows, ablation.compare(pair, labels, songs)[1], len(songs))
    print(ablation.write(config.out, rows, "What each part of the distillation gives", typed, notes), flush=True)
    return 0


def sentences(rows: Sequence[Arm], beyond_response: Arm, songs: int) -> list[str]:
    """Conclude in one sentence per arm, and say what was compared."""
    from benchmarks.studies.ablation import intervals, verdict

    what = {
        "response": "The teacher's predictions, beside ratings,",
        "features": "The teacher's features, beside ratings,",
        "all": "All of it, against ratings alone,",
    }
    concluded = [verdict(row, what[row.name]) for row in rows if row.name in what]
    concluded.append(verdict(beyond_response, "Features and rater_sd, beside ratings and predictions,"))
    return [
        *concluded,
        f"{songs} test songs; every arm took the same optimiser steps, and its kept epoch is the best on validation. "
        + intervals(rows[0].seeds),
    ]


def prepared(arm: str, config: StudentConfig, data: TrainingData) -> tuple[StudentConfig, TrainingData]:
    """Return the recipe of an arm and what it learns from, with the steps that the whole recipe takes."""
    terms = ARMS[arm]
    config = replace(config, loss=only_terms(config.loss, terms))
    if {"response", "features"} & set(terms) or len(data.soft_targets.ids) == len(data.split.train):
        return config, data
    # Without a term that reads the teacher, an unrated crop would be a step that teaches nothing.
    rated = data._replace(soft_targets=only_clips(data.soft_targets, data.split.train))
    return equal_steps(config, len(rated.soft_targets.ids), len(data.soft_targets.ids)), rated


def only_terms(loss: LossConfig, terms: Sequence[str]) -> LossConfig:
    """Return the loss with the weights of all other terms 0."""
    others: dict[str, Any] = {name: 0.0 for name in TERMS if name not in terms}
    return replace(loss, **others)


def only_clips(soft_targets: SoftTargets, ids: Sequence[str]) -> SoftTargets:
    """Return the table for some of its clips."""
    rows = [soft_targets.index(id_) for id_ in ids]
    parts = {name: getattr(soft_targets, name)[rows] for name in soft_targets.arrays}
    return replace(soft_targets, ids=tuple(ids), **parts)


def equal_steps(config: StudentConfig, clips: int, most: int) -> StudentConfig:
    """Return the recipe with as many epochs over `clips` as make the steps that it takes over `most`."""

    def per_epoch(count: int) -> int:
        # The loader drops the rest of an epoch that fills no batch, but never the only batch there is.
        return max(count * config.draws // config.schedule.batch_size, 1)

    steps = math.ceil(config.schedule.epochs * per_epoch(most))
    # Half a step less, rounded up by the loop: `steps` of them, whatever a float makes of the quotient.
    return with_epochs(config, (steps - 0.5) / per_epoch(clips))


if __name__ == "__main__":
    from pocketmood import command

    command.start(main)
