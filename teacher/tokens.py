"""A transformer encoder over spectrogram patches: what the hybrid (`vit.py`) and the baseline (`ast.py`) share.

Conventions: patches are a map [B, W, M / 16, T / 16], tokens [B, N, W]; 16 is `PATCH`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from teacher.config import PATCH


class TokenEncoder(nn.Module):
    """Learnt positions, pre-norm transformer layers and a final norm; the subclass makes patches and pools tokens.

    Its subclass calls `add_positions` and `add_layers` where their parameters belong in its own order: initial weights
    are drawn in the order of construction, so that order is part of what a seed means.
    """

    frequency: nn.Parameter
    time: nn.Parameter
    blocks: nn.ModuleList
    norm: nn.LayerNorm
    width: int
    """Length of the pooled features: two poolings of W side by side."""

    def add_positions(self, width: int, bands: int, period: int) -> None:
        """Add one learnt vector per band of patches, and `period` in time, which repeat."""
        # .02 is the usual deviation of learnt positions (ViT, BERT): small beside a normalised token.
        self.frequency = nn.Parameter(torch.randn(1, width, bands // PATCH, 1) * 0.02)
        self.time = nn.Parameter(torch.randn(1, width, 1, period) * 0.02)

    def add_layers(self, width: int, count: int, heads: int, inner: int, dropout: float) -> None:
        """Add `count` layers whose MLP has `inner` units, and the final norm."""
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, inner, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(count)
        )
        self.norm = nn.LayerNorm(width)
        self.width = 2 * width

    def placed(self, patches: Tensor) -> Tensor:
        """Add its position to every patch of a map [B, W, M / 16, T / 16] of any length."""
        # Positions in time repeat after a training crop: a whole clip is longer, and none of its places may meet a
        # position that no crop has trained.
        repeats = -(-patches.shape[3] // self.time.shape[3])
        return patches + self.frequency + self.time.repeat(1, 1, 1, repeats)[..., : patches.shape[3]]

    def encode(self, tokens: Tensor) -> Tensor:
        """Run tokens [B, N, W] through all layers and the final norm."""
        for block in self.blocks:
            tokens = block(tokens)
        normed: Tensor = self.norm(tokens)
        return normed

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer layers, first to last."""
        return self.blocks

    @property
    def final_norm(self) -> nn.Module:
        """The norm above the last layer."""
        return self.norm
