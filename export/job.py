"""What a step of the export stage is given, small enough to send to another process; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.config import ExportConfig
from export.contract import Contract, Labels, contract
from pocketmood.data.clips import ClipStore
from pocketmood.data.run_folder import CONFIG_FILE, RunFolder
from pocketmood.data.saved_student import SavedStudent
from pocketmood.runs import Stage, read_json, read_stage
from pocketmood.spec import MelSpec
from pocketmood.standing_warnings import once

REFERENCE = "pytorch"
"""The step whose predictions all programs are held to."""
SEARCH = "int8.search"
PREDICTIONS, GRAPH_PREDICTIONS, MEL = "predictions.npy", "graph_predictions.npy", "mel.npy"
SENSITIVITY = "sensitivity.json"


@dataclass(frozen=True)
class Clips:
    """Which clips a bundle is calibrated and proven on, by id."""

    golden: tuple[str, ...]
    """Travel in the bundle."""
    held_out: tuple[str, ...]
    """Compared with PyTorch, too."""
    test: tuple[str, ...]
    """All test songs: the CCC is theirs, but for CoreML programs, which are scored on the proven clips."""
    calibration: tuple[str, ...]
    """Training clips for int8."""
    sensitivity: tuple[str, ...]
    """Validation clips that int8's cost is measured on."""

    @property
    def proven(self) -> tuple[str, ...]:
        """Clips that every program is compared on."""
        return self.golden + self.held_out

    @property
    def predicted(self) -> tuple[str, ...]:
        """Clips that PyTorch and the programs predict: the proven ones first, then the other test songs.

        CoreML programs predict the proven ones only: their evaluator is slow.
        """
        return self.proven + tuple(id_ for id_ in self.test if id_ not in set(self.proven))


@dataclass(frozen=True)
class Subject:
    """The student that is exported, and what it learnt from."""

    name: str
    """timm's name of the network."""
    parameters: int
    """Trained numbers in it."""
    spec: MelSpec
    """The spectrogram that it sees."""
    stride: int
    """It sees every `stride`-th frame."""
    frames: int
    """It sees so many of them."""
    labels: Labels
    """Whose ratings it learnt."""
    warnings: tuple[str, ...] = ()
    """What a reader of any figure of it must know."""

    @classmethod
    def of(cls, config: ExportConfig) -> Subject:
        """Read the student's config.json and the record of the data stage."""
        student, run = SavedStudent.load(student_folder(config) / CONFIG_FILE), RunFolder(config.run)
        # A student from elsewhere had another teacher than this run's, of which its file says nothing.
        own = config.checkpoint is None
        return cls(
            name=student.name,
            parameters=student.parameters,
            spec=student.spec,
            stride=student.stride,
            frames=student.frames,
            labels=Labels.of(run.data_record),
            warnings=once(run.warnings("data", "teacher", "student"))
            if own
            else once(run.warnings("data"), student.warnings),
        )


@dataclass(frozen=True)
class Job:
    """All that a step needs, small enough to send to another process."""

    config: ExportConfig
    """Settings of the stage."""
    folder: Path
    """Where the steps' folders lie."""
    clips: Clips
    """Songs that the programs are calibrated and compared on."""
    subject: Subject
    """The student, and what it was trained on."""
    inputs: dict[str, str]
    """Fingerprints of data and student, and the bundle's schema."""

    @property
    def contract(self) -> Contract:
        """What every program says about itself."""
        return contract(self.subject.spec, self.subject.stride, self.subject.frames, self.subject.labels)

    @property
    def run(self) -> RunFolder:
        """The run whose clips are used."""
        return RunFolder(self.config.run)

    def store(self) -> ClipStore:
        """Open the run's clips, through the student's window."""
        return self.run.store_of(self.subject.spec.samples)

    def stage(self, step: str) -> Stage:
        """Return the nested stage of a step."""
        # The clips are part of what a step is made from: another split has other ones under the same config.
        return Stage(self.folder, step, {"config": self.config.shaping(), "clips": vars(self.clips)}, self.inputs)

    def left_in_float(self) -> dict[str, str]:
        """Return the groups of operators that the search left in float, each with its reason."""
        left: dict[str, str] = read_json(self.folder / SEARCH / SENSITIVITY)["left"]
        return left


def student_folder(config: ExportConfig) -> Path:
    """Return where the student is: the run's own, or the folder of the checkpoint that was named."""
    if config.checkpoint is None:
        return RunFolder(config.run).folder("student")
    return config.checkpoint.parent if config.checkpoint.suffix == ".safetensors" else config.checkpoint


def step_record(folder: Path) -> dict[str, Any]:
    """Read what a finished step says of its result."""
    return read_stage(folder).record
