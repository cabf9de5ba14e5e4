"""What should the teacher train on, and what should it be asked, for the student's sake? Two networks, four arms.

    whole, crops     trained on whole clips, asked for the student's crops, which it never heard
    both, crops      trained on batches of whole clips and batches of the student's crops, asked for crops
    whole, whole     trained on whole clips; its prediction for the whole clip is the soft target of every crop
    both, whole      trained on both, asked for the whole clip

The networks are the hybrid of the demo preset, which takes any length as it is, and a small vision transformer that
squeezes or stretches whatever it hears to a square picture, as ViT-B/16 of the full preset does. Teachers of one
network and seed begin with the same weights and take the same optimiser steps; students differ in their soft targets
alone. Each training is kept under RUN/ablation/soft_target_crops; a killed study continues, and writes its result
after every seed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.studies import ablation
from benchmarks.studies.ablation import AblationConfig
from benchmarks.studies.result_files import RESULTS, parse_command
from benchmarks.studies.soft_target_crops_table import ARMS, NETWORKS, Choice, Found
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError
from pocketmood.metrics import Array
from student.config import PRESETS as STUDENTS
from student.config import StudentConfig
from teacher.config import FineTuneConfig, SoftTargetsConfig, TeacherConfig, VitConfig
from teacher.presets import PRESETS as TEACHERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from pocketmood.runs import Stage
    from teacher.soft_targets import SoftTargets

NAME = "benchmarks.studies.soft_target_crops"
DESCRIPTION = """Measure what the teacher should train on and what it should be asked: whole clips, crops, or both.

Reads RUN/data; writes a table (.md and .json) after every seed. A seed takes four teachers and eight students."""


@dataclass(frozen=True)
class PictureVit:
    """The small vision transformer, with random first weights."""

    side: int = 112
    """Width and height of the picture that every spectrogram is resized to."""
    patch: int = 16
    """Side of the square that one token stands for."""
    width: int = 128
    """Width of a token."""
    layers: int = 4
    """Transformer layers."""
    heads: int = 4
    """Attention heads."""

    def write(self, folder: Path, seed: int) -> Path:
        """Write first weights as `save_pretrained` makes them, unless they are there; return the folder."""
        import torch
        from transformers import ViTConfig, ViTModel

        if not (folder / "model.safetensors").exists():
            torch.manual_seed(seed)
            shape = ViTConfig(
                hidden_size=self.width, num_hidden_layers=self.layers, num_attention_heads=self.heads,
                intermediate_size=2 * self.width, image_size=self.side, patch_size=self.patch,
            )  # fmt: skip
            ViTModel(shape, add_pooling_layer=False).save_pretrained(folder)
        return folder


_DEMO = TEACHERS["demo"]
# Every fifth frame, as the student: at every frame the spectrograms would cost more than the network.
_PICTURE = replace(
    _DEMO,
    vit=VitConfig(size="base", stride=5, frames=256),
    training=replace(_DEMO.training, schedule=replace(_DEMO.training.schedule, epochs=10, learning_rate=7e-4)),
)
# Half as wide as the demo's, a third of its time: on two cores more seeds tell more than a better teacher.
_HYBRID = replace(
    _DEMO,
    vit=replace(_DEMO.vit, width=64),
    training=replace(_DEMO.training, schedule=replace(_DEMO.training.schedule, epochs=8)),
)
_STUDENT = replace(
    STUDENTS["demo"],
    draws=3,
    schedule=replace(STUDENTS["demo"].schedule, epochs=2, batch_size=16, ema_decay=0.97),
)


@dataclass(frozen=True)
class SoftTargetCropsConfig(AblationConfig):
    """Which teachers and student, how long, where the table goes."""

    picture: TeacherConfig = _PICTURE
    """The small vision transformer's training; --picture.vit.weights is made by the study."""
    tokens: PictureVit = field(default_factory=PictureVit)
    """Its sizes."""
    hybrid: TeacherConfig = _HYBRID
    """The hybrid and its training."""
    whole_batches: float = 0.5
    """Share of whole batches where the teacher trains on both."""
    student: StudentConfig = _STUDENT
    """Network and training; --student.run is the run folder, whose data stage must be finished."""
    out: Path = RESULTS / "soft-target-crops"
    """Where the table goes, without its endings .md and .json."""

    def __post_init__(self) -> None:
        """Refuse an ablation without trainings, or whose arms would be the same."""
        super().__post_init__()
        if not 0 < self.whole_batches < 1:
            raise ConfigError(f"--whole-batches {self.whole_batches} must lie between 0 and 1, or both arms are one")


def _tiny() -> SoftTargetCropsConfig:
    """Return the study in seconds: it measures nothing."""
    smoke = TEACHERS["smoke"]
    picture = replace(smoke, vit=_PICTURE.vit)
    return SoftTargetCropsConfig(1, picture, PictureVit(32, 16, 16, 1, 2), smoke, student=STUDENTS["smoke"])


PRESETS = {"demo": SoftTargetCropsConfig(), "smoke": _tiny()}


@dataclass(frozen=True)
class Study:
    """What all trainings of the study share."""

    config: SoftTargetCropsConfig
    """The trainings."""
    store: ClipStore
    """The clips of the run."""
    split: Split
    """Training, validation and test."""
    folder: Path
    """Where their stages lie."""
    inputs: dict[str, str]
    """Fingerprints of what they read."""

    def measure(self, network: str, choice: Choice, seed: int) -> dict[str, Array]:
        """Train teacher and student of an arm unless that is done; return predictions for test songs by measure."""
        teacher = self._teacher(network, choice, seed)
        train, test = self._tables(network, choice, seed, teacher)
        crops = test.emotion[:, 1:]  # [N, K, 2]
        return {
            "whole": test.emotion[:, 0],
            "song": crops.mean(1),
            "single": crops.reshape(-1, 2),
            "student": self._student(network, choice, seed, train),
        }

    def recipe(self, network: str, choice: Choice, seed: int) -> TeacherConfig:
        """Return the teacher of an arm."""
        base: TeacherConfig = getattr(self.config, network)
        if network == "picture":
            first = self.config.tokens.write(self.folder / f"first-weights-{seed}", seed)
            base = replace(base, vit=replace(base.vit, weights=first))
        return replace(base, seed=seed, training=trained_on(choice, base, self.config.whole_batches))

    def _teacher(self, network: str, choice: Choice, seed: int) -> Stage:
        """Train the teacher, which arms that differ in the question alone share."""
        from pocketmood.runs import Stage, file_hash
        from teacher import finetune

        recipe, inputs = self.recipe(network, choice, seed), dict(self.inputs)
        if recipe.vit.weights:
            inputs["weights"] = file_hash(recipe.vit.weights / "model.safetensors")
        # Without the folder of the weights, so that a run can be moved; their hash is among the inputs.
        settings = {"vit": replace(recipe.vit, weights=None), "training": recipe.training, "seed": seed}
        stage = Stage(self.folder, f"{network}-{choice.trained}-{seed}", settings, inputs)
        if not stage.up_to_date(quiet=True):
            with stage.work() as work:
                print(f"{stage.name}: teacher", flush=True)
                stage.record |= asdict(finetune.train(self.store, self.split, recipe, work))
        return stage

    def _tables(self, network: str, choice: Choice, seed: int, teacher: Stage) -> tuple[SoftTargets, SoftTargets]:
        """Make the soft targets of an arm for the training songs, and what it would give for the test songs."""
        from pocketmood.runs import Stage
        from pocketmood.training.device import default_device
        from teacher.soft_targets import SoftTargets, Source, build
        from teacher.vit import load_teacher

        base: TeacherConfig = getattr(self.config, network)
        asked = replace(base.soft_targets, ask=choice.ask)
        stage = Stage(self.folder, f"{teacher.name}-{choice.ask}", asked, {"teacher": teacher.fingerprint})
        parts = {"train": self.split.train, "test": self.split.test}
        if not stage.up_to_date(quiet=True):
            with stage.work() as work:
                network_, _ = load_teacher(teacher.folder)
                source = Source(network_.to(default_device()), base.vit, teacher.fingerprint)
                for part, ids in parts.items():
                    (work / part).mkdir(exist_ok=True)
                    build(source, self.store, ids, asked, work / part)
        return SoftTargets.open(stage.folder / "train"), SoftTargets.open(stage.folder / "test")

    def _student(self, network: str, choice: Choice, seed: int, table: SoftTargets) -> Array:
        """Distil a student from the soft targets of an arm; return its predictions for the test songs."""
        from pocketmood.runs import Stage
        from student.train_once import train_once
        from student.training_set import TrainingData

        recipe = replace(self.config.student, seed=seed)
        name = f"student-{network}-{choice.trained}-{choice.ask}-{seed}"
        inputs = self.inputs | {"teacher": table.teacher, "ask": choice.ask}
        return train_once(
            TrainingData(self.store, self.split, table), recipe, Stage(self.folder, name, recipe, inputs)
        ).emotion


def trained_on(choice: Choice, base: TeacherConfig, whole_batches: float) -> FineTuneConfig:
    """Return the training of a teacher on whole clips, or on both lengths."""
    if choice.trained == "whole":
        return replace(base.training, crop_frames=base.vit.frames)
    targets: SoftTargetsConfig = base.soft_targets
    # The student's crops, counted in the teacher's frames.
    crop = targets.crop_frames * targets.stride // base.vit.stride
    return replace(base.training, crop_frames=crop, whole_batches=whole_batches)


def main(args: Sequence[str] | None = None) -> int:
    """Run the study from the command line."""
    return run(*parse_command(PRESETS, NAME, DESCRIPTION, args))


def run(config: SoftTargetCropsConfig, typed: str = f"python -m {NAME}") -> int:
    """Train all arms of all seeds, and write the table anew after each seed."""
    from pocketmood.training.device import keep_freed_memory

    folder = RunFolder(config.student.run)
    inputs = {"data": folder.fingerprint("data")}
    study = Study(config, folder.store, folder.split, ablation.stages_of(folder, "soft_target_crops"), inputs)
    keep_freed_memory()

    songs = study.split.test
    found = Found({network: {choice: [] for choice in ARMS} for network in NETWORKS}, songs, study.store.labels(songs))
    # Seed by seed, and written after each: a study that is stopped early has compared all that it trained.
    for seed in range(config.seeds):
        for network, arms in found.predictions.items():
            for choice in ARMS:
                arms[choice].append(study.measure(network, choice, seed))
        trainings = (
            f"Teachers: {epochs(config.picture)} epochs (picture) and {epochs(config.hybrid)} (hybrid); student: "
        )
        trainings += f"{config.student.model}, {epochs(config.student)} epochs of {config.student.draws} draws."
        found.write(config.out, typed, trainings, config.seeds)
    return 0


def epochs(config: TeacherConfig | StudentConfig) -> str:
    """Write the epochs of a training."""
    schedule = config.training.schedule if isinstance(config, TeacherConfig) else config.schedule
    return f"{schedule.epochs:g}"


if __name__ == "__main__":
    from pocketmood import command

    command.start(main)
