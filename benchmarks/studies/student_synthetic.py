"""Do synthetic clips help the student? Two arms, the same optimiser steps, several seeds.

    real         the songs, by their ratings and soft targets
    synthetic    and clips that a generator drew, by their soft targets alone, whatever the quality gate says of them

Each training is kept under RUN/ablation/student_synthetic; a killed study continues.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.studies import ablation
from benchmarks.studies.ablation import AblationConfig, Facts
from benchmarks.studies.result_files import RESULTS, parse_command
from pocketmood.errors import ConfigError, RunError
from student.config import PRESETS as STUDENTS
from student.config import StudentConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pocketmood.data.run_folder import RunFolder
    from pocketmood.metrics import Array
    from teacher.soft_targets import SyntheticTargets

NAME = "benchmarks.studies.student_synthetic"
ARMS = ("real", "synthetic")
DESCRIPTION = """Measure what synthetic clips are worth to the student: with them, and without them.

Reads RUN/data and RUN/teacher; writes a table (.md and .json). A training costs as much as that of `python -m student`,
and there are two per seed."""
# Two of the demo's five epochs, at half its batch: more seeds tell more than longer trainings.
_STUDENT = replace(
    STUDENTS["demo"],
    draws=3,
    schedule=replace(STUDENTS["demo"].schedule, epochs=2, batch_size=16, ema_decay=0.97),
)


@dataclass(frozen=True)
class StudentSyntheticConfig(AblationConfig):
    """The student, the clips, and where the table goes."""

    student: StudentConfig = _STUDENT
    """Network and training; --student.run is the run folder, whose teacher stage must be finished. Its epochs are those
    of the arm with more clips."""
    generator: Path | None = None
    """Folder of a trained generator; that of the run's teacher if left out."""
    clips: int = 200
    """Synthetic clips to draw."""
    clips_seed: int = 0
    """Decides which ones."""
    out: Path = RESULTS / "student-synthetic"
    """Where the table goes, without its endings .md and .json."""

    def __post_init__(self) -> None:
        """Refuse a study without trainings, or without clips."""
        super().__post_init__()
        if self.clips < 1:
            raise ConfigError(f"--clips {self.clips} must be at least 1")


PRESETS = {"demo": StudentSyntheticConfig(), "smoke": StudentSyntheticConfig(1, STUDENTS["smoke"], None, 8)}


def main(args: Sequence[str] | None = None) -> int:
    """Run the study from the command line."""
    return run(*parse_command(PRESETS, NAME, DESCRIPTION, args))


def run(config: StudentSyntheticConfig, typed: str = f"python -m {NAME}") -> int:
    """Train both arms with every seed, compare them on the test songs, write and print the table."""
    from benchmarks.studies.student_ablation import equal_steps
    from pocketmood.data.run_folder import RunFolder
    from pocketmood.runs import Stage
    from pocketmood.training.device import keep_freed_memory
    from student.record import TrainingRecord
    from student.train_once import stage_inputs, train_once
    from student.training_set import TrainingData

    folder = RunFolder(config.student.run)
    data, inputs = TrainingData.open(folder), stage_inputs(folder)
    keep_freed_memory()
    synthetic, drawn = draw(config, folder)
    both = data._replace(synthetic=synthetic)

    def train(arm: str, seed: int) -> tuple[Array, Facts]:
        music, recipe = (both if arm == "synthetic" else data), replace(config.student, seed=seed)
        # As many steps as the arm with more clips takes in its epochs.
        recipe = equal_steps(recipe, music.clips, both.clips)
        known = inputs | ({"synthetic": drawn} if arm == "synthetic" else {})
        stage = Stage(ablation.stages_of(folder, "student_synthetic"), f"{arm}-{seed}", recipe, known)
        emotion = train_once(music, recipe, stage).emotion
        return emotion, {"clips": music.clips, "steps": TrainingRecord.of(stage).steps}

    trained = ablation.train_arms(ARMS, config.seeds, train)

    songs = list(data.split.test)
    rows = ablation.compare(trained.emotion, data.store.labels(songs).astype(float), songs, trained.facts)
    notes = [
        ablation.verdict(rows[1], f"{config.clips} synthetic clips, by their soft targets,"),
        f"{len(songs)} test songs; both arms took the same optimiser steps. {config.student.model}, "
        f"{config.student.schedule.epochs:g} epochs of {config.student.draws} draws. "
        + ablation.intervals(config.seeds),
    ]
    print(ablation.write(config.out, rows, "What synthetic clips are worth to the student", typed, notes), flush=True)
    return 0


def draw(config: StudentSyntheticConfig, run: RunFolder) -> tuple[SyntheticTargets, str]:
    """Draw the clips and let the run's teacher predict for them, unless that is done; return them and a fingerprint."""
    from pocketmood.data.run_folder import GAN_STEP, SOFT_TARGETS, SYNTHETIC_STEP, SYNTHETIC_TARGETS
    from pocketmood.runs import Stage, file_hash
    from teacher.company.open import member_folders
    from teacher.config import SoftTargetsConfig
    from teacher.gan.model import WEIGHTS_FILE
    from teacher.gan.synthesis import SyntheticStore, draw_clips
    from teacher.soft_targets import Asked, SoftTargets, SyntheticTargets, make

    teacher = run.stage_file("teacher")
    members = member_folders(run.folder("teacher"))
    if len(members) > 1:
        raise RunError(f"{run.folder('teacher')}: a company of {', '.join(members)}; this study asks one network alone")
    [(name, network)] = members.items()
    generator = config.generator or run.folder("teacher") / GAN_STEP
    # Crops as those of the songs' table, whatever the defaults are by now.
    crops = SoftTargetsConfig(**teacher.config["soft_targets"])
    settings = {"clips": config.clips, "seed": config.clips_seed, "soft_targets": asdict(crops)}
    inputs = {"generator": file_hash(generator / WEIGHTS_FILE), "teacher": teacher.fingerprint}

    step = Stage(ablation.stages_of(run, "student_synthetic"), "clips", settings, inputs)
    songs = SoftTargets.open(run.folder("teacher") / SOFT_TARGETS)
    if not step.up_to_date(quiet=True):
        with step.work() as work:
            labels = run.store.labels(run.split.train)
            store = draw_clips(generator, labels, config.clips, work / SYNTHETIC_STEP, config.clips_seed)
            (work / SYNTHETIC_TARGETS).mkdir(exist_ok=True)
            make(name, network, songs.teacher, Asked(store, store.ids), crops, work / SYNTHETIC_TARGETS)
    mels = SyntheticStore.open(step.folder / SYNTHETIC_STEP).mels
    return SyntheticTargets(SoftTargets.open(step.folder / SYNTHETIC_TARGETS), mels), step.fingerprint


if __name__ == "__main__":
    from pocketmood import command

    command.start(main)
