"""Fine-tune the teacher on rated songs, and on synthetic spectrograms where the quality gate accepted them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from pocketmood.mel import MelFrontEnd
from pocketmood.metrics import score
from pocketmood.training import Schedule, fit
from teacher.cpu import device
from teacher.crops import Augment, CropDataset, collate, hide, spectrogram, whole_mels
from teacher.vit import Teacher, TeacherOutput, build_teacher, save_teacher, weights_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pocketmood.clips import ClipStore
    from pocketmood.split import Split
    from teacher.config import FineTuneConfig, TeacherConfig, VitConfig

_TINY = 1e-6


def ccc_loss(answer: Tensor, label: Tensor) -> Tensor:
    """Return 1 - CCC over a batch [B, D], per axis [D], with population moments; 1 where both are constant."""
    answer_mean, label_mean = answer.mean(0), label.mean(0)
    covariance = ((answer - answer_mean) * (label - label_mean)).mean(0)
    variances = answer.var(0, unbiased=False) + label.var(0, unbiased=False)
    return 1 - 2 * covariance / (variances + (answer_mean - label_mean) ** 2 + _TINY)


def spread_loss(answer: Tensor, spread: Tensor, label: Tensor, deviation: Tensor) -> Tensor:
    """Gaussian negative log likelihood of one listener's rating around the answer, mean over what is known.

    The second moment around the answer is deviation^2 + (label - answer)^2; the answer is detached, so that the spread
    explains its errors instead of excusing them. Rows with unknown (NaN) deviation do not count; all [B, D].
    """
    known = ~deviation.isnan()
    moment = deviation.nan_to_num() ** 2 + (label - answer.detach()) ** 2
    likelihood = spread.log() + moment / (2 * spread**2)
    return torch.where(known, likelihood, 0.0).sum() / known.sum().clamp(min=1)


def emotion_loss(output: TeacherOutput, label: Tensor, deviation: Tensor, config: FineTuneConfig) -> dict[str, Tensor]:
    """Compare answers with people; all [B, 2].

    Returns the unweighted terms "ccc", "mse" (valence and arousal by `valence_share`) and "spread", and the weighted
    sum "loss".
    """
    shares = label.new_tensor([config.valence_share, 1 - config.valence_share])
    emotion, spread = output.emotion.float(), output.spread.float()
    terms = {
        "ccc": (ccc_loss(emotion, label) * shares).sum(),
        "mse": (((emotion - label) ** 2).mean(0) * shares).sum(),
        "spread": spread_loss(emotion, spread, label, deviation),
    }
    loss = config.ccc_weight * terms["ccc"] + config.mse_weight * terms["mse"] + config.spread_weight * terms["spread"]
    return {"loss": loss, **terms}


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
        hidden: Tensor,
        context: Tensor | None = None,
        mel: Tensor | None = None,
        index: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch from `crops.collate`: `context` [R, C] rows first, then `mel` [B - R, ...]."""
        parts = [] if context is None else [spectrogram(self.front, context)]
        parts += [] if mel is None else [mel]
        output = self.teacher(hide(torch.cat(parts), hidden))
        return emotion_loss(output, labels, deviations, self.recipe)


def parameter_groups(teacher: Teacher, config: FineTuneConfig) -> list[dict[str, Any]]:
    """Split parameters by rate (backbone, heads) and decay (biases, norms and positions have none)."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in teacher.named_parameters():
        if not parameter.requires_grad:
            continue
        inside = name.startswith("backbone.") and config.backbone_learning_rate is not None
        rate = config.backbone_learning_rate if inside else config.learning_rate
        plain = parameter.ndim < 2 or name in ("backbone.frequency", "backbone.time")
        groups.setdefault((rate or config.learning_rate, 0.0 if plain else config.weight_decay), []).append(parameter)
    return [{"params": rows, "lr": rate, "weight_decay": decay} for (rate, decay), rows in groups.items()]


def answer_mels(teacher: Teacher, mels: Tensor) -> tuple[NDArray[np.float32], ...]:
    """Answer for spectrograms in evaluation: emotion [N, 2], spread [N, 2], features [N, F]."""
    with torch.no_grad():
        output = teacher(mels)
    return tuple(part.float().cpu().numpy() for part in output)


def predict(
    teacher: Teacher, store: ClipStore, ids: Sequence[str], config: VitConfig, batch_size: int = 16
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Answer for whole clips: emotion [N, 2] and spread [N, 2]."""
    place = next(teacher.parameters()).device
    front = MelFrontEnd(stride=config.stride, frames=config.frames).to(place)
    rows = [answer_mels(teacher, mel)[:2] for _, mel in whole_mels(store, ids, front, batch_size)]
    emotion, spread = (np.concatenate(part) for part in zip(*rows, strict=True))
    return emotion, spread


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
        augment=Augment(train.gain_db, train.hidden_bands, train.hidden_frames),
        synthetic=synthetic,
        seed=config.seed,
    )
    # Validation hears the same spectrograms after every epoch: make them once, keep them where they fit (host memory).
    held = torch.cat([mel.cpu() for _, mel in whole_mels(store, split.validation, front.to(device()))])
    labels = store.labels(split.validation)

    def validate(model: nn.Module) -> dict[str, float]:
        network = model.teacher
        place = next(network.parameters()).device
        batches = [answer_mels(network, part.to(place))[0] for part in held.split(16)]
        return score(np.concatenate(batches), labels)

    records = fit(
        FineTune(teacher, front, train),
        dataset,
        collate,
        validate,
        folder,
        _schedule(config),
        groups=parameter_groups(teacher, train),
    )
    untaught = config.vit.size == "base" and source == "random"
    facts = {
        "weights": source,
        "warnings": ["ViT-B/16 began with random weights: no pretrained ones were found"] if untaught else [],
        "training_clips": len(split.train),
        "synthetic_clips": 0 if synthetic is None else len(synthetic.ids),
        "spec": front.spec.to_dict(),
        "spec_hash": front.spec.hash,
    }
    save_teacher(folder, teacher, config.vit, **facts)
    return facts | {"epochs": len(records), "parameters": sum(p.numel() for p in teacher.parameters())}


def history(path: Path) -> list[dict[str, Any]]:
    """Read the records of a training, one per epoch."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _schedule(config: TeacherConfig) -> Schedule:
    """Hand the training numbers to the shared loop."""
    train = config.training
    return Schedule(
        epochs=train.epochs,
        batch_size=train.batch_size,
        learning_rate=train.learning_rate,
        weight_decay=train.weight_decay,
        warmup=train.warmup,
        ema_decay=train.ema_decay,
        seed=config.seed,
        patience=train.patience,
    )
