"""A member's step: trained into a folder, then asked for every rated clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pocketmood.data.run_folder import PREDICTIONS_FILE
from pocketmood.predictions import Predictions, write_predictions
from pocketmood.processes import is_main_process
from teacher.company.members import kind_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from teacher.company.members import Task
    from teacher.record import FineTuned


def train(name: str, task: Task, work: Path) -> FineTuned:
    """Train a member into the work folder of its step, with its predictions for all rated clips; in every process."""
    kind = kind_of(name)
    if is_main_process():
        extra = f" and {len(task.synthetic.ids)} synthetic clips" if task.synthetic else ""
        print(f"{name}: training on {len(task.split.train)} songs{extra}", flush=True)
    trained = kind.train(task, work)
    if is_main_process():
        # Read back rather than passed on: what predicts here is what lies in the folder.
        emotion, rater_sd = kind.open(work).whole(task.store, list(task.split.part_of()))
        write_rated(work, task.store, task.split, emotion, rater_sd)
        kind.tidy(work)
    return trained


def write_rated(work: Path, store: ClipStore, split: Split, emotion: NDArray[Any], rater_sd: NDArray[Any]) -> None:
    """Write predictions for all rated clips, in the split's order."""
    part_of = split.part_of()
    labels = store.labels(list(part_of))
    predictions = Predictions(tuple(part_of), tuple(part_of.values()), emotion, labels, rater_sd=rater_sd)
    write_predictions(work / PREDICTIONS_FILE, predictions)
