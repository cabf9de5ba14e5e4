"""Validation of a student in training: batch norms recalibrated on whole clips, then its scores on validation songs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pocketmood.mel import MelFrontEnd
from pocketmood.metrics import score
from student.losses import label_term
from student.mobilevit import Student
from student.predict import CLIPS_PER_BATCH, predict, whole_clip_mels
from student.training_set import TrainingData

Validate = Callable[[nn.Module], Mapping[str, float]]
"""Scores a `Distiller`; what the training loop calls after each epoch."""
RECALIBRATION_CLIPS = 64
"""Training clips, about, whose statistics the batch norms take: every n-th, so that they come from the whole list."""
_SCORES = ("ccc_mean", "ccc_valence", "ccc_arousal", "rmse_mean", "mae_mean", "mae_valence", "mae_arousal")


def validator(data: TrainingData, front: MelFrontEnd) -> Validate:
    """Return the function that scores a `Distiller`'s student on whole validation clips.

    Beside the scores "labels", the loss's term of that name, over all these clips at once: they have no soft targets,
    so there are no other terms. Before that it recalibrates the student's batch norms on whole training clips, and
    leaves them so.
    """
    # The spectrograms of both sets are made once: they are the same after every epoch.
    train, labels = data.split.train, data.store.labels(data.split.validation)
    calibrating = whole_clip_mels(data.store, train[:: -(-len(train) // RECALIBRATION_CLIPS)], front)
    scored = whole_clip_mels(data.store, data.split.validation, front)

    def validate(distiller: nn.Module) -> Mapping[str, float]:
        student = distiller.get_submodule("student")
        assert isinstance(student, Student)
        alone = unsynchronised(student)
        recalibrate_batch_norm(alone, calibrating)
        # The twin of a synchronised student was measured in its stead; the statistics belong to the student.
        if alone is not student:
            student.load_state_dict(alone.state_dict())
        emotion = predict(alone, scored).emotion
        scores = score(emotion, labels)
        rated = torch.ones(len(labels), dtype=torch.bool)
        loss = label_term(torch.from_numpy(emotion), torch.from_numpy(labels), rated)
        return {name: scores[name] for name in _SCORES} | {"labels": float(loss)}

    return validate


def unsynchronised(student: Student) -> Student:
    """Return the student itself, or a plain twin of one whose batch norms ask the other processes."""
    # Only one process validates; statistics gathered there by synchronised norms would wait for the others for ever.
    if not any(isinstance(module, nn.SyncBatchNorm) for module in student.modules()):
        return student
    twin = Student(student.name, student.stride, student.frames, student.spec, student.layers)
    twin.load_state_dict(student.state_dict())
    twin.to(next(student.parameters()).device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return twin


def recalibrate_batch_norm(student: nn.Module, mels: Tensor) -> None:
    """Measure the batch norms' means and variances anew on whole training clips, with the weights as they are.

    A crop has a larger share of zero-padded border than a whole clip, and changes mask part of it: statistics gathered
    in training shift every prediction for a whole clip (measured: valence by -.14, a tenth of the CCC).
    """
    device = next(student.parameters()).device
    norms = [module for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]

    # Everything but the norms in evaluation mode: dropout would blur the statistics of what lies behind it.
    student.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()

    # Equal batches, none of them a small rest: one odd clip alone would count like sixteen.
    batches = mels.tensor_split(math.ceil(len(mels) / CLIPS_PER_BATCH))
    seen = 0
    with torch.no_grad():
        for batch in batches:
            seen += len(batch)
            # With this momentum the running value is the average over all clips so far, each weighing the same.
            for norm in norms:
                norm.momentum = len(batch) / seen
            student(batch.to(device))

    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    student.eval()
