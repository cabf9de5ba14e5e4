"""The last step of the teacher's stage: results into its folder, scores, pictures and the page."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from pocketmood.data import by_corpus
from pocketmood.data.run_folder import (
    CONFIG_FILE,
    FLOOR_FILE,
    PREDICTIONS_FILE,
    SYNTHETIC_STEP,
    VIT_STEP,
    WEIGHTS_FILE,
    RunFolder,
)
from pocketmood.data.split import PARTS
from pocketmood.predictions import read_predictions
from pocketmood.runs import link_or_copy, write_json
from pocketmood.training import curves
from teacher import attention_picture, evaluate, plots, report
from teacher.gan.record import QUALITY_FILE
from teacher.record import SavedTeacher

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pocketmood.data.clips import ClipStore


def publish(
    folder: Path, networks: Mapping[str, Path], heard: Mapping[str, str], store: ClipStore, judged: bool
) -> evaluate.Comparison:
    """Put the results of the steps in the stage's folder, score and draw them, and write the report.

    networks: the folder of each network's step, by name; heard: what its training's batches held. judged: whether a
    gate has judged synthetic clips.
    """
    # Copies, so that the next stage needs no knowledge of steps; the weights as a link, being 350 MB for ViT-B.
    vit = networks[VIT_STEP]
    for name in (PREDICTIONS_FILE, CONFIG_FILE):
        shutil.copyfile(vit / name, folder / name)
    link_or_copy(vit / WEIGHTS_FILE, folder / WEIGHTS_FILE)
    if judged:
        shutil.copyfile(folder / "quality" / QUALITY_FILE, folder / QUALITY_FILE)

    files = {"floor": FLOOR_FILE} | {name: f"{name}.csv" for name in networks if name != VIT_STEP}
    for name, file in files.items():
        shutil.copyfile(folder / name / PREDICTIONS_FILE, folder / file)
    models = {name: read_predictions(folder / file) for name, file in files.items()}
    models[evaluate.MAIN] = read_predictions(folder / PREDICTIONS_FILE)
    kind = RunFolder(folder.parent).data_record.label_kind
    comparison = evaluate.compare(models, kind=kind)
    write_json(folder / evaluate.METRICS_FILE, asdict(comparison))

    test, pictures = models[evaluate.MAIN].only("test"), folder / "plots"
    for name, step in networks.items():
        picture = "curves.png" if name == VIT_STEP else f"curves-{name}.png"
        curves.draw(step, pictures / picture, heard[name])
    songs = Counter(models[evaluate.MAIN].splits)
    parts = {"training" if part == "train" else part: songs[part] for part in PARTS}
    plots.sizes(parts, _synthetic(folder, vit, judged), pictures / "sizes.png")
    plots.teacher_pictures(test, pictures)
    attention_picture.draw_quadrants(vit, store, test, pictures / "attention.png")
    print(evaluate.table(comparison), flush=True)
    by_corpus.publish(folder, models, store)
    report.write(folder)
    return comparison


def _synthetic(folder: Path, vit: Path, judged: bool) -> dict[str, int]:
    """Count the synthetic clips that were drawn, and those that the teacher was trained on."""
    if not judged:
        return {}
    from teacher.gan.synthesis import SyntheticStore

    drawn = len(SyntheticStore.open(folder / SYNTHETIC_STEP).ids)
    return {"drawn": drawn, "accepted": SavedTeacher.load(vit).training.synthetic_clips}
