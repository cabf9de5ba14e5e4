"""What the teacher stage can show for itself: scores with intervals, plots, and the page that holds them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pocketmood.predictions import read_predictions
from pocketmood.runs import write_json
from pocketmood.training.history import read_history
from teacher import evaluate, plots, report

PREDICTIONS_FILE = "predictions.csv"


def collect(folder: Path, networks: list[str]) -> dict[str, Any]:
    """Score floor, baseline and teacher from their steps in `folder`, draw, write the page; return the record.

    networks: names of the trained steps; "vit" is the teacher.
    """
    names = ["floor", *networks]
    for name in names:
        if name != "vit":  # the teacher's own is the stage's predictions.csv
            shutil.copyfile(folder / name / PREDICTIONS_FILE, folder / f"{name}.csv")
    if (folder / "quality").exists():
        shutil.copyfile(folder / "quality" / "quality.json", folder / "quality.json")
    models = {name: read_predictions(folder / f"{name}.csv") for name in names if name != "vit"}
    models["teacher"] = read_predictions(folder / PREDICTIONS_FILE)
    measured = evaluate.compare(models)
    write_json(folder / "metrics.json", measured)
    test = models["teacher"].only("test")
    drawn = folder / "plots"
    for name in networks:
        plots.curves(read_history(folder / name), drawn / ("curves.png" if name == "vit" else f"curves-{name}.png"))
    title = "teacher on test songs"
    for draw, name in (
        (plots.scatter, "scatter"),
        (plots.plane, "plane"),
        (plots.errors, "errors"),
        (plots.confusion, "confusion"),
    ):
        draw(test, title, drawn / f"{name}.png")
    print(evaluate.table(measured), flush=True)
    report.write(folder)
    return {"metrics": measured, "sentence": evaluate.sentence(measured)}
