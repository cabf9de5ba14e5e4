"""Students of the distillation study: what each arm learns from, and their trainings, each a stage that is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pocketmood.label_kind import has_signs
from student.config import StudentConfig, with_epochs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.studies.ablation import Facts
    from benchmarks.studies.distillation import DistillationConfig
    from benchmarks.studies.distillation_parts import Part, Teachers
    from benchmarks.studies.songs_worth import Outcome
    from pocketmood.data.run_folder import RunFolder
    from student.training_set import TrainingData

LABELS, CLIPS, UNLABELLED, SHUFFLED = "labels", "clips", "unlabelled", "shuffled"
FEATURES = "features"


class Cell(NamedTuple):
    """An arm at a share of the ratings: a row of the result."""

    arm: str
    share: float

    @property
    def name(self) -> str:
        """As tables have it."""
        return f"{self.arm}, {100 * self.share:g} % of the ratings"


def prepared(
    cell: Cell, config: DistillationConfig, data: TrainingData, unrated: Sequence[str], seed: int
) -> tuple[StudentConfig, TrainingData]:
    """Return the recipe of a cell and what it learns from.

    data: of its fold and share, with soft targets for rated training songs and for music without ratings.
    """
    from benchmarks.studies.distillation_parts import shuffled
    from benchmarks.studies.student_ablation import only_clips, only_terms

    rated = data.split.train
    # Features in their own arm: those of several teachers lie in different spaces, unless their network never trains.
    # No rater_sd: expert tags have no deviations.
    terms: tuple[str, ...] = ("labels",) if cell.arm == LABELS else ("labels", "response")
    terms += ("features",) if cell.arm == FEATURES else ()
    recipe = replace(config.student, seed=seed, loss=only_terms(config.student.loss, terms))
    ids, table = list(rated), data.soft_targets
    if cell.arm == SHUFFLED:
        table = shuffled(only_clips(table, [*rated, *unrated]), len(rated), seed)
    if cell.arm in (UNLABELLED, SHUFFLED, FEATURES):
        # Else a batch would hold two or three rated crops where ratings are few, and their CCC would be noise.
        share = config.rated_share
        ids = ids * max(1, round(share / (1 - share) * len(unrated) / len(rated))) + [*unrated]
    return paced(recipe, len(ids), config.steps, config.epochs), data._replace(soft_targets=only_clips(table, ids))


def paced(recipe: StudentConfig, clips: int, steps: int, epochs: int) -> StudentConfig:
    """Return the recipe with draws and epochs over so many clips that make `steps` in about `epochs` epochs."""
    size = recipe.schedule.batch_size
    draws = max(1, round(steps * size / (epochs * clips)))
    per_epoch = max(clips * draws // size, 1)
    # Half a step less, rounded up by the loop: `steps` of them, whatever a float makes of the quotient.
    return with_epochs(replace(recipe, draws=draws), (steps - 0.5) / per_epoch)


@dataclass(frozen=True)
class Study:
    """All that the trainings share."""

    config: DistillationConfig
    """Of the study."""
    run: RunFolder
    """The run with the clips."""
    parts: Sequence[Part]
    """One per fold."""
    teachers: Mapping[float, Teachers]
    """Of the teachers, by their share of the ratings."""
    unrated: Sequence[str]
    """Clips that nobody rated."""

    def train_all(self, cells: Sequence[Cell]) -> tuple[Outcome, dict[str, Facts]]:
        """Train every cell in every fold with every seed, unless that is done; return predictions and facts."""
        import numpy as np

        from benchmarks.studies.songs_worth import Outcome

        folds, seeds = range(self.config.folds), range(self.config.seeds)
        emotion: dict[tuple[str, int, int], NDArray[np.float64]] = {}
        facts: dict[str, Facts] = {cell.name: {"songs": 0.0, "clips": 0, "steps": 0} for cell in cells}
        # Fold by fold: a study that is stopped early has all arms of the folds that it got through.
        for number in seeds:
            for fold in folds:
                for cell in cells:
                    predicted, known = self.train(cell, fold, number * self.config.folds + fold)
                    emotion[cell.name, number, fold] = predicted
                    songs = facts[cell.name]["songs"] + known["songs"] / (len(folds) * len(seeds))
                    facts[cell.name] = known | {"songs": songs}
        # Folds differ by a few songs, as whole artists do not divide evenly.
        for known in facts.values():
            known["songs"] = round(known["songs"])

        ids = [id_ for part in self.parts for id_ in part.songs]
        fold_of = np.concatenate([np.full(len(part.songs), number) for number, part in enumerate(self.parts)])
        stacked = {
            cell.name: np.stack(
                [np.concatenate([emotion[cell.name, number, fold] for fold in folds]) for number in seeds]
            )
            for cell in cells
        }
        of_signs = has_signs(self.run.data_record.label_kind)
        return Outcome(stacked, self.run.store.labels(ids).astype(np.float64), fold_of, of_signs), facts

    def train(self, cell: Cell, fold: int, seed: int) -> tuple[NDArray[np.float64], Facts]:
        """Train a cell in a fold, unless that is done; return its predictions for the fold's songs, and facts."""
        import numpy as np

        from benchmarks.studies import ablation
        from benchmarks.studies.distillation_parts import fold_table, student_split
        from pocketmood.runs import Stage, fingerprint
        from student.record import TrainingRecord
        from student.train_once import train_once
        from student.training_set import TrainingData

        # Ratings alone need no teacher, but the training set wants a table: that of all ratings has every song.
        share = cell.share if cell.share in self.teachers and cell.arm != LABELS else max(self.teachers)
        split = student_split(self.parts, fold, cell.share)
        table = fold_table(self.teachers[share], self.parts, fold, share, self.unrated)
        recipe, data = prepared(cell, self.config, TrainingData(self.run.store, split, table), self.unrated, seed)

        # The run's own place is no part of what a training is.
        settings = {"student": asdict(replace(recipe, run=Path())), "arm": cell.arm, "split": asdict(split)}
        inputs = {"data": self.run.fingerprint("data")}
        if cell.arm != LABELS:
            inputs |= {"teachers": self.teachers[share].fingerprint}
            settings |= {"clips": fingerprint(data.soft_targets.ids)}
        folder = ablation.stages_of(self.run, "distillation")
        stage = Stage(folder, f"{cell.arm}-{cell.share:g}-{seed}", settings, inputs)
        # In float64, as intervals are computed: a thousand sums of small differences follow.
        emotion = np.asarray(train_once(data, recipe, stage).emotion, np.float64)
        clips = len(set(data.soft_targets.ids))
        return emotion, {"songs": len(split.train), "clips": clips, "steps": TrainingRecord.of(stage).steps}
