"""The teacher stage: its steps in order, each a stage of its own, so that a finished one is never done twice.

    floor  [variants]  gan  synthetic  quality  listen  ast  vit  soft_targets

Under `torchrun` every process trains the networks; the main one alone does everything else while the others wait.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketmood.data.run_folder import (
    FLOOR_STEP,
    GAN_STEP,
    PREDICTIONS_FILE,
    RIDGE_FILE,
    SYNTHETIC_STEP,
    VARIANTS_STEP,
    VIT_STEP,
    RunFolder,
)
from pocketmood.data.split import refuse_leaks
from pocketmood.predictions import Predictions, write_predictions
from pocketmood.processes import is_main_process
from pocketmood.records import from_json
from pocketmood.runs import Stage
from pocketmood.training import distributed, doctor, weights
from pocketmood.training.device import default_device, keep_freed_memory
from pocketmood.training.schedule import BEST_WEIGHTS
from pocketmood.training.vary import make_variants, open_variants, require_librosa
from teacher import evaluate, finetune, floor, publish, soft_targets, training_set
from teacher.gan.config import GATE, refuse_too_few
from teacher.gan.record import GanRecord, ListeningRecord, Verdict
from teacher.needs import needs
from teacher.record import FineTuned, FloorRecord, Synthesis, TeacherRecord, warnings_of
from teacher.vit import load_teacher

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from numpy.typing import NDArray

    from teacher.config import TeacherConfig
    from teacher.gan.synthesis import SyntheticStore


def run(config: TeacherConfig) -> int:
    """Bring the teacher stage up to date with the config and the run's data; return the exit code 0."""
    folder = RunFolder(config.run)
    inputs = {"data": folder.fingerprint("data")}
    # Two warnings per import come from torchao's enums, none of them ours to act on.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    distributed.join()

    # Before the GAN's hours, not after them: by then the network may be gone, or never have been there.
    wanted = config.published()
    found = weights.resolve_once(wanted)
    finished = folder.folder("teacher")
    if distributed.up_to_date(_described(config, inputs | weights.identities(found, finished))):
        return 0
    refuse_too_few(len(folder.split.train), config.synthetic)
    if config.doctor:
        doctor.attend(needs(config), config.run)
    first = weights.fetch_once(wanted, found)  # a download that fails leaves random ones
    if config.doctor:
        doctor.refuse_lost(wanted, found, first)
    stage = _described(config, inputs | weights.identities(first))
    keep_freed_memory()
    # Read now, although only the report at the very end names it: a run of another version is refused before hours of
    # training, not after.
    _ = folder.data_record
    require_librosa(config.variants)
    # Again, although the data stage has checked: the split is a file that people can edit.
    refuse_leaks(folder.split, folder.store.clips)

    with distributed.work(stage) as work:
        steps = _Steps(config, inputs, folder, work, first)
        record = steps.all()
        if is_main_process() and record is not None:
            stage.record |= asdict(record)
            stage.drop_steps(keep=steps.used)
    if is_main_process():
        print(f"teacher: done, in {folder.folder('teacher')}", flush=True)
    return 0


def _described(config: TeacherConfig, inputs: dict[str, str]) -> Stage:
    """Describe the stage; of first weights its inputs say what they are, so that its config need not say where."""
    known = replace(config, vit=config.vit.without_place(), ast=config.ast.without_place(), doctor=False)
    return Stage(config.run, "teacher", known, inputs, has_steps=True)


@dataclass(frozen=True)
class _Steps:
    """The steps of one teacher, with what all of them share."""

    config: TeacherConfig
    """Settings of the stage."""
    inputs: dict[str, str]
    """Of every step."""
    run: RunFolder
    """The run that the teacher belongs to."""
    folder: Path
    """The work folder of the stage."""
    first: dict[str, weights.FirstWeights]
    """Step's name -> the weights that its network begins with; for pretrained networks only."""
    used: list[str] = field(default_factory=list)
    """Names of the steps that this config has."""

    def all(self) -> TeacherRecord | None:
        """Do every step and put results in place; return the stage's record, in the main process."""
        self._alone(self._stage(FLOOR_STEP, {"alphas": floor.ALPHAS, "stride": floor.FLOOR_STRIDE}), self._fit_floor)
        variants = self._variants()
        synthetic, synthesis = self._synthesis()

        networks = {}
        if self.config.baseline:
            # Without synthetic clips: the baseline shows what the songs alone teach a plain transformer.
            baseline = replace(self.config, vit=self.config.ast, training=self.config.ast_training)
            networks["ast"] = self._network("ast", baseline)
        vit = networks[VIT_STEP] = self._network(VIT_STEP, self.config, synthetic, variants)
        for name, asked in soft_targets.tables(self.run.store, self.run.split, synthetic).items():
            # The teacher's own fingerprint as input: other weights, other soft targets.
            table, config = self._stage(name, self.config.soft_targets, vit=vit.fingerprint), self.config.soft_targets
            self._alone(table, partial(soft_targets.make, vit.folder, vit.fingerprint, asked, config))

        record = None
        if is_main_process():
            folders = {name: step.folder for name, step in networks.items()}
            # By the steps of this config: a work folder may hold the GAN of an earlier one.
            heard = {"ast": training_set.heard(self.config.ast, self.config.ast_training)}
            heard[VIT_STEP] = training_set.heard(self.config.vit, self.config.training)
            comparison = publish.publish(self.folder, folders, heard, self.run.store, judged="quality" in self.used)
            trained = from_json(FineTuned, vit.record, str(vit.folder))
            sentence = evaluate.sentence(comparison)
            trained = replace(trained, warnings=warnings_of(trained, Verdict.load(self.folder), comparison))
            record = TeacherRecord(**vars(trained), **vars(synthesis), metrics=comparison, sentence=sentence)
        distributed.wait()
        return record

    def _stage(self, name: str, settings: Any, **inputs: str) -> Stage:
        """Describe a step; its inputs are those of the stage and the fingerprints of steps before it."""
        self.used.append(name)
        return Stage(self.folder, name, settings, self.inputs | inputs)

    def _alone(self, step: Stage, do: Callable[[Path], DataclassInstance | None]) -> None:
        """Let the main process make a step unless it is there; the others wait for it."""
        if not distributed.up_to_date(step, quiet=True):
            with distributed.work(step) as work:
                if is_main_process() and (record := do(work)) is not None:
                    step.record |= asdict(record)
            if not is_main_process():
                step.up_to_date(quiet=True)  # reads what the main process recorded

    def _fit_floor(self, work: Path) -> FloorRecord:
        """Fit the ridge floor, and predict with it for all rated clips."""
        print("floor: ridge on band mean, deviation and frame difference", flush=True)
        part_of = self.run.split.part_of()
        ids, parts = list(part_of), np.array(list(part_of.values()))
        described, labels = floor.store_features(self.run.store, ids), self.run.store.labels(ids)

        train, held = parts == "train", parts == "validation"
        deviations = self.run.store.deviations(ids)[train]
        ridge = floor.fit(described[train], labels[train], described[held], labels[held], deviations)
        self._write_predictions(work, ridge.predict(described), np.broadcast_to(ridge.rater_sd, labels.shape))
        ridge.save(work / RIDGE_FILE)
        return FloorRecord(ridge.alpha)

    def _synthesis(self) -> tuple[SyntheticStore | None, Synthesis]:
        """Train the GAN, draw from it, and let the gate decide; returns None for clips that it refused."""
        if self.config.synthetic == 0:
            return None, Synthesis()
        from teacher.gan import quality, synthesis, train

        gan, seed, count = self.config.gan, self.config.seed, self.config.synthetic
        store, split = self.run.store, self.run.split
        # Without the gate's fields: another threshold must judge the same clips, not train another generator.
        recipe = {name: value for name, value in asdict(gan).items() if name not in GATE}
        trained = self._stage(GAN_STEP, {"gan": recipe, "seed": seed})
        if not distributed.up_to_date(trained, quiet=True):
            with distributed.work(trained) as work:
                if is_main_process():
                    print("gan: training on the real training songs", flush=True)
                trained.record |= asdict(train.train(store, split, gan, work, seed))

        labels = store.labels(split.train)
        clips_step = self._stage(SYNTHETIC_STEP, {"count": count, "seed": seed}, gan=trained.fingerprint)
        self._alone(clips_step, lambda work: synthesis.draw_clips(trained.folder, labels, count, work, seed).record)
        clips = synthesis.SyntheticStore.open(clips_step.folder)

        # The ridge reads the clips' emotions back: fitted on real songs only, it has never seen the generator.
        ridge = floor.Ridge.load(self.folder / FLOOR_STEP / RIDGE_FILE)
        gate = self._stage("quality", {"gan": gan}, synthetic=clips_step.fingerprint)
        self._alone(gate, lambda work: quality.measure(store, split, clips, ridge, gan, work))
        listening = self._listening_page(trained)
        verdict = from_json(Verdict, gate.record, str(gate.folder))
        facts = from_json(GanRecord, trained.record, str(trained.folder))
        record = Synthesis(verdict.sentence, verdict.accepted, verdict.forced, facts, listening)
        return (clips if verdict.accepted else None), record

    def _variants(self) -> Stage | None:
        """Make the variants of the training songs; return their step, None where none were asked for."""
        config, seed = self.config.variants, self.config.seed
        if not config.count:
            return None
        step, songs = self._stage(VARIANTS_STEP, {"variants": config, "seed": seed}), self.run.split.train

        def make(work: Path) -> None:
            print(f"variants: {config.count} of each of {len(songs)} training songs", flush=True)
            make_variants(self.run.store, songs, config, seed, work)

        self._alone(step, make)
        return step

    def _listening_page(self, gan: Stage) -> ListeningRecord | None:
        """Write the page to listen to the generator; return its record, None where none was asked for."""
        if not self.config.listen_s:
            return None
        from teacher.gan import audio

        seed, seconds = self.config.seed, self.config.listen_s
        # Without librosa the page is left out; as a setting it lets the page be made once librosa is there.
        settings = {"seconds": seconds, "seed": seed, "librosa": find_spec("librosa") is not None}
        step = self._stage("listen", settings, gan=gan.fingerprint)
        store, split = self.run.store, self.run.split
        self._alone(step, lambda work: audio.write_page(gan.folder, store, split, work, seed, seconds))
        return from_json(ListeningRecord, step.record, str(step.folder))

    def _network(
        self, name: str, config: TeacherConfig, synthetic: SyntheticStore | None = None, varied: Stage | None = None
    ) -> Stage:
        """Fine-tune a network, and predict with it for all rated clips."""
        settings = {"vit": config.vit.without_place(), "training": config.training, "seed": config.seed}
        inputs = {"synthetic": synthetic.record.generator if synthetic else "none"}
        # No word of variants where there are none: a step without them is the step that it was before they existed.
        inputs |= {"variants": varied.fingerprint} if varied else {}
        # An input of this step alone: other weights must not train another GAN.
        inputs |= {"weights": self.first[name].identity} if name in self.first else {}
        step = self._stage(name, settings, **inputs)
        if not distributed.up_to_date(step, quiet=True):
            with distributed.work(step) as work:
                if is_main_process():
                    extra = f" and {len(synthetic.ids)} synthetic clips" if synthetic else ""
                    print(f"{name}: fine-tuning on {len(self.run.split.train)} songs{extra}", flush=True)
                variants = open_variants(varied.folder, config.variants) if varied else None
                trained = finetune.train(self.run.store, self.run.split, config, work, synthetic, variants)
                step.record |= asdict(trained)
                if is_main_process():
                    self._predict(config, work)
        return step

    def _predict(self, config: TeacherConfig, work: Path) -> None:
        """Predict for all rated clips, and throw away what only an unfinished training needs: 1 GB for ViT-B."""
        # Read back rather than passed on: what predicts here is what lies in the folder.
        teacher, _ = load_teacher(work)
        ids = list(self.run.split.part_of())
        emotion, rater_sd = finetune.predict(teacher.to(default_device()), self.run.store, ids, config.vit)
        self._write_predictions(work, emotion, rater_sd)
        shutil.rmtree(work / "checkpoints")
        (work / BEST_WEIGHTS).unlink()

    def _write_predictions(self, work: Path, emotion: NDArray[Any], rater_sd: NDArray[Any]) -> None:
        """Write predictions for all rated clips, in the split's order."""
        part_of = self.run.split.part_of()
        labels = self.run.store.labels(list(part_of))
        predictions = Predictions(tuple(part_of), tuple(part_of.values()), emotion, labels, rater_sd=rater_sd)
        write_predictions(work / PREDICTIONS_FILE, predictions)
