"""An audio spectrogram transformer from scratch (after Gong et al. 2021): the baseline beside the hybrid and ViT-B.

Conventions: input is the front end's spectrogram [B, 1, M, T] in [-1, 1], -1 being its silence. One token stands for
16 x 16 of its values. Nothing overlaps: that is less than half the tokens of the published stride of 10, and keeps a
whole clip at every frame (8 x 81 tokens) affordable.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from teacher.config import PATCH
from teacher.tokens import TokenEncoder

SILENCE = -1.0
"""The front end's value where there is no sound."""


class Ast(TokenEncoder):
    """A transformer on patches of a spectrogram; [B, 1, M, T] -> [B, 2 * width], for any T.

    Features are the class token and the mean of all others, side by side: the mean gives every patch a gradient from
    the first step, which a few hundred songs need, and the class token may weigh patches, which a mean cannot.
    """

    def __init__(self, width: int, layers: int, heads: int, bands: int, period: int, dropout: float) -> None:
        """Build `layers` pre-norm layers; `period` time positions are learnt and repeat, as in the hybrid."""
        super().__init__()
        self.patches = nn.Conv2d(1, width, PATCH, stride=PATCH)
        self.add_positions(width, bands, period)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.add_layers(width, layers, heads, 4 * width, dropout)  # the published ratio of 4

    def forward(self, mel: Tensor) -> Tensor:
        """Pool the tokens of a spectrogram, whose last patch is filled up with silence."""
        x = self.patches(nn.functional.pad(mel, (0, -mel.shape[3] % PATCH), value=SILENCE))  # [B, W, M / 16, T / 16]
        patches = self.placed(x).flatten(2).transpose(1, 2)
        tokens = self.encode(torch.cat([self.token.expand(len(x), -1, -1), patches], 1))  # [B, 1 + tokens, W]
        return torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1)
