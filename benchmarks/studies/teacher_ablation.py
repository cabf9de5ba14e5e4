"""Is the GAN worth anything? Three arms, the same optimiser steps, several seeds.

    real        the training songs
    gan         and the clips that the generator drew, whatever the quality gate says of them
    crops       and as many of the training songs again, at other crops: what more steps through more items would give

Every arm takes the same number of optimiser steps, so arms with fewer items pass over them more often. Each training is
kept under RUN/ablation/teacher; a killed ablation continues.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.studies import ablation
from benchmarks.studies.ablation import AblationConfig, Facts
from benchmarks.studies.result_files import RESULTS, parse_command
from pocketmood.data.run_folder import PREDICTIONS_FILE, RunFolder
from pocketmood.errors import RunError
from pocketmood.metrics import Array
from pocketmood.processes import cores
from teacher.config import FineTuneConfig, TeacherConfig
from teacher.presets import PRESETS as TEACHERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from pocketmood.runs import Stage
    from teacher.gan.synthesis import SyntheticStore

NAME = "benchmarks.studies.teacher_ablation"
ARMS = ("real", "gan", "crops")
DESCRIPTION = """Measure what the GAN is worth to the teacher: with it, without it, and with re-cropped real songs.

Reads RUN/data and the synthetic clips in RUN/teacher, or draws them from a generator of yours; writes a table (.md and
.json). A training costs as much as that of `python -m teacher`, and there are three per seed."""


@dataclass(frozen=True)
class TeacherAblationConfig(AblationConfig):
    """The teacher's ablation: which teacher, where the table goes."""

    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    """Network and training; --teacher.run is the run folder, whose teacher stage must be finished unless a generator is
    given."""
    generator: Path | None = None
    """Folder of a trained generator (RUN/gan_training/recipe/epoch-0020) that draws --teacher.synthetic clips; the
    clips of RUN/teacher if left out."""
    out: Path = RESULTS / "teacher-ablation"
    """Where the table goes, without its endings .md and .json."""


PRESETS = {name: TeacherAblationConfig(teacher=config) for name, config in TEACHERS.items()}


@dataclass(frozen=True)
class TeacherData:
    """What the arms train on."""

    store: ClipStore
    """The clips of the run."""
    split: Split
    """Training, validation and test."""
    synthetic: SyntheticStore
    """The clips that the finished teacher's generator drew."""

    @classmethod
    def open(cls, run: RunFolder, generator: Path | None = None, count: int = 0) -> TeacherData:
        """Open a run with a finished teacher; RunError where it drew no synthetic clips.

        generator: draws `count` clips instead, and the run needs its data stage only.
        """
        from teacher.gan.synthesis import SyntheticStore, draw_clips

        if generator is not None:
            # Anew at each call: a second's work, and the same clips from the same weights.
            labels, folder = run.store.labels(run.split.train), ablation.stages_of(run, "synthetic")
            return cls(run.store, run.split, draw_clips(generator, labels, count, folder, seed=0))
        folder = run.synthetic
        if not folder.exists():
            raise RunError(
                f"{folder.parent}: no synthetic clips; train a teacher with --synthetic above 0, then ablate it"
            )
        return cls(run.store, run.split, SyntheticStore.open(folder))

    def of_arm(self, arm: str, seed: int) -> tuple[tuple[str, ...], SyntheticStore | None]:
        """Return the songs and the synthetic clips that an arm trains on."""
        ids = list(self.split.train)
        if arm == "crops":
            # Drawn with replacement by the seed alone, as many as there are synthetic clips.
            rng = np.random.default_rng([seed, len(ids)])
            ids += [ids[row] for row in rng.integers(len(ids), size=len(self.synthetic))]
        return tuple(ids), self.synthetic if arm == "gan" else None


def main(args: Sequence[str] | None = None) -> int:
    """Run the ablation from the command line."""
    return run(*parse_command(PRESETS, NAME, DESCRIPTION, args))


def run(config: TeacherAblationConfig, typed: str = f"python -m {NAME}") -> int:
    """Train every arm with every seed, compare them on the test songs, write and print the table."""
    from pocketmood.training.device import keep_freed_memory

    # A finished teacher is needed for its synthetic clips alone; the arms train teachers of their own.
    folder = RunFolder(config.teacher.run)
    inputs, data = (
        {"data": folder.fingerprint("data")},
        TeacherData.open(folder, config.generator, config.teacher.synthetic),
    )
    keep_freed_memory()

    def train(arm: str, seed: int) -> tuple[Array, Facts]:
        return train_arm(arm, replace(config.teacher, seed=seed), data, inputs)

    trained = ablation.train_arms(ARMS, config.seeds, train)

    songs, synthetic = list(data.split.test), len(data.synthetic)
    labels = data.store.labels(songs).astype(float)
    rows = ablation.compare(trained.emotion, labels, songs, trained.facts)
    # The fair question, with as many items on both sides: the GAN against more crops of real music.
    against = ablation.compare({arm: trained.emotion[arm] for arm in ("crops", "gan")}, labels, songs)[1]
    notes = [
        ablation.verdict(rows[1], f"The GAN ({synthetic} clips)"),
        ablation.verdict(rows[2], f"As many re-cropped songs ({synthetic})"),
        ablation.verdict(against, "The GAN, against as many re-cropped songs,"),
        f"{len(songs)} test songs; every arm took the same optimiser steps. The kept epoch is the best on validation, "
        "of which arms with fewer items have more to choose from.",
    ]
    print(ablation.write(config.out, rows, "What the GAN is worth to the teacher", typed, notes), flush=True)
    return 0


def train_arm(arm: str, config: TeacherConfig, data: TeacherData, inputs: dict[str, str]) -> tuple[Array, Facts]:
    """Train one arm unless that is done; return its predictions for the test songs [N, 2], items and steps.

    inputs: fingerprints of what the trainings read.
    """
    from pocketmood.predictions import read_predictions
    from pocketmood.runs import Stage

    ids, synthetic = data.of_arm(arm, config.seed)
    items = len(ids) + (0 if synthetic is None else len(synthetic))
    # As many steps as the largest arms take in the recipe's epochs.
    training, steps = _equal_steps(config, items, len(data.split.train) + len(data.synthetic))
    config = replace(config, training=training)

    settings = {"vit": config.vit, "training": training, "seed": config.seed, "arm": arm}
    # Of the arms without synthetic clips the generator is no part: another GAN leaves their trainings as they are. How
    # many clips it drew is in the training's length.
    inputs = inputs | {"synthetic": data.synthetic.record.generator if synthetic is not None else "none"}
    folder = ablation.stages_of(RunFolder(config.run), "teacher")
    stage = Stage(folder, f"{arm}-{config.seed}", settings, inputs)
    if not stage.up_to_date(quiet=True):
        with stage.work() as work:
            known = 0 if synthetic is None else len(synthetic)
            print(f"{arm}, seed {config.seed}: {len(ids)} songs, {known} synthetic", flush=True)
            split = replace(data.split, train=ids)
            _fill(stage, work, config, replace(data, split=split), synthetic)
    return read_predictions(stage.folder / PREDICTIONS_FILE).emotion, {"items": items, "steps": steps}


def _fill(stage: Stage, work: Path, config: TeacherConfig, data: TeacherData, synthetic: SyntheticStore | None) -> None:
    """Train a teacher into the work folder of a stage, with its predictions for the test songs."""
    from pocketmood.predictions import Predictions, write_predictions
    from pocketmood.training.device import default_device
    from teacher import finetune
    from teacher.vit import load_teacher

    start = time.perf_counter()
    finetune.train(data.store, data.split, config, work, synthetic)
    # From its folder, as every later stage gets it.
    network, _ = load_teacher(work)
    songs = data.split.test
    emotion, rater_sd = finetune.predict(network.to(default_device()), data.store, songs, config.vit)
    predictions = Predictions(songs, ("test",) * len(songs), emotion, data.store.labels(songs), rater_sd=rater_sd)
    write_predictions(work / PREDICTIONS_FILE, predictions)
    stage.record |= {"seconds": round(time.perf_counter() - start), "threads": cores()}


def _equal_steps(config: TeacherConfig, items: int, most: int) -> tuple[FineTuneConfig, int]:
    """Return the training with as many epochs over `items` as make the steps of the recipe over `most`, and these."""
    schedule = config.training.schedule
    steps = round(schedule.epochs * (most // schedule.batch_size))
    # Half a step less, rounded up by the loop: `steps` of them, whatever a float makes of the quotient.
    epochs = (steps - 0.5) / (items // schedule.batch_size)
    return replace(config.training, schedule=replace(schedule, epochs=epochs)), steps


if __name__ == "__main__":
    from pocketmood import command

    command.start(main)
