"""What distillation is worth: ratings alone, with a teacher's answers, with music that nobody rated.

    labels       the people's ratings alone
    clips        and the teacher's predictions for the same songs
    unlabelled   and music without ratings, by the teacher's predictions alone
    shuffled     the same, with the predictions permuted over the clips: the control, which must not help
    features     as `unlabelled`, and shown the teacher's features, where its network is frozen and has one space

Each with all ratings and with a quarter of them; `labels` also with an eighth and a half, for the learning curve that
tells how many rated songs the unrated music is worth. All trainings take the same number of optimiser steps and visit
validation as often. Folds are by artist, and every song is tested by students and answered for by teachers that have
heard neither it nor any song of its fold (`distillation_parts`). A quarter of the ratings is a quarter for the teacher
too. Every training is kept under RUN/ablation/distillation; a killed study continues.

The music without ratings is that of the run's data stage:

    make recordings-more
    make data RUN=runs/4q ... UNLABELLED=.cache/recordings DATA=--unlabelled-clips=2
    python -m benchmarks.studies.distillation --student.run runs/4q

Cost on two cores, with five folds: 50 students of about 100 s each, and 20 small ViTs that take a minute each, a third
of it for 1400 clips without ratings; less than two hours in all with the defaults. With `--preset recordings` the
teachers are heads above frozen musicnn networks, which hear every clip once. Half the --steps halve the students'
part, --unlabelled-clips=1 at `make data` halves what the teachers take for music without ratings.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.studies.distillation_students import CLIPS, FEATURES, LABELS, SHUFFLED, UNLABELLED, Cell
from benchmarks.studies.result_files import RESULTS, parse_command
from pocketmood.errors import ConfigError, RunError
from student.config import PRESETS as STUDENTS
from student.config import StudentConfig
from teacher.company.members import kind_of
from teacher.config import SoftTargetsConfig, TeacherConfig
from teacher.presets import PRESETS as TEACHERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.studies.ablation import Arm, Facts
    from benchmarks.studies.songs_worth import Outcome, Worth
    from pocketmood.data.run_folder import RunFolder

NAME = "benchmarks.studies.distillation"
ARMS = (LABELS, CLIPS, UNLABELLED, SHUFFLED)
WHAT = {
    CLIPS: "The teacher's predictions for the rated songs",
    UNLABELLED: "These, and music that nobody rated, by its predictions,",
    SHUFFLED: "The control, with predictions permuted over clips,",
    FEATURES: "Music that nobody rated, with the teacher's features as well,",
}
ALL = 1.0


@dataclass(frozen=True)
class DistillationConfig:
    """The study: folds, students, teachers, and where the table goes."""

    student: StudentConfig = STUDENTS["demo"]
    """Network and training; --student.run is the run folder, whose data stage must be finished."""
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    """The teachers, each in a run of its own; whatever the teacher's stage can train can be asked here."""
    folds: int = 5
    """Parts that the rated songs are dealt to; each is tested once."""
    seeds: int = 1
    """Trainings per arm and fold, no two with the same seed: five folds have five seeds already."""
    steps: int = 500
    """Optimiser steps of every training."""
    epochs: int = 5
    """Times that a training stops for validation; the best of them is kept."""
    few: float = 0.25
    """The share of the ratings that "few" are; in eighths."""
    curve: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    """Shares of the ratings on the learning curve, in eighths; `few` and 1 are among them."""
    rated_share: float = 0.5
    """Share of the crops that come from rated songs where there is other music as well."""
    out: Path = RESULTS / "distillation"
    """Where the table goes, without its endings .md and .json."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained or compared."""
        if min(self.seeds, self.steps, self.epochs) < 1 or self.folds < 3:
            raise ConfigError(
                f"--seeds {self.seeds}, --steps {self.steps}, --epochs {self.epochs} must be at least 1, --folds "
                f"{self.folds} at least 3: teachers leave out two"
            )
        odd = [share for share in self.curve if not 0 < share <= 1 or (share * 8) % 1]
        if odd or sorted(set(self.curve)) != list(self.curve) or not {self.few, ALL} <= set(self.curve):
            raise ConfigError(
                f"--curve {' '.join(f'{share:g}' for share in self.curve)} must be rising eighths up to 1 with --few "
                f"{self.few:g} among them"
            )
        if self.few == ALL or not 0 < self.rated_share < 1:
            raise ConfigError(f"--few {self.few:g} and --rated-share {self.rated_share:g} must lie between 0 and 1")
        for term in ("labels", "response", "features"):
            if getattr(self.student.loss, term) == 0:
                raise ConfigError(f"the recipe has no {term}; give --student.loss.{term} a weight")


def _preset(student: StudentConfig, teacher: TeacherConfig) -> DistillationConfig:
    # Neither generator nor baseline: this study asks what answers are worth, whoever gives them.
    teacher = replace(teacher, synthetic=0, listen_s=0.0, baseline=False, doctor=False)
    return DistillationConfig(replace(student, doctor=False), teacher)


_FEWER_CROPS = replace(TEACHERS["demo"], soft_targets=SoftTargetsConfig(crops=4))
PRESETS = {
    "demo": _preset(STUDENTS["demo"], _FEWER_CROPS),
    # What a GPU or a cache has heard costs nothing: the teachers of this preset are heads above frozen networks.
    "recordings": _preset(STUDENTS["demo"], TEACHERS["recordings"]),
    "smoke": replace(_preset(STUDENTS["smoke"], TEACHERS["smoke"]), folds=3, steps=2, epochs=1),
}


def main(args: Sequence[str] | None = None) -> int:
    """Run the study from the command line."""
    return run(*parse_command(PRESETS, NAME, __doc__, args))


def run(config: DistillationConfig, typed: str = f"python -m {NAME}") -> int:
    """Ask the teachers, train every student, compare them, write and print the tables."""
    from benchmarks.studies import ablation
    from benchmarks.studies.distillation_parts import ask_teachers, parts_of
    from benchmarks.studies.distillation_students import Study
    from pocketmood.data.run_folder import RunFolder
    from pocketmood.training.device import keep_freed_memory

    folder = RunFolder(config.student.run)
    # Before the teachers' hours: parts that are too small, or no music to learn from, are said at once.
    parts, unrated = parts_of(folder.store.clips, config.folds), _require_music(folder)
    keep_freed_memory()
    stages = ablation.stages_of(folder, "distillation")
    teachers = {share: ask_teachers(folder, config.teacher, parts, share, stages) for share in (ALL, config.few)}

    outcome, facts = Study(config, folder, parts, teachers, unrated).train_all(cells(config))
    groups, notes, worth = conclude(config, outcome, facts, len(unrated))
    _write(config, typed, groups, notes, worth)
    return 0


def cells(config: DistillationConfig) -> list[Cell]:
    """List what is trained in every fold."""
    curve = [Cell(LABELS, share) for share in config.curve]
    return [*curve, *(Cell(arm, share) for share in (ALL, config.few) for arm in arms(config, share)[1:])]


def arms(config: DistillationConfig, share: float) -> tuple[str, ...]:
    """Return what is trained with a share of the ratings; features with all of them, where they have one space."""
    frozen = kind_of(config.teacher.company.featured).frozen_features
    return (*ARMS, FEATURES) if frozen and share == ALL else ARMS


def _require_music(folder: RunFolder) -> list[str]:
    """Return the clips that nobody rated; RunError says how to add some."""
    unrated = [clip.id for clip in folder.store.clips if clip.label is None and not clip.synthetic]
    if not unrated:
        raise RunError(
            f"{folder.folder('data')}: all clips have ratings, so there is no music to learn from without. Type `make "
            f"recordings-more`, then `make data RUN={folder.path} UNLABELLED=.cache/recordings "
            "DATA=--unlabelled-clips=2` with this run's other settings"
        )
    return unrated


def conclude(
    config: DistillationConfig, outcome: Outcome, facts: Mapping[str, Facts], unrated: int
) -> tuple[dict[str, list[Arm]], list[str], Worth]:
    """Compare the arms of each share with its labels alone, and tell what the unrated clips are worth.

    Returns the rows by heading, the sentences below them, and the worth.
    """
    from benchmarks.studies import songs_worth
    from benchmarks.studies.ablation import verdict
    from benchmarks.studies.songs_worth import Point

    # Drawn once: all tables, and the curve, are then about the same resampled songs.
    drawn = songs_worth.draws(outcome)
    groups = {
        heading: songs_worth.compare(outcome, [Cell(arm, share).name for arm in arms(config, share)], facts, drawn)
        for heading, share in (("All ratings", ALL), (f"{100 * config.few:g} % of the ratings", config.few))
    }
    curve = [Cell(LABELS, share).name for share in config.curve]
    groups["Ratings alone"] = songs_worth.compare(outcome, curve, facts, drawn)

    notes = []
    for heading, share in zip(list(groups)[:2], (ALL, config.few), strict=True):
        for arm, row in zip(arms(config, share), groups[heading], strict=True):
            if arm in WHAT:
                gain = f" Of the mean AUC: {row.facts['AUC, difference']}." if outcome.of_signs else ""
                notes.append(f"{heading}: {verdict(row, WHAT[arm])}{gain}")
    # The arm with few ratings is the one to read off: with all of them the curve has nothing beyond it.
    points = [Point(name, facts[name]["songs"]) for name in curve]
    few = Cell(UNLABELLED, config.few).name
    found = songs_worth.worth(outcome, points, few, facts[few]["songs"], drawn)
    score = "AUC" if outcome.of_signs else "CCC"
    notes.append(songs_worth.sentence(found, facts[few]["songs"], unrated, score))
    seeds = config.folds * config.seeds
    notes.append(
        f"{len(outcome.label)} songs, each tested by students that heard no song of its artist; {config.folds} folds, "
        f"{seeds} trainings per arm, each with a seed of its own, all of {config.steps} steps. Songs are those that "
        "train; as many as a fifth of all others choose the kept epoch, in every arm the same. Intervals resample "
        "folds with their seeds, and songs, all arms on the same ones; the scatter is that over trainings, each on the "
        "songs of its fold."
    )
    return groups, notes, found


def _write(
    config: DistillationConfig, typed: str, groups: Mapping[str, list[Arm]], notes: Sequence[str], worth: Worth
) -> None:
    """Write the tables as JSON and Markdown, and print them."""
    from benchmarks.studies.ablation import table
    from benchmarks.studies.result_files import write_result

    parts = [part for heading, rows in groups.items() for part in (f"## {heading}", table(rows))]
    values = {
        "groups": {heading: [asdict(row) for row in rows] for heading, rows in groups.items()},
        "worth": asdict(worth),
        "notes": list(notes),
    }
    write_result(config.out, "What distillation is worth", typed, values, [*parts, *notes])
    print("\n\n".join([*parts, *notes]), flush=True)


if __name__ == "__main__":
    from pocketmood import command

    command.start(main)
