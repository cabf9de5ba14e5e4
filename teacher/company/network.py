"""Members that are networks on the house's spectrogram: `vit`, the teacher's own, and `ast`, the plain transformer."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pocketmood.data.run_folder import WEIGHTS_FILE
from pocketmood.emotion import Emotion
from pocketmood.training.schedule import BEST_WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.mel import MelFrontEnd
    from pocketmood.spec import MelSpec
    from pocketmood.training.weights import Published
    from teacher.company.members import Task
    from teacher.config import SoftTargetsConfig, TeacherConfig
    from teacher.gan.synthesis import SyntheticStore
    from teacher.record import FineTuned, SavedTeacher
    from teacher.vit import Teacher


@dataclass(frozen=True)
class Network:
    """A trained network, with what stands beside its weights."""

    teacher: Teacher
    """On its device, ready to predict."""
    saved: SavedTeacher
    """Its geometry and its spectrogram."""

    @property
    def spec(self) -> MelSpec:
        """The spectrogram that it was trained on, with the length of its clips."""
        return self.saved.training.spec

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        return sum(parameter.numel() for parameter in self.teacher.parameters())

    @cached_property
    def front(self) -> MelFrontEnd:
        """What it is shown of a waveform, on its device."""
        from pocketmood.mel import MelFrontEnd

        place = next(self.teacher.parameters()).device
        return MelFrontEnd(self.spec, self.saved.vit.stride, self.saved.vit.frames).to(place)

    def whole(self, clips: ClipStore, ids: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Predict emotion and rater_sd for whole clips."""
        from teacher import finetune

        return finetune.predict(self.teacher, clips, ids, self.saved.vit)

    def crops(
        self, clips: ClipStore | SyntheticStore, ids: Sequence[str], config: SoftTargetsConfig
    ) -> dict[str, NDArray[np.float32]]:
        """Predict for crops, cut out of the whole clip's spectrogram."""
        from teacher.crop_predictions import predict_crops

        return predict_crops(self.teacher, self.saved.vit, clips, ids, config)

    def hear(self, wave: NDArray[np.float32]) -> tuple[Emotion, Emotion]:
        """Predict for one waveform [S]."""
        import torch

        from teacher.finetune import predict_mels

        with torch.no_grad():
            mel = self.front(torch.from_numpy(wave)[None].to(next(self.teacher.parameters()).device))
        arrays = predict_mels(self.teacher, mel)
        emotion, rater_sd = (Emotion(*map(float, array[0])) for array in (arrays.emotion, arrays.rater_sd))
        return emotion, rater_sd


@dataclass(frozen=True)
class NetworkKind:
    """`vit` or `ast`: two sets of settings for one training."""

    name: str
    """"vit" or "ast": the flags' first word."""
    hears_synthetic: bool = True
    """Synthetic clips are spectrograms of the very kind that it hears."""
    frozen_features: bool = False
    """It trains."""

    @property
    def learns_synthetic(self) -> bool:
        """Only the ViT: the baseline shows what the songs alone teach a plain transformer."""
        return self.name == "vit"

    def settings(self, config: TeacherConfig) -> dict[str, Any]:
        """Return network, training and seed."""
        own = self._own(config)
        # Where first weights lie is no setting: what they are is an input of the step.
        return {"vit": own.vit.without_place(), "training": own.training, "seed": own.seed}

    def published(self, config: TeacherConfig) -> tuple[Published, ...]:
        """Say which weights a pretrained size begins with."""
        vit = self._own(config).vit
        return (vit.published(self.name),) if vit.pretrained else ()

    def out_of_fold(self, config: TeacherConfig) -> bool:
        """No: one network, trained on all training songs."""
        return False

    def heard(self, config: TeacherConfig) -> str:
        """Say what its training's batches hold."""
        from teacher.training_set import heard

        own = self._own(config)
        return heard(own.vit, own.training)

    def train(self, task: Task, folder: Path) -> FineTuned:
        """Fine-tune the network."""
        from teacher import finetune

        return finetune.train(task.store, task.split, self._own(task.config), folder, task.synthetic, task.variants)

    def tidy(self, folder: Path) -> None:
        """Throw away checkpoints and best weights: 1 GB for ViT-B."""
        shutil.rmtree(folder / "checkpoints")
        (folder / BEST_WEIGHTS).unlink()

    def open(self, folder: Path, on_cpu: bool = False) -> Network:
        """Load the network onto this machine's device, or the processor."""
        from pocketmood.training.device import default_device
        from teacher.vit import load_teacher

        teacher, saved = load_teacher(folder)
        return Network(teacher if on_cpu else teacher.to(default_device()), saved)

    def weights_bytes(self, folder: Path) -> int | None:
        """Return the bytes of the network's file; None where it is not there."""
        file = folder / WEIGHTS_FILE
        return file.stat().st_size if file.is_file() else None

    def _own(self, config: TeacherConfig) -> TeacherConfig:
        """Return the stage's config with this kind's network and training in the ViT's place."""
        return config if self.name == "vit" else replace(config, vit=config.ast, training=config.ast_training)


def kind(name: str) -> NetworkKind:
    """Return "vit" or "ast"."""
    return NetworkKind(name)
