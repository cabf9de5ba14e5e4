"""The teacher stage: its steps in order, each a stage of its own, so that a finished one is never done twice."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketmood.clips import ClipStore
from pocketmood.predictions import Predictions, read_predictions, write_predictions
from pocketmood.runs import Stage, file_hash, read_json, stage_fingerprint, write_json
from pocketmood.split import PARTS, Split, refuse_leaks
from pocketmood.training import BEST_WEIGHTS, HISTORY
from teacher import answers, finetune, floor, plots, scores
from teacher.cpu import device, keep_freed_memory
from teacher.vit import load_teacher

if TYPE_CHECKING:
    from teacher.config import TeacherConfig
    from teacher.synthesise import SyntheticStore

RIDGE_FILE, FLOOR_FILE, PREDICTIONS_FILE = "ridge.safetensors", "floor.csv", "predictions.csv"


def make(config: TeacherConfig) -> None:
    """Bring `run/teacher` up to date with the config and the run's data."""
    command = f"python -m teacher --run {config.run}"
    data = config.run / "data"
    inputs = {"data": stage_fingerprint(data, f"make data RUN={config.run}")}
    if config.vit.size == "base" and config.vit.weights and (config.vit.weights / "model.safetensors").is_file():
        inputs["weights"] = file_hash(config.vit.weights / "model.safetensors")
    stage = Stage(config.run, "teacher", config, inputs, command)
    if stage.up_to_date():
        return
    # Two warnings per import come from torchao's enums, none of them ours to act on.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    keep_freed_memory()
    store, split = ClipStore.open(data / "store"), Split.load(data / "split.json")
    refuse_leaks(split, store.clips)
    with stage.work() as folder:
        stage.record |= _Steps(config, inputs, store, split, folder).all()
    print(f"teacher: done, in {config.run / 'teacher'}", flush=True)


@dataclass(frozen=True)
class _Steps:
    """The steps of one teacher, with what all of them share."""

    config: TeacherConfig
    inputs: dict[str, str]
    store: ClipStore
    split: Split
    folder: Path

    def all(self) -> dict[str, Any]:
        """Do every step, put results in place, and return the stage's record."""
        ridge = self._floor()
        synthetic, record = self._synthetic(ridge)
        vit = self._vit(synthetic)
        self._answers(vit)
        for step, name in (("floor", FLOOR_FILE), ("vit", PREDICTIONS_FILE), ("vit", "config.json")):
            shutil.copyfile(self.folder / step / name, self.folder / name)
        _link(self.folder / "vit" / "model.safetensors", self.folder / "model.safetensors")
        measured = self._measure()
        print(scores.table(measured), flush=True)
        return record | vit.record | {"metrics": measured, "sentence": scores.sentence(measured)}

    def _floor(self) -> floor.Ridge:
        """Fit the ridge floor, and answer with it for all rated clips."""
        step = Stage(self.folder, "floor", {"alphas": floor.ALPHAS, "stride": floor.FLOOR_STRIDE}, self.inputs)
        if not step.up_to_date(quiet=True):
            with step.work() as work:
                print("floor: ridge on band mean, deviation and frame difference", flush=True)
                ids, parts = _rated(self.split)
                described = floor.store_features(self.store, ids)
                labels = self.store.labels(ids)
                train, held = np.array(parts) == "train", np.array(parts) == "validation"
                deviations = self.store.deviations(ids)[train]
                ridge = floor.fit(described[train], labels[train], described[held], labels[held], deviations)
                spread = np.broadcast_to(ridge.spread, labels.shape)
                write_predictions(work / FLOOR_FILE, ids, parts, ridge.predict(described), spread, labels)
                ridge.save(work / RIDGE_FILE)
                step.record["alpha"] = ridge.alpha
        return floor.Ridge.load(step.folder / RIDGE_FILE)

    def _synthetic(self, ridge: floor.Ridge) -> tuple[SyntheticStore | None, dict[str, Any]]:
        """Train the GAN, draw from it, and let the gate decide; returns None for clips that it refused."""
        if self.config.synthetic == 0:
            return None, {"synthetic": "no synthetic clips were asked for, so no GAN was trained"}
        from teacher import quality, synthesise, train_gan

        gan, seed = self.config.gan, self.config.seed
        settings = {"gan": gan, "seed": seed}
        trained = Stage(self.folder, "gan", settings, self.inputs)
        if not trained.up_to_date(quiet=True):
            with trained.work() as work:
                print("gan: training on the real training songs", flush=True)
                trained.record |= train_gan.main(self.store, self.split, gan, work, seed)
        count = self.config.synthetic
        drawn = Stage(self.folder, "synthetic", {"count": count, "seed": seed}, {"gan": trained.fingerprint})
        if not drawn.up_to_date(quiet=True):
            with drawn.work() as work:
                labels = self.store.labels(self.split.train)
                synthesise.main(trained.folder, labels, count, work, seed)
        synthetic = synthesise.SyntheticStore.open(drawn.folder)
        judged = Stage(self.folder, "quality", settings, self.inputs | {"synthetic": drawn.fingerprint})
        if not judged.up_to_date(quiet=True):
            with judged.work() as work:
                quality.main(self.store, self.split, synthetic, ridge, gan, work)
        shutil.copyfile(judged.folder / "quality.json", self.folder / "quality.json")
        verdict = read_json(self.folder / "quality.json")
        record = {
            "synthetic": verdict["sentence"],
            "synthetic_accepted": verdict["accepted"],
            "synthetic_forced": verdict["forced"],
            "gan": trained.record,
        }
        return (synthetic if verdict["accepted"] else None), record

    def _vit(self, synthetic: SyntheticStore | None) -> Stage:
        """Fine-tune, and answer for all rated clips."""
        settings = {"vit": self.config.vit, "training": self.config.training, "seed": self.config.seed}
        inputs = self.inputs | {"synthetic": synthetic.record["generator"] if synthetic else "none"}
        step = Stage(self.folder, "vit", settings, inputs)
        if not step.up_to_date(quiet=True):
            with step.work() as work:
                extra = f" and {len(synthetic.ids)} synthetic clips" if synthetic else ""
                print(f"vit: fine-tuning on {len(self.split.train)} songs{extra}", flush=True)
                step.record |= finetune.main(self.store, self.split, self.config, work, synthetic)
                teacher, _ = load_teacher(work)
                ids, parts = _rated(self.split)
                emotion, spread = finetune.predict(teacher.to(device()), self.store, ids, self.config.vit)
                write_predictions(work / PREDICTIONS_FILE, ids, parts, emotion, spread, self.store.labels(ids))
                # What only an unfinished training needs: 1 GB for ViT-B.
                shutil.rmtree(work / "checkpoints")
                (work / BEST_WEIGHTS).unlink()
        return step

    def _answers(self, vit: Stage) -> None:
        """Write the table for the student."""
        step = Stage(self.folder, "answers", self.config.answers, {"vit": vit.fingerprint})
        if step.up_to_date(quiet=True):
            return
        with step.work() as work:
            ids = answers.answered_ids(self.store, self.split)
            crops = self.config.answers.crops
            print(f"answers: whole clip and {crops} crops of {len(ids)} clips", flush=True)
            teacher, _ = load_teacher(vit.folder)
            config = self.config
            answers.main(teacher.to(device()), self.store, ids, config.vit, config.answers, work, vit.fingerprint)

    def _measure(self) -> dict[str, Any]:
        """Score teacher and floor, and draw what can be seen."""
        teacher = read_predictions(self.folder / PREDICTIONS_FILE)
        measured = scores.compare(teacher, read_predictions(self.folder / FLOOR_FILE))
        write_json(self.folder / "metrics.json", measured)
        _draw(self.folder, teacher.only("test"))
        return measured


def _draw(folder: Path, test: Predictions) -> None:
    """Draw the pictures of the stage."""
    plots.curves(finetune.history(folder / "vit" / HISTORY), folder / "plots" / "curves.png")
    plots.scatter(test, "teacher on test songs", folder / "plots" / "scatter.png")
    plots.plane(test, "teacher on test songs", folder / "plots" / "plane.png")


def _rated(split: Split) -> tuple[list[str], list[str]]:
    """List all rated clips and the part of each."""
    ids = [(id_, part) for part in PARTS for id_ in getattr(split, part)]
    return [id_ for id_, _ in ids], [part for _, part in ids]


def _link(source: Path, target: Path) -> None:
    """Put a file in a second place without copying its bytes, where the file system can."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
