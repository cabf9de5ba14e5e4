"""Is the GAN worth anything? Three arms, the same optimiser steps, several seeds.

    real        the training songs
    gan         and the clips that the generator drew, whatever the quality gate says of them
    crops       and as many of the training songs again, at other crops: what more steps through more items would give

Every arm takes the same number of optimiser steps, so arms with fewer items pass over them more often. Each training is
kept under RUN/ablation/teacher; a killed ablation continues.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketmood.errors import RunError
from teacher.config import PRESETS as TEACHERS
from teacher.config import TeacherConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from teacher.gan.synthesis import SyntheticStore

ARMS = ("real", "gan", "crops")
DESCRIPTION = """Measure what the GAN is worth to the teacher: with it, without it, and with re-cropped real songs.

Reads RUN/data and the synthetic clips in RUN/teacher; writes a table (.md and .json). A training costs as much as that
of `python -m teacher`, and there are three per seed."""


@dataclass(frozen=True)
class AblateConfig:
    """The ablation: which teacher, how many seeds, where the table goes."""

    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    """Network and training; --teacher.run is the run folder, whose teacher stage must be finished."""
    seeds: int = 3
    """Trainings per arm."""
    out: Path = Path("benchmarks/studies/results/teacher-ablation")
    """Where the table goes, without its endings .md and .json."""

    def __post_init__(self) -> None:
        """Refuse an ablation without trainings."""
        if self.seeds < 1:
            raise RunError(f"ablate: --seeds {self.seeds} must be at least 1")


PRESETS = {name: AblateConfig(teacher=config) for name, config in TEACHERS.items()}


def main(args: Sequence[str] | None = None) -> int:
    """Run the ablation from the command line."""
    from pocketmood.command import parse

    args = sys.argv[2:] if args is None else args
    command = shlex.join(["python", "-m", "benchmarks.studies.teacher_ablation", *args])
    run(parse(PRESETS, "python -m benchmarks.studies.teacher_ablation", DESCRIPTION, args), command)
    return 0


def run(config: AblateConfig, command: str = "python -m benchmarks.studies.teacher_ablation") -> str:
    """Train every arm with every seed, compare them on the test songs, and write the table."""
    from benchmarks.studies import ablation
    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from pocketmood.runs import stage_fingerprint
    from pocketmood.training.device import keep_freed_memory
    from teacher.gan.synthesis import SyntheticStore

    teacher = config.teacher
    data, made = teacher.run / "data", teacher.run / "teacher"
    inputs = {"data": stage_fingerprint(data, f"make data RUN={teacher.run}")}
    stage_fingerprint(made, f"python -m teacher --run {teacher.run}")
    if not (made / "synthetic").exists():
        raise RunError(f"{made}: no synthetic clips; train a teacher with --synthetic above 0, then ablate it")
    store, split = ClipStore.open(data / "store"), Split.load(data / "split.json")
    synthetic = SyntheticStore.open(made / "synthetic")
    keep_freed_memory()
    answers: dict[str, list[Any]] = {arm: [] for arm in ARMS}
    facts: dict[str, dict[str, Any]] = {}
    for seed in range(config.seeds):
        for arm in ARMS:
            said, known = _train(arm, seed, replace(teacher, seed=seed), store, split, synthetic, inputs)
            answers[arm].append(said)
            facts[arm] = known
    stacked = {arm: np.stack(rows) for arm, rows in answers.items()}
    rows = ablation.compare(stacked, store.labels(split.test).astype(float), list(split.test), facts)
    notes = [
        ablation.verdict(rows[1], f"The GAN ({len(synthetic)} clips)"),
        ablation.verdict(rows[2], f"As many re-cropped songs ({len(synthetic)})"),
        _against(stacked, store.labels(split.test).astype(float), list(split.test)),
        f"{len(split.test)} test songs; every arm took the same optimiser steps. The kept epoch is the best on "
        "validation, of which arms with fewer items have more to choose from.",
    ]
    text = ablation.write(config.out, rows, "What the GAN is worth to the teacher", command, notes)
    print(text, flush=True)
    return text


def _train(
    arm: str, seed: int, config: TeacherConfig, store: ClipStore, split: Split, synthetic: SyntheticStore,
    inputs: dict[str, str],
) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:  # fmt: skip
    """Train one arm with one seed unless that is done; return its answers for the test songs [N, 2] and facts."""
    from pocketmood.predictions import Predictions, read_predictions, write_predictions
    from pocketmood.runs import Stage
    from pocketmood.training.device import default_device
    from teacher import finetune
    from teacher.vit import load_teacher

    ids = list(split.train)
    if arm == "crops":
        ids += [ids[row] for row in np.random.default_rng([seed, len(ids)]).integers(len(ids), size=len(synthetic))]
    clips = synthetic if arm == "gan" else None
    training, steps = _equal_steps(
        config, len(ids) + (0 if clips is None else len(clips)), len(split.train) + len(synthetic)
    )
    config = replace(config, training=training)
    settings = {"vit": config.vit, "training": training, "seed": seed, "arm": arm}
    stage = Stage(config.run / "ablation" / "teacher", f"{arm}-{seed}", settings,
                  inputs | {"synthetic": str(synthetic.record["generator"])})  # fmt: skip
    if not stage.up_to_date(quiet=True):
        with stage.work() as work:
            print(f"{arm}, seed {seed}: {len(ids)} songs, {0 if clips is None else len(clips)} synthetic", flush=True)
            start = time.perf_counter()
            finetune.main(store, replace(split, train=tuple(ids)), config, work, clips)
            network, _ = load_teacher(work)
            emotion, rater_sd = finetune.predict(network.to(default_device()), store, split.test, config.vit)
            songs, labels = split.test, store.labels(split.test)
            predictions = Predictions(songs, ("test",) * len(songs), emotion, labels, rater_sd=rater_sd)
            write_predictions(work / "predictions.csv", predictions)
            stage.record |= {"seconds": round(time.perf_counter() - start), "threads": os.cpu_count()}
    said = read_predictions(stage.folder / "predictions.csv")
    return said.emotion, {"items": len(ids) + (0 if clips is None else len(clips)), "steps": steps}


def _equal_steps(config: TeacherConfig, items: int, most: int) -> tuple[Any, int]:
    """Return the training with as many epochs over `items` as make the steps of the recipe over `most`, and these."""
    schedule = config.training.schedule
    steps = round(schedule.epochs * (most // schedule.batch_size))
    shorter = replace(schedule, epochs=(steps - 0.5) / (items // schedule.batch_size))
    return replace(config.training, schedule=shorter), steps


def _against(answers: dict[str, Any], label: Any, songs: list[str]) -> str:
    """Compare the GAN with the arm that has as many items of real music."""
    from benchmarks.studies import ablation

    rows = ablation.compare({"crops": answers["crops"], "gan": answers["gan"]}, label, songs)
    return ablation.verdict(rows[1], "The GAN, against as many re-cropped songs,")


if __name__ == "__main__":
    from pocketmood import command

    command.start(main)
