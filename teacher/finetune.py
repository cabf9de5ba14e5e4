"""Fine-tune the teacher on rated songs, and on synthetic spectrograms where the quality gate accepted them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from pocketmood.mel import MelFrontEnd
from pocketmood.metrics import mse, score
from pocketmood.training.crops import Augment, CropDataset, apply_mask, collate, spectrogram, whole_mels
from pocketmood.training.device import default_device
from pocketmood.training.distributed import gather, is_main_process
from pocketmood.training.fit import Training, fit
from teacher.losses import emotion_loss
from teacher.unfreezing import begin_epoch, parameter_groups, prepare, restarts
from teacher.vit import Teacher, TeacherOutput, build_teacher, save_teacher, weights_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from teacher.config import FineTuneConfig, TeacherConfig, VitConfig


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
        output = TeacherOutput(*map(gather, self.teacher(apply_mask(torch.cat(parts), mask))))
        return emotion_loss(output, gather(labels), gather(deviations), self.recipe)


def answer_mels(teacher: Teacher, mels: Tensor) -> tuple[NDArray[np.float32], ...]:
    """Answer for spectrograms in evaluation: emotion [N, 2], rater_sd [N, 2], features [N, F]."""
    with torch.no_grad():
        output = teacher(mels)
    return tuple(part.float().cpu().numpy() for part in output)


def predict(
    teacher: Teacher, store: ClipStore, ids: Sequence[str], config: VitConfig, batch_size: int = 16
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Answer for whole clips: emotion [N, 2] and rater_sd [N, 2]."""
    place = next(teacher.parameters()).device
    front = MelFrontEnd(stride=config.stride, frames=config.frames).to(place)
    rows = [answer_mels(teacher, mel)[:2] for _, mel in whole_mels(store, ids, front, batch_size)]
    emotion, rater_sd = (np.concatenate(part) for part in zip(*rows, strict=True))
    return emotion, rater_sd


def main(store: ClipStore, split: Split, config: TeacherConfig, folder: Path, synthetic: Any = None) -> dict[str, Any]:
    """Train a teacher into `folder` (model.safetensors, config.json, metrics.jsonl); continues after a kill.

    synthetic: an accepted SyntheticStore or None. Returns facts for the stage record.
    """
    train = config.training
    torch.manual_seed(config.seed)
    teacher = build_teacher(config.vit)
    source = weights_source(teacher)
    front = MelFrontEnd(stride=config.vit.stride, frames=config.vit.frames)
    dataset = CropDataset(
        store,
        split.train,
        stride=config.vit.stride,
        frames=train.crop_frames,
        augment=Augment(train.gain_db, train.mask_bands, train.mask_frames),
        synthetic=synthetic,
        seed=config.seed,
    )
    # Validation hears the same spectrograms after every epoch: make them once, keep them where they fit (host memory).
    held = torch.cat([mel.cpu() for _, mel in whole_mels(store, split.validation, front.to(default_device()))])
    labels = store.labels(split.validation)

    def validate(model: nn.Module) -> dict[str, float]:
        network = model.teacher
        place = next(network.parameters()).device
        batches = [answer_mels(network, part.to(place))[0] for part in held.split(16)]
        answers = np.concatenate(batches)
        return score(answers, labels) | {"minus_mse": -mse(answers.ravel(), labels.ravel())}

    prepare(teacher, train)
    records = fit(
        Training(
            FineTune(teacher, front, train),
            dataset,
            collate,
            validate,
            folder,
            replace(train.schedule, restarts=restarts(train)),
            config.seed,
            metric="ccc_mean" if train.best_by == "ccc" else "minus_mse",
            groups=parameter_groups(teacher, train),
            on_epoch=partial(begin_epoch, teacher, train) if train.unfreeze else None,
        )
    )
    untaught = config.vit.pretrained and source == "random"
    facts = {
        "weights": source,
        "warnings": [f"{teacher.backbone.title} began with random weights"] if untaught else [],
        "training_clips": len(split.train),
        "synthetic_clips": 0 if synthetic is None else len(synthetic.ids),
        "spec": front.spec.to_dict(),
        "spec_hash": front.spec.hash,
    }
    if is_main_process():
        save_teacher(folder, teacher, config.vit, **facts)
    return facts | {"epochs": len(records), "parameters": sum(p.numel() for p in teacher.parameters())}
