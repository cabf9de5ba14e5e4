"""The member `musicnn-tuned`: MSD_musicnn, whose layers learn from the rated songs too."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pocketmood.training.schedule import BEST_WEIGHTS
from teacher.musicnn.config import published_of
from teacher.musicnn.member import Listening

if TYPE_CHECKING:
    from pathlib import Path

    from pocketmood.training.weights import Published
    from teacher.company.members import Task
    from teacher.config import TeacherConfig
    from teacher.record import FineTuned


@dataclass(frozen=True)
class TunedKind:
    """A fine-tuned musicnn."""

    name: str
    """"musicnn-tuned"."""
    hears_synthetic: bool = False
    """A generated spectrogram has no sound at 16 kHz to hear."""
    learns_synthetic: bool = False
    """Neither synthetic clips nor variants join the training."""
    frozen_features: bool = False
    """It trains."""

    def settings(self, config: TeacherConfig) -> dict[str, Any]:
        """Return recipe and seed."""
        return {"musicnn_tuned": config.musicnn_tuned, "seed": config.seed}

    def published(self, config: TeacherConfig) -> tuple[Published, ...]:
        """Say which weights it begins with: those of the frozen member."""
        return published_of(self.name, config.musicnn.weights)

    def out_of_fold(self, config: TeacherConfig) -> bool:
        """No: one network, trained on all training songs."""
        return False

    def heard(self, config: TeacherConfig) -> str:
        """Say what its training's batches hold."""
        count = config.musicnn_tuned.windows
        return "a window" if count == 1 else f"{count} windows"

    def train(self, task: Task, folder: Path) -> FineTuned:
        """Fine-tune the network."""
        from teacher.musicnn import tuned

        return tuned.train(task, folder)

    def tidy(self, folder: Path) -> None:
        """Throw away checkpoints, best weights, and the levels of the songs: 0.4 MB of each."""
        from teacher.musicnn.levels import LEVELS_FILE

        shutil.rmtree(folder / "checkpoints")
        for name in (BEST_WEIGHTS, LEVELS_FILE):
            (folder / name).unlink()

    def open(self, folder: Path, on_cpu: bool = False) -> Listening:
        """Open the network on this machine's device, or on the processor."""
        from pocketmood.training.device import default_device
        from teacher.musicnn import tuned

        teacher = tuned.load(folder)
        return Listening(teacher if on_cpu else teacher.to(default_device()))

    def weights_bytes(self, folder: Path) -> int:
        """Return the bytes of the network's file."""
        from teacher.musicnn.tuned import NETWORK_FILE

        return (folder / NETWORK_FILE).stat().st_size


def kind(name: str) -> TunedKind:
    """Return "musicnn-tuned"."""
    return TunedKind(name)
