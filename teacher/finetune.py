"""Fine-tune the teacher on rated songs, and on synthetic spectrograms where the quality gate accepted them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from pocketmood import standing_warnings
from pocketmood.mel import MelFrontEnd
from pocketmood.metrics import score
from pocketmood.processes import is_main_process
from pocketmood.training.crops import Augment, apply_mask, spectrogram, whole_mels
from pocketmood.training.device import default_device
from pocketmood.training.distributed import gather
from pocketmood.training.fit import Training, fit
from pocketmood.training.memory import in_parts
from teacher.losses import emotion_loss
from teacher.pretrained import Pretrained
from teacher.record import FineTuned
from teacher.training_set import training_set
from teacher.unfreezing import begin_epoch, parameter_groups, prepare, restarts
from teacher.vit import Teacher, TeacherOutput, build_teacher, save_teacher, weights_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from pocketmood.training.variants import Variants
    from teacher.config import FineTuneConfig, TeacherConfig, VitConfig
    from teacher.gan.synthesis import SyntheticStore


class TeacherArrays(NamedTuple):
    """A `TeacherOutput` as numpy arrays."""

    emotion: NDArray[np.float32]
    """[N, 2]"""
    rater_sd: NDArray[np.float32]
    """[N, 2]"""
    features: NDArray[np.float32]
    """[N, F]"""


class FineTune(nn.Module):
    """Front end, teacher and loss as one module: a batch of crops in, named loss terms out."""

    def __init__(self, teacher: Teacher, front: MelFrontEnd, recipe: FineTuneConfig) -> None:
        """Join the parts; only the teacher has parameters."""
        super().__init__()
        self.teacher, self.front, self.recipe = teacher, front, recipe

    def forward(
        self,
        labels: Tensor,
        deviations: Tensor,
        mask: Tensor,
        context: Tensor | None = None,
        mel: Tensor | None = None,
        index: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch from `crops.collate`: `context` [R, C] rows first, then `mel` [B - R, ...]."""
        parts = [] if context is None else [spectrogram(self.front, context)]
        parts += [] if mel is None else [mel]
        # Gathered from all processes: a correlation over a share of the batch is another number.
        output = TeacherOutput(*map(gather, self.teacher(apply_mask(torch.cat(parts), mask))))
        return emotion_loss(output, gather(labels), gather(deviations), self.recipe)


def predict_mels(teacher: Teacher, mels: Tensor) -> TeacherArrays:
    """Predict for spectrograms [N, 1, M, T], without gradients."""
    with torch.no_grad():
        outputs = [torch.cat(parts) for parts in zip(*in_parts(teacher, mels), strict=True)]
    # float() first: numpy has no bfloat16, which autocast may leave.
    return TeacherArrays(*(part.float().cpu().numpy() for part in outputs))


def predict(
    teacher: Teacher, store: ClipStore, ids: Sequence[str], config: VitConfig, batch_size: int = 16
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Predict for whole clips: emotion [N, 2] and rater_sd [N, 2]."""
    place = next(teacher.parameters()).device
    front = MelFrontEnd(stride=config.stride, frames=config.frames).to(place)
    batches = [predict_mels(teacher, mel) for _, mel in whole_mels(store, ids, front, batch_size)]
    return np.concatenate([batch.emotion for batch in batches]), np.concatenate([batch.rater_sd for batch in batches])


def train(
    store: ClipStore,
    split: Split,
    config: TeacherConfig,
    folder: Path,
    synthetic: SyntheticStore | None = None,
    variants: Variants | None = None,
) -> FineTuned:
    """Train a teacher into `folder` (model.safetensors, config.json, metrics.jsonl); continues after a kill.

    synthetic: clips that the quality gate accepted, or None. variants: of all training songs, or None.
    """
    recipe = config.training
    # Before the network is built: its first weights are part of what the seed decides.
    torch.manual_seed(config.seed)
    teacher = build_teacher(config.vit)
    front = MelFrontEnd(stride=config.vit.stride, frames=config.vit.frames)
    record = _record(teacher, front, config, len(split.train), 0 if synthetic is None else len(synthetic.ids))

    augment = Augment(recipe.gain_db, recipe.mask_bands, recipe.mask_frames, variants)
    dataset, stack = training_set(store, split, config, augment, synthetic)

    # Frozen before the groups are made: a layer that never learns must not be in any of them.
    prepare(teacher, recipe)
    history = fit(
        Training(
            FineTune(teacher, front, recipe),
            dataset,
            stack,
            _validation(store, split, front, recipe),
            folder,
            replace(recipe.schedule, restarts=restarts(recipe)),
            config.seed,
            metric=recipe.metric,
            lowest=recipe.best_by != "ccc",
            groups=parameter_groups(teacher, recipe),
            on_epoch=partial(begin_epoch, teacher, recipe) if recipe.unfreeze else None,
            name=folder.stem,  # that of the step: its work folder has a suffix
            least=2 if recipe.ccc_weight else 1,
            remedy="fewer --training.crop-frames, or another --vit.size (the baseline: --ast-training.crop-frames and "
            "--ast.width)",
        )
    )

    record = replace(record, epochs=len(history))
    if is_main_process():
        save_teacher(folder, teacher, config.vit, record)
    return record


def _validation(
    store: ClipStore, split: Split, front: MelFrontEnd, recipe: FineTuneConfig
) -> Callable[[nn.Module], dict[str, float]]:
    """Return the function that scores a `FineTune` on the whole validation clips.

    Beside the scores "loss", the training's own, over all these clips at once: its 1 - CCC is not one of batches.
    """
    # Validation needs the same spectrograms after every epoch: make them once, keep them where they fit (host memory).
    held = torch.cat([mel.cpu() for _, mel in whole_mels(store, split.validation, front.to(default_device()))])
    labels = store.labels(split.validation)
    ratings, deviations = torch.from_numpy(labels), torch.from_numpy(store.taught_deviations(split.validation))

    def validate(model: nn.Module) -> dict[str, float]:
        network = cast("FineTune", model).teacher
        place = next(network.parameters()).device
        parts = [predict_mels(network, part.to(place)) for part in held.split(16)]
        whole = TeacherArrays(*map(np.concatenate, zip(*parts, strict=True)))
        output = TeacherOutput(*map(torch.from_numpy, whole))
        return score(whole.emotion, labels) | {"loss": float(emotion_loss(output, ratings, deviations, recipe)["loss"])}

    return validate


def _record(teacher: Teacher, front: MelFrontEnd, config: TeacherConfig, songs: int, synthetic: int) -> FineTuned:
    """Collect what is known of a training before its first epoch."""
    source = weights_source(teacher)
    warnings: tuple[str, ...] = ()
    # From scratch is a choice for "small" and "ast"; for a pretrained size it is a failure that figures must not hide.
    if isinstance(teacher.backbone, Pretrained) and source == "random":
        warnings = (standing_warnings.of_random_start("teacher", teacher.backbone.title),)
    return FineTuned(
        weights=source,
        warnings=warnings,
        training_clips=songs,
        synthetic_clips=synthetic,
        spec=front.spec,
        spec_hash=front.spec.hash,
        epochs=0,
        parameters=sum(parameter.numel() for parameter in teacher.parameters()),
    )
