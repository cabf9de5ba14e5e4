"""Members that listen with a frozen musicnn: `musicnn` with MSD_musicnn, `musicnn-mtt` with MTT_musicnn, or with both.

`musicnn-both` is one head above the features of both networks, where a company of two has a head above each.

What a trained one can do is the same for the fine-tuned network (`tuned_member.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pocketmood.emotion import Emotion
from teacher.musicnn.config import MODELS, published_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.spec import MelSpec
    from pocketmood.training.weights import Published
    from teacher.company.members import Task
    from teacher.config import SoftTargetsConfig, TeacherConfig
    from teacher.gan.synthesis import SyntheticStore
    from teacher.musicnn.frozen import FrozenTeacher
    from teacher.musicnn.tuned import TunedTeacher
    from teacher.record import FineTuned

STRIDE = 1
"""Of what is not counted in frames: a prediction for whole clips alone."""


@dataclass(frozen=True)
class Listening:
    """A trained musicnn teacher, frozen or fine-tuned."""

    teacher: FrozenTeacher | TunedTeacher
    """Ready to predict."""

    @property
    def spec(self) -> MelSpec:
        """Sample rate and samples of the waveforms that `hear` takes."""
        return self.teacher.record.spec

    @property
    def parameters(self) -> int:
        """Numbers that a prediction needs."""
        return self.teacher.parameters

    def whole(self, clips: ClipStore, ids: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Predict emotion and rater_sd for whole clips; a frozen one predicts training songs out of fold."""
        found = self.teacher.predict(clips, ids, [(0, 0)], STRIDE)
        return found.emotion[:, 0], found.rater_sd[:, 0]

    def crops(
        self, clips: ClipStore | SyntheticStore, ids: Sequence[str], config: SoftTargetsConfig
    ) -> dict[str, NDArray[np.float32]]:
        """Predict for crops: those windows of the clip whose middle lies in them."""
        import numpy as np

        from teacher.crop_predictions import crop_list

        crops = crop_list(config)
        # The stage asks for synthetic clips of those alone that can hear them.
        store = cast("ClipStore", clips)
        found = self.teacher.predict(store, ids, crops if config.ask == "crops" else crops[:1], config.stride)
        # Asked once for the whole clip, the table keeps its shape.
        repeat = 1 if config.ask == "crops" else len(crops)
        return {name: np.repeat(array, repeat, 1) for name, array in found._asdict().items()}

    def hear(self, wave: NDArray[np.float32]) -> tuple[Emotion, Emotion]:
        """Predict for one waveform [S]."""
        found = self.teacher.hear(wave)
        emotion, rater_sd = (Emotion(*map(float, array[0, 0])) for array in (found.emotion, found.rater_sd))
        return emotion, rater_sd


@dataclass(frozen=True)
class FrozenKind:
    """A kernel ridge on the features of a frozen network."""

    name: str
    """A key of `MODELS`."""
    hears_synthetic: bool = False
    """A generated spectrogram has no sound at 16 kHz to hear."""
    learns_synthetic: bool = False
    """Neither synthetic clips nor variants join the fit."""
    frozen_features: bool = True
    """Units below the tags, and the tags' logits, of the published network."""

    def settings(self, config: TeacherConfig) -> dict[str, Any]:
        """Return the head's settings and the seed of its folds."""
        return {"musicnn": config.musicnn.without_place(), "networks": MODELS[self.name], "seed": config.seed}

    def published(self, config: TeacherConfig) -> tuple[Published, ...]:
        """Say which weights it listens with."""
        return published_of(self.name, config.musicnn.weights)

    def out_of_fold(self, config: TeacherConfig) -> bool:
        """Yes: a training song is predicted by a model that has not met its artist."""
        return True

    def heard(self, config: TeacherConfig) -> str:
        """Say what it is fitted on."""
        return "whole clips"

    def train(self, task: Task, folder: Path) -> FineTuned:
        """Fit the head, in the main process; the others wait where the step ends."""
        from pocketmood.processes import is_main_process
        from pocketmood.training import distributed
        from teacher.musicnn import frozen
        from teacher.musicnn.front_end import SPEC
        from teacher.record import FineTuned

        config = task.config
        if is_main_process():
            frozen.train(task.store, task.split, config.musicnn, folder, config.seed, MODELS[self.name])
        distributed.wait()
        teacher = frozen.load(folder)
        return FineTuned(
            weights=teacher.record.weights,
            warnings=teacher.record.warnings,
            training_clips=teacher.record.training_clips,
            synthetic_clips=0,
            spec=SPEC,
            spec_hash=SPEC.hash,
            epochs=0,
            parameters=teacher.parameters,
        )

    def tidy(self, folder: Path) -> None:
        """Nothing: what was heard lies outside of the run, for all that have the same clips."""

    def open(self, folder: Path, on_cpu: bool = False) -> Listening:
        """Open head and network on this machine's device, or on the processor."""
        from pocketmood.training.device import default_device
        from teacher.musicnn import frozen

        teacher = frozen.load(folder)
        if not on_cpu:
            for listener in teacher.listeners:
                listener.to(default_device())
        return Listening(teacher)

    def weights_bytes(self, folder: Path) -> int:
        """Return the bytes of the head and of the networks' files."""
        from teacher.musicnn import frozen

        record = frozen.read_record(folder)
        return record.weights_bytes + (folder / frozen.HEAD_FILE).stat().st_size


def kind(name: str) -> FrozenKind:
    """Return "musicnn", "musicnn-mtt" or "musicnn-both"."""
    return FrozenKind(name)
