"""An audio spectrogram transformer from scratch (after Gong et al. 2021): the baseline beside the hybrid and ViT-B.

Conventions: input is the front end's spectrogram [B, 1, M, T] in [-1, 1], -1 being its silence. One token stands for
16 x 16 of its values. Nothing overlaps: that is less than half the tokens of the published stride of 10, and keeps a
whole clip at every frame (8 x 81 tokens) affordable.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PATCH = 16
"""Bands and frames of a patch."""
SILENCE = -1.0
"""What the front end answers for no sound."""


class Ast(nn.Module):
    """A transformer on patches of a spectrogram; [B, 1, M, T] -> [B, 2 * width], for any T.

    The answer is the class token and the mean of all others, side by side: the mean gives every patch a gradient from
    the first step, which a few hundred songs need, and the class token may weigh patches, which a mean cannot.
    """

    def __init__(self, width: int, layers: int, heads: int, bands: int, period: int, dropout: float) -> None:
        """Build `layers` pre-norm layers; `period` time positions are learnt and repeat, as in the hybrid."""
        super().__init__()
        self.patches = nn.Conv2d(1, width, PATCH, stride=PATCH)
        self.frequency = nn.Parameter(torch.randn(1, width, bands // PATCH, 1) * 0.02)
        self.time = nn.Parameter(torch.randn(1, width, 1, period) * 0.02)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.width = 2 * width

    def forward(self, mel: Tensor) -> Tensor:
        """Pool the tokens of a spectrogram, whose last patch is filled up with silence."""
        x = self.patches(nn.functional.pad(mel, (0, -mel.shape[3] % PATCH), value=SILENCE))  # [B, W, M / 16, T / 16]
        repeats = -(-x.shape[3] // self.time.shape[3])
        x = x + self.frequency + self.time.repeat(1, 1, 1, repeats)[..., : x.shape[3]]
        tokens = torch.cat([self.token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)  # [B, 1 + tokens, W]
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1)

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer layers, first to last."""
        return self.blocks

    @property
    def final_norm(self) -> nn.Module:
        """The norm above the last layer."""
        return self.norm
