"""Distillation: a student in its training harness, and the training that fits it to ratings and soft targets."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from pocketmood.mel import MelFrontEnd
from pocketmood.training import crops
from pocketmood.training.distributed import gather
from pocketmood.training.fit import Training, fit
from pocketmood.training.history import EpochRecord
from student.config import LossConfig, StudentConfig
from student.feature_losses import Projector
from student.losses import Targets, distillation_loss
from student.mobilevit import Student, StudentOutput
from student.training_set import CropBatch, SoftTargetCrops, TrainingData, collate
from student.validation import validator


class Distiller(nn.Module):
    """A student in its training harness: front end, projector, losses. Only `student` is ever saved."""

    def __init__(self, student: Student, teacher_width: int, weights: LossConfig) -> None:
        """Put the harness around a student; teacher_width: how many features the teacher has."""
        super().__init__()
        self.front = MelFrontEnd(student.spec, student.stride, student.frames)
        # Only the cosine needs both sides equally wide; the other measures compare spaces of any two widths.
        projected = weights.feature_measure == "cosine"
        self.student = student
        self.projector: nn.Module = Projector(student.width, teacher_width) if projected else nn.Identity()
        self.weights = weights
        # Convolutions on channels-last maps run about a fifth faster, on CPU and GPU.
        self.student.to(memory_format=torch.channels_last)

    def forward(self, **tensors: Tensor) -> dict[str, Tensor]:
        """Return the loss and its terms for a batch, the keywords those of `CropBatch`.

        The terms are those of all processes' batches together.
        """
        batch = CropBatch(**tensors)
        parts = [] if batch.context is None else [crops.spectrogram(self.front, batch.context)]
        parts += [] if batch.mel is None else [batch.mel]
        mel = crops.apply_mask(torch.cat(parts), batch.mask)
        output: StudentOutput = self.student(mel.contiguous(memory_format=torch.channels_last))

        # A CCC, a distance matrix and a gate's share are of the whole batch; the parts of a process do not add up.
        compared = gather(self.projector(output.features).float())
        output = StudentOutput(*(gather(part.float()) for part in output))
        labelled = gather(batch.labelled.to(torch.uint8)).bool()
        targets = Targets(
            labels=gather(batch.labels),
            labelled=labelled,
            deviations=gather(batch.deviations),
            emotion=gather(batch.emotion),
            features=gather(batch.features),
            agreement=gather(batch.agreement),
        )

        # In full precision: correlations are sums of small differences, which half precision would round away.
        with torch.autocast(batch.mask.device.type, enabled=False):
            return distillation_loss(output, compared, targets, self.weights)


def distill(student: Student, data: TrainingData, config: StudentConfig, folder: Path) -> list[EpochRecord]:
    """Fit `student` to ratings and soft targets; return the record of each epoch. Continues after a kill.

    `folder` gets the checkpoints and metrics.jsonl of `pocketmood.training.fit`. DataError for foreign soft targets.
    """
    data.refuse_foreign(config, student.spec)
    distiller = Distiller(student, data.soft_targets.features.shape[-1], config.loss)
    validate = validator(data, MelFrontEnd(student.spec, config.stride, config.frames))
    items = SoftTargetCrops(data.store, data.soft_targets, student.spec, config, data.synthetic)
    return fit(
        Training(
            distiller,
            items,
            collate,
            validate,
            folder,
            config.schedule,
            config.seed,
            name="student",
            least=2,  # a correlation, and a batch norm
            remedy="fewer --crop-frames, or a smaller --model",
        )
    )
