"""A run folder: where each stage lies, and what finished stages left in it for the next one.

    RUN/data  RUN/teacher  RUN/student  RUN/bundle  RUN/benchmarks

Beside the stages: RUN/bundle.steps (what export has finished of a bundle that lacks a program), RUN/alternatives
(programs that the benchmarks compare with), RUN/device (rows taken on phones), RUN/arm64 (the check under qemu), and
one folder per study that trains. This is the only place that knows the names of
stages and of what others read in their folders. Every stage reads the others' results through it.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from pocketmood import presets, standing_warnings
from pocketmood.bundle import Bundle
from pocketmood.data.clips import ClipStore
from pocketmood.data.record import DataRecord
from pocketmood.data.saved_student import SavedStudent
from pocketmood.data.split import Split
from pocketmood.errors import RunError
from pocketmood.runs import STAGE_FILE, STAGES, StageFile, read_json, read_stage
from pocketmood.work_folder import refuse_files

MAKE_TARGETS = dict(zip(STAGES, ("data", "teacher", "student", "export", "benchmarks"), strict=True))
"""The target of the Makefile that makes each stage."""
STORE, SPLIT_FILE, REJECTS_FILE, TRUTH_FILE = "store", "split.json", "rejects.csv", "truth.csv"
SOFT_TARGETS, SYNTHETIC_TARGETS = "soft_targets", "synthetic_soft_targets"
PREDICTIONS_FILE, FLOOR_FILE = "predictions.csv", "floor.csv"
RESULTS_FILE = "results.json"
WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
FLOOR_STEP, GAN_STEP, SYNTHETIC_STEP, VIT_STEP, VARIANTS_STEP = "floor", "gan", "synthetic", "vit", "variants"
"""Steps of the teacher's stage, each a folder in it, that others look into."""
RIDGE_FILE = "ridge.safetensors"
ARM64 = "arm64"


class RunFolder:
    """The stages of one run; each result is read once, when it is first asked for.

    RunError names the very command to type where a stage has not been made.
    """

    def __init__(self, path: Path) -> None:
        """Name the run; nothing is read yet."""
        self.path = path

    def folder(self, stage: str) -> Path:
        """Return the folder of a stage ("data", "teacher", "student", "bundle", "benchmarks"), made or not."""
        if stage not in STAGES:
            raise RunError(f"no stage called {stage!r}; there are {', '.join(STAGES)}")
        return self.path / stage

    def made(self, stage: str) -> Path:
        """Return the folder of a finished stage."""
        folder = self.folder(stage)
        refuse_files(folder)
        if not (folder / STAGE_FILE).is_file():
            raise RunError(f"{folder}: this stage has not been made yet. Type `{self.command(stage)}` first")
        return folder

    def command(self, stage: str) -> str:
        """Return what to type to make a stage: of this run, by this process's preset, from music where it has none."""
        preset = f" PRESET={presets.chosen()}" if presets.chosen() and stage != "data" else ""
        there = stage != "data" and (self.path / STAGES[0] / STAGE_FILE).is_file()
        music = "" if there else f" {self.music}"
        return f"make {MAKE_TARGETS[stage]} RUN={self.path}{preset}{music}"

    @property
    def music(self) -> str:
        """What to type for the music of this run's data stage, made or not: its corpora, and folders to be filled in.

        A stage of another version may have any keys, or none: DEAM then.
        """
        path = self.path / STAGES[0] / STAGE_FILE
        config = read_json(path).get("config", {}) if path.is_file() else {}
        corpora = [str(name) for name in config.get("corpora", ())] or ["deam"]
        return f"CORPUS={'+'.join(corpora)} MUSIC={':'.join(f'/path/to/{name}' for name in corpora)}"

    def stage_file(self, stage: str) -> StageFile:
        """Read the stage.json of a finished stage: config, inputs, fingerprint, record, versions, wall time."""
        return read_stage(self.made(stage))

    def record(self, stage: str) -> dict[str, Any]:
        """Read what a finished stage says of its result."""
        return self.stage_file(stage).record

    def fingerprint(self, stage: str) -> str:
        """Return the fingerprint of a finished stage, to be an input of the next."""
        return self.stage_file(stage).fingerprint

    @cached_property
    def data_record(self) -> DataRecord:
        """What the data are and what their labels are worth: corpus, label set, numbers of songs."""
        again = f"another version wrote it; type `{self.command('data')}`"
        return DataRecord.from_json(self.record("data"), str(self.folder("data") / STAGE_FILE), again)

    def warnings(self, *stages: str) -> tuple[str, ...]:
        """Gather what the finished ones of these stages (all, if none is named) warn of, each sentence once."""
        made = [name for name in stages or STAGES if (self.folder(name) / STAGE_FILE).is_file()]
        return standing_warnings.once(
            *(self.data_record.warnings if name == "data" else self.record(name).get("warnings", ()) for name in made)
        )

    @cached_property
    def store(self) -> ClipStore:
        """The clips of the run, whole."""
        return ClipStore.open(self.made("data") / STORE)

    def store_of(self, samples: int) -> ClipStore:
        """Open the clips through a model's window: the middle so many samples of each."""
        return ClipStore.open(self.made("data") / STORE, samples)

    @cached_property
    def split(self) -> Split:
        """Training, validation and test."""
        return Split.load(self.made("data") / SPLIT_FILE)

    @cached_property
    def bundle(self) -> Bundle:
        """The bundle, with the spectrogram's numbers (`bundle.spec`) and its window (`bundle.samples`)."""
        return Bundle.open(self.made("bundle"))

    @cached_property
    def student(self) -> SavedStudent:
        """What stands beside the student's weights: timm's name of the network, stride, frames, spectrogram, labels."""
        return SavedStudent.load(self.made("student") / CONFIG_FILE)

    @property
    def results(self) -> Path:
        """The rows that the benchmarks measured, made or not."""
        return self.folder("benchmarks") / RESULTS_FILE

    @property
    def device_results(self) -> Path:
        """The rows that `benchmarks.device` took on phones, made or not; no stage, because every phone adds to them."""
        return self.beside("device") / RESULTS_FILE

    @property
    def alternatives(self) -> Path:
        """The folder of stock networks' programs; no stage, because they outlive a new table."""
        return self.beside("alternatives")

    @property
    def export_steps(self) -> Path:
        """The folder of export's finished steps, made or not; it stays beside a bundle that lacks a program.

        So the next try makes that program alone.
        """
        return self.beside("bundle.steps")

    @property
    def ridge(self) -> Path:
        """The ridge floor, made or not: a finished step of an unfinished teacher is enough for who reads it alone."""
        return self.folder("teacher") / FLOOR_STEP / RIDGE_FILE

    @property
    def synthetic(self) -> Path:
        """The store of the synthetic clips that the teacher drew; missing where it was to draw none."""
        return self.made("teacher") / SYNTHETIC_STEP

    @property
    def vit(self) -> Path:
        """The folder of the vision transformer's training, made or not; its records by epoch stay there."""
        return self.folder("teacher") / VIT_STEP

    def beside(self, name: str) -> Path:
        """Return a folder beside the stages, made or not; RunError for the name of a stage, which has `folder`."""
        if name in STAGES:
            raise RunError(f"{name!r} is a stage of the run, not a folder beside them")
        return self.path / name
