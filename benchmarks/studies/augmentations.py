"""Do time-stretch and pitch-shift of training songs help the teacher? Four arms, the same optimiser steps.

    none        the training songs
    stretch     and their variants at other tempos
    pitch       and their variants at other pitches
    both        and their variants at other tempos and pitches

An epoch has one crop per song in every arm, taken from the song or from one of its variants, so that steps are equal
without further ado; with one seed all arms draw the same crops, gains and masks. Variants and trainings are stages in
RUN/ablation/augmentations; a killed study continues.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.studies import ablation
from benchmarks.studies.ablation import AblationConfig, Facts
from benchmarks.studies.result_files import RESULTS, parse_command
from pocketmood.data.run_folder import PREDICTIONS_FILE, RunFolder
from pocketmood.errors import ConfigError
from pocketmood.metrics import Array
from pocketmood.processes import cores
from pocketmood.training.variants import VariantsConfig
from teacher.config import TeacherConfig
from teacher.presets import PRESETS as TEACHERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pocketmood.runs import Stage
    from pocketmood.training.variants import Variants

NAME = "benchmarks.studies.augmentations"
ARMS = ("none", "stretch", "pitch", "both")
DESCRIPTION = """Measure what time-stretch and pitch-shift of the training songs are worth to the teacher.

Reads RUN/data alone; writes a table (.md and .json). Trainings cost what that of `python -m teacher` does, four per
seed; variants cost a tenth of a second each, once."""


@dataclass(frozen=True)
class AugmentationsConfig(AblationConfig):
    """The study of augmentations: which teacher, how many variants, where the table goes."""

    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    """Network and training; --teacher.run is the run folder, --teacher.variants the arm `both`."""
    workers: int = 0
    """Processes that make variants; 0: one per core."""
    out: Path = RESULTS / "augmentations"
    """Where the table goes, without its endings .md and .json."""

    def __post_init__(self) -> None:
        """Refuse arms that are the same."""
        super().__post_init__()
        variants = self.teacher.variants
        if not variants.count or variants.stretch == 1 or not variants.semitones:
            raise ConfigError(
                f"variants count {variants.count}, stretch {variants.stretch}, semitones {variants.semitones}: all "
                "must change something, or arms are the same; pass --teacher.variants.count 2"
            )


def _preset(config: TeacherConfig) -> AugmentationsConfig:
    """Return the study of a preset: its teacher, with variants."""
    return AugmentationsConfig(teacher=replace(config, variants=replace(config.variants, count=2)))


PRESETS = {name: _preset(config) for name, config in TEACHERS.items()}


def main(args: Sequence[str] | None = None) -> int:
    """Run the study from the command line."""
    return run(*parse_command(PRESETS, NAME, DESCRIPTION, args))


def run(config: AugmentationsConfig, typed: str = f"python -m {NAME}") -> int:
    """Train every arm with every seed, compare them on the test songs, write and print the table."""
    from pocketmood.training.device import keep_freed_memory
    from pocketmood.training.vary import require_librosa

    require_librosa(config.teacher.variants)
    folder = RunFolder(config.teacher.run)
    inputs = {"data": folder.fingerprint("data")}
    keep_freed_memory()
    varied = {arm: _vary(arm, config, folder, inputs) for arm in ARMS[1:]}

    def train(arm: str, seed: int) -> tuple[Array, Facts]:
        return train_arm(arm, replace(config.teacher, seed=seed), varied.get(arm), inputs)

    trained = ablation.train_arms(ARMS, config.seeds, train)

    songs = list(folder.split.test)
    rows = ablation.compare(trained.emotion, folder.store.labels(songs).astype(float), songs, trained.facts)
    variants = config.teacher.variants
    tempos = f"{1 / variants.stretch:.2f} to {variants.stretch:.2f} times the tempo"
    notes = [
        *(ablation.verdict(row, row.name.capitalize()) for row in rows[1:]),
        f"{variants.count} variants per song, made once for all seeds: stretch {tempos}, pitch up to "
        f"{variants.semitones:g} semitones up or down. {len(songs)} test songs; every arm took the same optimiser "
        f"steps. {ablation.intervals(config.seeds)}",
    ]
    title = "What time-stretch and pitch-shift are worth to the teacher"
    print(ablation.write(config.out, rows, title, typed, notes), flush=True)
    return 0


def of_arm(arm: str, config: VariantsConfig) -> VariantsConfig:
    """Return the variants of an arm."""
    if arm == "stretch":
        return replace(config, semitones=0.0)
    return replace(config, stretch=1.0) if arm == "pitch" else config


def _vary(arm: str, config: AugmentationsConfig, folder: RunFolder, inputs: dict[str, str]) -> Stage:
    """Make the variants of an arm unless they are there."""
    from pocketmood.runs import Stage
    from pocketmood.training.vary import make_variants

    variants = of_arm(arm, config.teacher.variants)
    # Of seed 0 for every training: variants cost as much as a training, and the seeds' scatter is of trainings.
    stage = Stage(_stages(folder), f"variants-{arm}", variants, inputs)
    if not stage.up_to_date(quiet=True):
        with stage.work() as work:
            print(f"{arm}: {variants.count} variants of each of {len(folder.split.train)} songs", flush=True)
            start = time.process_time()
            made = make_variants(folder.store, folder.split.train, variants, 0, work, config.workers)
            stage.record |= {"clips": len(made.store), "seconds_here": round(time.process_time() - start, 1)}
    return stage


def train_arm(arm: str, config: TeacherConfig, varied: Stage | None, inputs: Mapping[str, str]) -> tuple[Array, Facts]:
    """Train one arm unless that is done; return its predictions for the test songs [N, 2], steps and seconds.

    varied: the stage with the arm's variants. inputs: fingerprints of what the trainings read.
    """
    from pocketmood.predictions import read_predictions
    from pocketmood.runs import Stage
    from pocketmood.training.vary import open_variants

    settings = {"vit": config.vit, "training": config.training, "seed": config.seed, "arm": arm}
    known = dict(inputs) | ({"variants": varied.fingerprint} if varied else {})
    stage = Stage(_stages(RunFolder(config.run)), f"{arm}-{config.seed}", settings, known)
    if not stage.up_to_date(quiet=True):
        variants = None if varied is None else open_variants(varied.folder, config.variants)
        with stage.work() as work:
            print(f"{arm}, seed {config.seed}", flush=True)
            _fill(stage, work, config, variants)
    return read_predictions(stage.folder / PREDICTIONS_FILE).emotion, {"steps": stage.record["steps"]}


def _fill(stage: Stage, work: Path, config: TeacherConfig, variants: Variants | None) -> None:
    """Train a teacher into the work folder of a stage, with its predictions for the test songs."""
    from pocketmood.predictions import Predictions, write_predictions
    from pocketmood.training.device import default_device
    from pocketmood.training.history import read_history
    from teacher import finetune
    from teacher.vit import load_teacher

    folder, start = RunFolder(config.run), time.perf_counter()
    finetune.train(folder.store, folder.split, config, work, variants=variants)
    # From its folder, as every later stage gets it.
    network, _ = load_teacher(work)
    songs, labels = folder.split.test, folder.store.labels(folder.split.test)
    emotion, rater_sd = finetune.predict(network.to(default_device()), folder.store, songs, config.vit)
    write_predictions(
        work / PREDICTIONS_FILE, Predictions(songs, ("test",) * len(songs), emotion, labels, rater_sd=rater_sd)
    )
    steps = read_history(work)[-1].step
    stage.record |= {"steps": steps, "seconds": round(time.perf_counter() - start), "threads": cores()}


def _stages(folder: RunFolder) -> Path:
    return ablation.stages_of(folder, "augmentations")


if __name__ == "__main__":
    from pocketmood import command

    command.start(main)
