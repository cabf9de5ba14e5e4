"""What a step of the export stage is given, small enough to send to another process; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from export.config import ExportConfig
from export.contract import Contract
from pocketmood.data.clips import ClipStore
from pocketmood.runs import Stage

REFERENCE = "pytorch"
SEARCH = "int8.search"
ANSWERS, GRAPH_ANSWERS, MEL = "answers.npy", "graph_answers.npy", "mel.npy"
SENSITIVITY = "sensitivity.json"


@dataclass(frozen=True)
class Clips:
    """Which clips a bundle is calibrated and proven on, by id."""

    golden: tuple[str, ...]
    """Travel in the bundle."""
    held_out: tuple[str, ...]
    """Compared with PyTorch, too."""
    test: tuple[str, ...]
    """All test songs: the CCC is theirs."""
    calibration: tuple[str, ...]
    """Training clips for int8."""
    sensitivity: tuple[str, ...]
    """Validation clips that int8's cost is measured on."""

    @property
    def proven(self) -> tuple[str, ...]:
        """Clips that every program is compared on."""
        return self.golden + self.held_out

    @property
    def answered(self) -> tuple[str, ...]:
        """Clips that every program answers: the proven ones first, then the other test songs."""
        return self.proven + tuple(id_ for id_ in self.test if id_ not in set(self.proven))


@dataclass(frozen=True)
class Job:
    """All that a step needs, small enough to send to another process."""

    config: ExportConfig
    folder: Path
    """Where the steps' folders lie."""
    clips: Clips
    contract: Contract
    inputs: dict[str, str]
    """Fingerprints of data and student."""

    def store(self) -> ClipStore:
        """Open the run's clips, through the student's window."""
        return ClipStore.open(self.config.run / "data" / "store", int(self.contract["samples"]))

    def stage(self, step: str) -> Stage:
        """Return the nested stage of a step."""
        return Stage(self.folder, step, {"config": self.config.shaping(), "clips": vars(self.clips)}, self.inputs)
