"""The student: timm's MobileViT on a one-channel spectrogram, with two heads.

Conventions: input is the front end's spectrogram [B, 1, M, T] in [-1, 1] at the config's frame stride, M and T
multiples of 64. `emotion` [B, 2] lies in (-1, 1). `interval68` [B, 2] is half the width of the 68 % interval of a
song's mean rating: the output of its head, at least `RATER_SD_FLOOR`, times `interval_scale`. The head is trained as a
`rater_sd`, the standard deviation of single listeners' ratings, while the scale is 1; the scale, fitted to validation
songs afterwards (`pocketmood.calibration`), makes it an interval of the mean.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pocketmood import standing_warnings
from pocketmood.data.run_folder import CONFIG_FILE, WEIGHTS_FILE
from pocketmood.data.saved_student import Origin, SavedStudent
from pocketmood.emotion import RATER_SD_FLOOR, TYPICAL_RATER_SD
from pocketmood.errors import RunError
from pocketmood.runs import write_json
from pocketmood.spec import MelSpec
from pocketmood.training.checkpoints import load_tensors, save_tensors
from pocketmood.training.weights import FirstWeights, Published
from student.config import require_size

_STEM = "stem.conv.weight"


class StudentOutput(NamedTuple):
    """A student's predictions for a batch, and the features behind them."""

    emotion: Tensor
    """[B, 2] valence and arousal in (-1, 1)."""
    interval68: Tensor
    """[B, 2] half the width of the 68 % interval of a song's mean rating; before calibration a `rater_sd`."""
    features: Tensor
    """[B, F] pooled features, for distillation."""


class Student(nn.Module):
    """A MobileViT body of timm with heads for emotion and interval68."""

    def __init__(
        self, name: str, stride: int = 5, frames: int = 256, spec: MelSpec | None = None, layers: int = 0
    ) -> None:
        """Build the network with random weights; `stride` and `frames` are those of a whole clip.

        layers: transformer layers per block at most; 0 leaves the network as timm has it.
        """
        super().__init__()
        import timm
        from timm.layers import set_fused_attn

        self.spec = spec or MelSpec()
        require_size(self.spec.bands, "bands")
        require_size(frames, "frames")
        self.name, self.stride, self.frames, self.layers = name, stride, frames, layers

        # Fused attention decomposes into operators that XNNPACK does not take: 26 instead of 12 ms on xxs.
        set_fused_attn(False)
        self.body: nn.Module = timm.create_model(
            name, pretrained=False, in_chans=1, num_classes=0, **shallower(name, layers)
        )
        self.width = int(self.body.num_features)
        self.emotion_head, self.interval68_head = nn.Linear(self.width, 2), nn.Linear(self.width, 2)

        # Small weights: an untrained student predicts near the middle of the scale.
        for head in (self.emotion_head, self.interval68_head):
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)
        # The inverse of softplus, so that the whole output, floor included, begins at a typical listener's value.
        nn.init.constant_(self.interval68_head.bias, math.log(math.expm1(TYPICAL_RATER_SD - RATER_SD_FLOOR)))
        # A buffer, not a parameter: it is saved and exported with the weights, and no optimiser moves it.
        self.interval_scale: Tensor
        self.register_buffer("interval_scale", torch.ones(2))

    def forward(self, mel: Tensor) -> StudentOutput:
        """Predict for spectrograms [B, 1, M, T]."""
        features = self.body(mel)  # [B, F]
        emotion = torch.tanh(self.emotion_head(features))
        # Detached: the interval is read off features that serve the emotion, and its loss cannot bend them.
        rater_sd = nn.functional.softplus(self.interval68_head(features.detach())) + RATER_SD_FLOOR
        return StudentOutput(emotion, rater_sd * self.interval_scale, features)


def shallower(name: str, layers: int) -> dict[str, Any]:
    """Return what makes timm build the network with at most so many transformer layers per block; {} for 0."""
    if layers == 0:
        return {}
    # timm has no argument for it: the network's description is copied with another depth.
    from timm.models.mobilevit import model_cfgs

    def cut(block: Any) -> Any:
        if isinstance(block, tuple):
            return tuple(map(cut, block))
        depth = (block.block_kwargs or {}).get("transformer_depth", 0)
        return (
            replace(block, block_kwargs={**block.block_kwargs, "transformer_depth": min(depth, layers)})
            if depth
            else block
        )

    return {"blocks": cut(model_cfgs[name].blocks)}


def save_student(student: Student, folder: Path, origin: Origin | None = None) -> None:
    """Write model.safetensors and config.json of a student, the latter with how it came to be."""
    save_tensors(folder / WEIGHTS_FILE, student.state_dict())
    valence, arousal = student.interval_scale.tolist()
    saved = SavedStudent(
        name=student.name,
        stride=student.stride,
        frames=student.frames,
        layers=student.layers,
        features=student.width,
        parameters=sum(p.numel() for p in student.parameters()),
        spec=student.spec,
        spec_hash=student.spec.hash,
        interval_scale=(valence, arousal),
        **vars(origin or Origin()),
    )
    write_json(folder / CONFIG_FILE, saved)


def load_student(folder: Path) -> tuple[Student, SavedStudent]:
    """Read a student (in evaluation mode) and what stands beside its weights."""
    saved = SavedStudent.load(folder / CONFIG_FILE)
    student = Student(saved.name, saved.stride, saved.frames, saved.spec, saved.layers)
    again = f"delete {folder} and run: python -m student --run {folder.parent}"
    student.load_state_dict(load_tensors(folder / WEIGHTS_FILE, again))
    return student.eval(), saved


def published(name: str, weights: str) -> Published | None:
    """Say which published weights a student asks for; None for "random".

    weights: "imagenet" for timm's own on the model hub, else a safetensors file or a folder with model.safetensors.
    """
    if weights == "random":
        return None
    if weights != "imagenet":
        return Published(name, "", Path(weights))
    import timm

    return Published(name, timm.get_pretrained_cfg(name).hf_hub_id)


def load_imagenet(student: Student, first: FirstWeights) -> str | None:
    """Start the body from published weights; return None, or the warning to record when it stays random."""
    if not first.place:
        reason = f"ImageNet weights could not be had: {first.reason}; give --weights FILE.safetensors"
        return standing_warnings.of_random_start("student", student.name, reason)
    _adopt(student.body, Path(first.place))
    return None


def _adopt(body: nn.Module, path: Path) -> None:
    """Copy published weights into a one-channel body; RunError unless every tensor of the body is found and fits."""
    found = load_tensors(path)
    if _STEM in found and found[_STEM].shape[1] == 3:
        found[_STEM] = found[_STEM].sum(1, keepdim=True)  # a grey picture shown to all three channels
    # Refused rather than loaded in part: a network that is half random trains, and nobody sees why it is worse.
    wanted = body.state_dict()
    lacking = sorted(name for name, tensor in wanted.items() if name not in found or found[name].shape != tensor.shape)
    if lacking:
        raise RunError(
            f"{path}: {len(lacking)} of {len(wanted)} tensors are missing or of another shape, first {lacking[0]}; is "
            "this file for another network?"
        )
    body.load_state_dict({name: found[name] for name in wanted})
