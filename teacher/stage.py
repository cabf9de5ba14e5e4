"""The teacher stage: its steps in order, each a stage of its own, so that a finished one is never done twice.

Under `torchrun` every process trains the networks; the main one alone does everything else while the others wait.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketmood.data.clips import ClipStore
from pocketmood.data.split import PARTS, Split, refuse_leaks
from pocketmood.predictions import Predictions, write_predictions
from pocketmood.runs import Stage, file_hash, link_or_copy, read_json, stage_fingerprint
from pocketmood.training import distributed
from pocketmood.training.device import default_device, keep_freed_memory
from pocketmood.training.distributed import is_main_process
from pocketmood.training.schedule import BEST_WEIGHTS
from teacher import evidence, finetune, floor, soft_targets
from teacher.gan.config import GATE
from teacher.vit import load_teacher

if TYPE_CHECKING:
    from teacher.config import TeacherConfig
    from teacher.gan.synthesis import SyntheticStore

RIDGE_FILE, PREDICTIONS_FILE = "ridge.safetensors", "predictions.csv"


def make(config: TeacherConfig) -> None:
    """Bring `run/teacher` up to date with the config and the run's data."""
    command = f"python -m teacher --run {config.run}"
    data = config.run / "data"
    inputs = {"data": stage_fingerprint(data, f"make data RUN={config.run}")}
    if config.vit.weights and (config.vit.weights / "model.safetensors").is_file():
        inputs["weights"] = file_hash(config.vit.weights / "model.safetensors")
    stage = Stage(config.run, "teacher", config, inputs, command, has_steps=True)
    # Two warnings per import come from torchao's enums, none of them ours to act on.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    distributed.join()
    if distributed.up_to_date(stage):
        return
    keep_freed_memory()
    store, split = ClipStore.open(data / "store"), Split.load(data / "split.json")
    refuse_leaks(split, store.clips)
    with distributed.work(stage) as folder:
        steps = _Steps(config, inputs, store, split, folder)
        stage.record |= steps.all()
        if is_main_process():
            stage.drop_steps(keep=steps.used)
    if is_main_process():
        print(f"teacher: done, in {config.run / 'teacher'}", flush=True)


@dataclass(frozen=True)
class _Steps:
    """The steps of one teacher, with what all of them share."""

    config: TeacherConfig
    inputs: dict[str, str]
    store: ClipStore
    split: Split
    folder: Path
    used: list[str] = field(default_factory=list)
    """Names of the steps that this config has."""

    def all(self) -> dict[str, Any]:
        """Do every step, put results in place, and return the stage's record."""
        self._alone(self._stage("floor", {"alphas": floor.ALPHAS, "stride": floor.FLOOR_STRIDE}), self._fit_floor)
        synthetic, record = self._synthetic()
        networks = {}
        if self.config.baseline:
            networks["ast"] = self._network(
                "ast", replace(self.config, vit=self.config.ast, training=self.config.ast_training)
            )
        vit = networks["vit"] = self._network("vit", self.config, synthetic)
        answered = self._stage("soft_targets", self.config.soft_targets, vit=vit.fingerprint)
        self._alone(answered, lambda work: self._answer(vit, work))
        if is_main_process():
            for name in (PREDICTIONS_FILE, "config.json"):
                shutil.copyfile(vit.folder / name, self.folder / name)
            link_or_copy(vit.folder / "model.safetensors", self.folder / "model.safetensors")
            record |= vit.record | evidence.collect(self.folder, list(networks))
        distributed.wait()
        return record

    def _stage(self, name: str, settings: Any, **inputs: str) -> Stage:
        self.used.append(name)
        return Stage(self.folder, name, settings, self.inputs | inputs)

    def _alone(self, step: Stage, do: Callable[[Path], Any]) -> None:
        """Let the main process make a step unless it is there; the others wait for it."""
        if not distributed.up_to_date(step, quiet=True):
            with distributed.work(step) as work:
                if is_main_process():
                    step.record |= do(work) or {}

    def _fit_floor(self, work: Path) -> dict[str, Any]:
        """Fit the ridge floor, and answer with it for all rated clips."""
        print("floor: ridge on band mean, deviation and frame difference", flush=True)
        ids, parts = _rated(self.split)
        described = floor.store_features(self.store, ids)
        labels = self.store.labels(ids)
        train, held = np.array(parts) == "train", np.array(parts) == "validation"
        deviations = self.store.deviations(ids)[train]
        ridge = floor.fit(described[train], labels[train], described[held], labels[held], deviations)
        rater_sd, emotion = np.broadcast_to(ridge.rater_sd, labels.shape), ridge.predict(described)
        predictions = Predictions(tuple(ids), tuple(parts), emotion, labels, rater_sd=rater_sd)
        write_predictions(work / PREDICTIONS_FILE, predictions)
        ridge.save(work / RIDGE_FILE)
        return {"alpha": ridge.alpha}

    def _synthetic(self) -> tuple[SyntheticStore | None, dict[str, Any]]:
        """Train the GAN, draw from it, and let the gate decide; returns None for clips that it refused."""
        if self.config.synthetic == 0:
            return None, {"synthetic": "no synthetic clips were asked for, so no GAN was trained"}
        from teacher.gan import audio, quality, synthesis, train

        gan, seed = self.config.gan, self.config.seed
        recipe = {name: value for name, value in asdict(gan).items() if name not in GATE}
        trained = self._stage("gan", {"gan": recipe, "seed": seed})
        if not distributed.up_to_date(trained, quiet=True):
            with distributed.work(trained) as work:
                if is_main_process():
                    print("gan: training on the real training songs", flush=True)
                trained.record |= train.main(self.store, self.split, gan, work, seed)
        count, labels = self.config.synthetic, self.store.labels(self.split.train)
        drawn = self._stage("synthetic", {"count": count, "seed": seed}, gan=trained.fingerprint)
        self._alone(drawn, lambda work: synthesis.main(trained.folder, labels, count, work, seed).record)
        synthetic = synthesis.SyntheticStore.open(drawn.folder)
        ridge = floor.Ridge.load(self.folder / "floor" / RIDGE_FILE)
        judged = self._stage("quality", {"gan": gan}, synthetic=drawn.fingerprint)
        self._alone(judged, lambda work: asdict(quality.main(self.store, self.split, synthetic, ridge, gan, work)))
        listening: dict[str, Any] = {}
        if seconds := self.config.listen_s:
            able = find_spec("librosa") is not None  # without it the page is left out, and made once it is there
            settings = {"seconds": seconds, "seed": seed, "librosa": able}
            heard = self._stage("listen", settings, gan=trained.fingerprint)
            self._alone(heard, lambda work: audio.main(trained.folder, self.store, self.split, work, seed, seconds))
            listening = heard.record
        verdict = read_json(judged.folder / "quality.json")
        record = {
            "synthetic": verdict["sentence"],
            "synthetic_accepted": verdict["accepted"],
            "synthetic_forced": verdict["forced"],
            "gan": trained.record,
            "listen": listening,
        }
        return (synthetic if verdict["accepted"] else None), record

    def _network(self, name: str, config: TeacherConfig, synthetic: SyntheticStore | None = None) -> Stage:
        """Fine-tune a network, and answer with it for all rated clips."""
        settings = {"vit": config.vit, "training": config.training, "seed": config.seed}
        step = self._stage(name, settings, synthetic=synthetic.record["generator"] if synthetic else "none")
        if not distributed.up_to_date(step, quiet=True):
            with distributed.work(step) as work:
                if is_main_process():
                    extra = f" and {len(synthetic.ids)} synthetic clips" if synthetic else ""
                    print(f"{name}: fine-tuning on {len(self.split.train)} songs{extra}", flush=True)
                step.record |= finetune.main(self.store, self.split, config, work, synthetic)
                if is_main_process():
                    self._predict(config, work)
        return step

    def _predict(self, config: TeacherConfig, work: Path) -> None:
        """Answer for all rated clips, and throw away what only an unfinished training needs: 1 GB for ViT-B."""
        teacher, _ = load_teacher(work)
        ids, parts = _rated(self.split)
        emotion, rater_sd = finetune.predict(teacher.to(default_device()), self.store, ids, config.vit)
        labels = self.store.labels(ids)
        predictions = Predictions(tuple(ids), tuple(parts), emotion, labels, rater_sd=rater_sd)
        write_predictions(work / PREDICTIONS_FILE, predictions)
        shutil.rmtree(work / "checkpoints")
        (work / BEST_WEIGHTS).unlink()

    def _answer(self, vit: Stage, work: Path) -> None:
        """Write the table for the student."""
        ids = soft_targets.answered_ids(self.store, self.split)
        print(f"answers: whole clip and {self.config.soft_targets.crops} crops of {len(ids)} clips", flush=True)
        teacher, _ = load_teacher(vit.folder)
        config = self.config
        soft_targets.main(
            teacher.to(default_device()), self.store, ids, config.vit, config.soft_targets, work, vit.fingerprint
        )


def _rated(split: Split) -> tuple[list[str], list[str]]:
    """List all rated clips and the part of each."""
    ids = [(id_, part) for part in PARTS for id_ in getattr(split, part)]
    return [id_ for id_, _ in ids], [part for _, part in ids]
