"""The last step of the teacher's stage: results into its folder, scores, pictures and the page."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

from pocketmood.data import by_corpus
from pocketmood.data.run_folder import (
    CONFIG_FILE,
    FLOOR_FILE,
    PREDICTIONS_FILE,
    SYNTHETIC_STEP,
    WEIGHTS_FILE,
    RunFolder,
)
from pocketmood.data.split import PARTS
from pocketmood.predictions import read_predictions
from pocketmood.runs import link_or_copy, write_json
from pocketmood.training import curves
from pocketmood.training.history import HISTORY
from teacher import attention_picture, evaluate, plots, report
from teacher.company.record import COMPANY_FILE, CompanyRecord, company_of, table
from teacher.gan.record import QUALITY_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pocketmood.data.clips import ClipStore


class Folders(NamedTuple):
    """Where the steps lie that the results come from."""

    networks: Mapping[str, Path]
    """Of each network, by name: the baseline and the members."""
    company: Path
    """Of the members' predictions, joined."""
    heard: Mapping[str, str]
    """What the batches of each network's training held."""


def publish(folder: Path, made: Folders, store: ClipStore, judged: bool) -> evaluate.Comparison:
    """Put the results of the steps in the stage's folder, score and draw them, and write the report.

    judged: whether a gate has judged synthetic clips.
    """
    # Copies, so that the next stage needs no knowledge of steps.
    for name in (PREDICTIONS_FILE, COMPANY_FILE):
        shutil.copyfile(made.company / name, folder / name)
    company, networks = company_of(folder), made.networks
    names = [member.name for member in company.members]
    # A single member is the teacher; each of several has a row beside it.
    single = names[0] if len(names) == 1 else None
    _lone_network(folder, networks[single] if single else None)
    if judged:
        shutil.copyfile(folder / "quality" / QUALITY_FILE, folder / QUALITY_FILE)

    files = {"floor": FLOOR_FILE} | {name: f"{name}.csv" for name in networks if name != single}
    for name, file in files.items():
        shutil.copyfile(folder / name / PREDICTIONS_FILE, folder / file)
    models = {name: read_predictions(folder / file) for name, file in files.items()}
    models[evaluate.MAIN] = read_predictions(folder / PREDICTIONS_FILE)
    record = RunFolder(folder.parent).data_record
    comparison = evaluate.compare(models, kind=record.label_kind)
    write_json(folder / evaluate.METRICS_FILE, asdict(comparison))

    test, pictures = models[evaluate.MAIN].only("test"), folder / "plots"
    for name, step in networks.items():
        if (step / HISTORY).is_file():  # a member without epochs has no curves
            picture = "curves.png" if name == single else f"curves-{name}.png"
            curves.draw(step, pictures / picture, made.heard[name], kind=record.label_kind)
    songs = Counter(models[evaluate.MAIN].splits)
    parts = {"training" if part == "train" else part: songs[part] for part in PARTS}
    plots.sizes(parts, _synthetic(folder, company, judged), pictures / "sizes.png")
    plots.teacher_pictures(test, pictures, record.label_kind)
    # Attention is that of one network: of the first member that has any.
    if looking := next((networks[name] for name in names if (networks[name] / WEIGHTS_FILE).is_file()), None):
        attention_picture.draw_quadrants(looking, store, test, pictures / "attention.png", record.label_kind)
    print(evaluate.table(comparison), flush=True)
    if not single:
        print(table(company), flush=True)
    by_corpus.publish(folder, models, store, record)
    report.write(folder)
    return comparison


def _lone_network(folder: Path, step: Path | None) -> None:
    """Put a single member's network into the stage's folder; those of a company stay in their steps."""
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        (folder / name).unlink(missing_ok=True)
        # As a link: 350 MB for ViT-B.
        if step and (step / WEIGHTS_FILE).is_file():
            link_or_copy(step / name, folder / name)


def _synthetic(folder: Path, company: CompanyRecord, judged: bool) -> dict[str, int]:
    """Count the synthetic clips that were drawn, and those that the teacher was trained on."""
    if not judged:
        return {}
    from teacher.gan.synthesis import SyntheticStore

    drawn = len(SyntheticStore.open(folder / SYNTHETIC_STEP).ids)
    return {"drawn": drawn, "accepted": max(member.training.synthetic_clips for member in company.members)}
