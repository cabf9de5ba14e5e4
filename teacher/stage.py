"""The teacher stage: its steps in order, each a stage of its own, so that a finished one is never done twice.

    floor  [variants]  gan  synthetic  quality  listen  ast  vit [more members]  company  soft_targets

Under `torchrun` every process trains the networks; the main one alone does everything else while the others wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketmood.data.run_folder import (
    FLOOR_STEP,
    GAN_STEP,
    RIDGE_FILE,
    SYNTHETIC_STEP,
    SYNTHETIC_TARGETS,
    VARIANTS_STEP,
    RunFolder,
)
from pocketmood.data.split import refuse_leaks
from pocketmood.processes import is_main_process
from pocketmood.records import from_json
from pocketmood.runs import Stage
from pocketmood.training import distributed, doctor, weights
from pocketmood.training.device import keep_freed_memory
from pocketmood.training.vary import make_variants, open_variants, require_librosa
from teacher import evaluate, floor, publish, soft_targets
from teacher.company import record as company_record
from teacher.company import steps
from teacher.company.config import MemberName, published, trained, weights_of
from teacher.company.members import Task, kind_of, seeded
from teacher.company.record import CompanyRecord
from teacher.company.train import train, write_rated
from teacher.gan.config import GATE, refuse_too_few
from teacher.gan.record import GanRecord, ListeningRecord, Verdict
from teacher.needs import needs
from teacher.record import FineTuned, FloorRecord, Synthesis, TeacherRecord, warnings_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

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
    wanted = published(config)
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
    known = replace(known, musicnn=config.musicnn.without_place())
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

        networks = {name: self._member(name, synthetic, variants) for name in trained(self.config)}
        members = {name: networks[name] for name in self.config.company.members}
        company = self._company(members)
        for name, asked in soft_targets.tables(self.run.store, self.run.split, synthetic).items():
            self._soft_targets(name, asked, members, company)

        record = None
        if is_main_process():
            # By the steps of this config: a work folder may hold the GAN of an earlier one.
            heard = {name: kind_of(name).heard(self.config) for name in networks}
            folders = publish.Folders({name: step.folder for name, step in networks.items()}, company.folder, heard)
            comparison = publish.publish(self.folder, folders, self.run.store, judged="quality" in self.used)
            together = company_record.together(self._joined(company))
            sentence = evaluate.sentence(comparison)
            together = replace(together, warnings=warnings_of(together, Verdict.load(self.folder), comparison))
            record = TeacherRecord(**vars(together), **vars(synthesis), metrics=comparison, sentence=sentence)
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
        rater_sd = np.broadcast_to(ridge.rater_sd, labels.shape)
        write_rated(work, self.run.store, self.run.split, ridge.predict(described), rater_sd)
        ridge.save(work / RIDGE_FILE)
        return FloorRecord(ridge.alpha)

    def _synthesis(self) -> tuple[SyntheticStore | None, Synthesis]:
        """Train the GAN, draw from it, and let the gate decide; returns None for clips that it refused."""
        if self.config.synthetic == 0:
            return None, Synthesis()
        from teacher.gan import quality, synthesis
        from teacher.gan import train as adversarial

        gan, seed, count = self.config.gan, self.config.seed, self.config.synthetic
        store, split = self.run.store, self.run.split
        # Without the gate's fields: another threshold must judge the same clips, not train another generator.
        recipe = {name: value for name, value in asdict(gan).items() if name not in GATE}
        trained = self._stage(GAN_STEP, {"gan": recipe, "seed": seed})
        if not distributed.up_to_date(trained, quiet=True):
            with distributed.work(trained) as work:
                if is_main_process():
                    print("gan: training on the real training songs", flush=True)
                trained.record |= asdict(adversarial.train(store, split, gan, work, seed))

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

    def _member(self, name: str, synthetic: SyntheticStore | None, varied: Stage | None) -> Stage:
        """Train a member of the company, or the baseline, and predict with it for all rated clips."""
        kind, config = kind_of(name), seeded(self.config, name)
        synthetic, varied = (synthetic, varied) if kind.learns_synthetic else (None, None)
        inputs = {}
        if kind.hears_synthetic:
            inputs["synthetic"] = synthetic.record.generator if synthetic else "none"
        # No word of variants where there are none: a step without them is the step that it was before they existed.
        inputs |= {"variants": varied.fingerprint} if varied else {}
        # An input of this step alone: other weights must not train another GAN.
        identity = weights_of(MemberName.parse(name).kind, self.first)
        inputs |= {"weights": identity} if identity else {}
        step = self._stage(name, kind.settings(config), **inputs)
        if not distributed.up_to_date(step, quiet=True):
            with distributed.work(step) as work:
                variants = open_variants(varied.folder, config.variants) if varied else None
                task = Task(self.run.store, self.run.split, config, synthetic, variants)
                step.record |= asdict(train(name, task, work))
        return step

    def _company(self, members: Mapping[str, Stage]) -> Stage:
        """Join the members' predictions for all rated clips."""
        # Of the settings only how they are joined, and in which order: theirs are in their steps' fingerprints.
        inputs = {name: step.fingerprint for name, step in members.items()}
        step = self._stage("company", {"company": self.config.company}, **inputs)

        def join(work: Path) -> CompanyRecord:
            learnt = {name: from_json(FineTuned, each.record, str(each.folder)) for name, each in members.items()}
            folders = {name: each.folder for name, each in members.items()}
            return steps.join_predictions(folders, learnt, self.config, work)

        self._alone(step, join)
        return step

    def _soft_targets(self, name: str, asked: soft_targets.Asked, members: Mapping[str, Stage], company: Stage) -> None:
        """Make a table: of a single member as it is, of a company joined from one of each member."""
        deaf = [member for member in members if not kind_of(member).hears_synthetic]
        if name == SYNTHETIC_TARGETS and deaf:
            if is_main_process():
                print(f"{name}: none, for {', '.join(deaf)} cannot hear spectrograms without a sound", flush=True)
            return

        parts: dict[str, Stage] = {}
        for member, step in members.items():
            place = name if len(members) == 1 else f"{name}-{member}"
            # The member's own fingerprint as input: other weights, other soft targets.
            fingerprint = {MemberName.parse(member).kind: step.fingerprint}
            table, config = self._stage(place, self.config.soft_targets, **fingerprint), self.config.soft_targets
            self._alone(table, partial(soft_targets.make, member, step.folder, step.fingerprint, asked, config))
            parts[member] = table
        if len(members) > 1:
            inputs = {member: table.fingerprint for member, table in parts.items()}
            joined = self._stage(name, {}, company=company.fingerprint, **inputs)
            folders = {member: table.folder for member, table in parts.items()}
            self._alone(
                joined,
                lambda work: steps.join_soft_targets(folders, self._joined(company), company.fingerprint, work),
            )

    def _joined(self, company: Stage) -> CompanyRecord:
        """Return what the company's step found."""
        return from_json(CompanyRecord, company.record, str(company.folder))
