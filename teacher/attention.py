"""Attention rollout (Abnar & Zuidema 2020): from which parts of a spectrogram a teacher's features are mixed.

Conventions: the attention of a layer is [B, H, N, N], H heads, N tokens: row i holds the weights with which token i
takes from all tokens; rows sum to 1. A layer's output is its input plus what attention brings, so half of a token stays
what it was: (A + I) / 2, A the mean over heads. The product over layers tells how much of each first token is in each
last one; rows sum to 1 as well. `readout` [B, N] says how the last tokens are pooled to features.

Limits: values, MLPs and the sign of what a part contributes are left out, so a bright part was looked at, no more. A
token of the hybrid begins as 46 x 46 values of the spectrogram, the field of its stem, not as 16 x 16.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from teacher.ast import Ast
from teacher.config import PATCH
from teacher.pretrained import ImageVit, Pretrained

if TYPE_CHECKING:
    from teacher.vit import Teacher, TeacherOutput


class Attention(NamedTuple):
    """A forward pass of a teacher, with what its tokens took from each other."""

    output: TeacherOutput
    """The predictions."""
    layers: list[Tensor]
    """[B, H, N, N] per layer, first to last."""
    readout: Tensor
    """[B, N], rows sum to 1: the weights with which the last tokens are pooled to features."""
    grid: tuple[int, int]
    """Rows (bands, low ones first) and columns (time) of the patches, which are the last tokens of N."""

    def relevance(self) -> Tensor:
        """Return each patch's share in the features [B, rows, columns]; the shares of a clip sum to 1."""
        shares = torch.einsum("bn,bnm->bm", self.readout, rollout(self.layers))
        patches = shares[:, shares.shape[1] - self.grid[0] * self.grid[1] :]
        # What the class token kept of itself is no part of the spectrogram.
        return (patches / patches.sum(1, keepdim=True)).reshape(-1, *self.grid)


def rollout(layers: Sequence[Tensor]) -> Tensor:
    """Multiply the layers' attention [B, H, N, N], each averaged over heads and with the identity: [B, N, N]."""
    identity = torch.eye(layers[0].shape[-1], device=layers[0].device)
    total = identity.expand(len(layers[0]), -1, -1)
    for weights in layers:
        mixed = (weights.mean(1) + identity) / 2
        # Rows sum to 1 already, but for the rounding of half precision.
        total = mixed / mixed.sum(2, keepdim=True) @ total
    return total


def attend(teacher: Teacher, mel: Tensor) -> Attention:
    """Predict for spectrograms [B, 1, M, T] in evaluation mode, and keep what every layer attended to."""
    teacher.eval()
    with torch.no_grad(), _recording(teacher) as (layers, last):
        output = teacher(mel)
    return Attention(output, layers, _readout(teacher, last[0]), _grid(teacher, mel))


@contextmanager
def _recording(teacher: Teacher) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Collect attention weights layer by layer, and the normed tokens [B, N, W] behind the last layer."""
    backbone, weights, last = teacher.backbone, list[Tensor](), list[Tensor]()

    def from_input(block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        # torch's layer throws its weights away: the same module computes them once more from the same input.
        layer = cast("nn.TransformerEncoderLayer", block)
        x = layer.norm1(inputs[0])
        weights.append(layer.self_attn(x, x, x, need_weights=True, average_attn_weights=False)[1])

    def from_output(_: nn.Module, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        weights.append(output[1])

    # All that have attention have the norm behind it.
    norm = cast("nn.Module", backbone.final_norm)
    handles = [norm.register_forward_hook(lambda _, inputs, output: last.append(output))]
    before = ""
    if isinstance(backbone, Pretrained):
        # Fused attention has no weights to give; "eager" computes them one by one. Same function, other rounding.
        before = backbone.config._attn_implementation
        cast("Any", backbone.backbone).set_attn_implementation("eager")
        handles += [cast("Any", layer).attention.register_forward_hook(from_output) for layer in backbone.layers]
    else:
        handles += [layer.register_forward_pre_hook(from_input) for layer in backbone.layers]
    try:
        yield weights, last
    finally:
        for handle in handles:
            handle.remove()
        if isinstance(backbone, Pretrained):
            cast("Any", backbone.backbone).set_attn_implementation(before)


def _readout(teacher: Teacher, tokens: Tensor) -> Tensor:
    """Say how the last tokens [B, N, W] are pooled to features: weights [B, N]."""
    backbone, (batch, count, _) = teacher.backbone, tokens.shape
    first = nn.functional.one_hot(torch.zeros(batch, dtype=torch.long, device=tokens.device), count).float()
    if isinstance(backbone, ImageVit):
        return first
    if isinstance(backbone, Pretrained):  # mean of class and distillation token
        return (first + first.roll(1, 1)) / 2
    if isinstance(backbone, Ast):  # class token, and the mean of all others
        return (first + (1 - first) / (count - 1)) / 2
    # Mean and maximum of all tokens: a maximum takes each of its W values from one of them.
    maxima = nn.functional.one_hot(tokens.argmax(1), count).float().mean(1)
    return (maxima + 1 / count) / 2


def _grid(teacher: Teacher, mel: Tensor) -> tuple[int, int]:
    """Return rows and columns of the patches of spectrograms [B, 1, M, T]."""
    backbone = teacher.backbone
    if isinstance(backbone, ImageVit):
        side = backbone.size // backbone.config.patch_size
        return side, side
    if isinstance(backbone, Pretrained):
        rows, columns = cast("Any", backbone.backbone).embeddings.get_shape(backbone.config)
        return rows, columns
    # The stem halves four times and drops a rest; `Ast` pads the last patch.
    return mel.shape[2] // PATCH, (-(-mel.shape[3] // PATCH) if isinstance(backbone, Ast) else mel.shape[3] // PATCH)
