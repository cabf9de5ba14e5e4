"""MSD_musicnn as the backbone of a teacher that learns: windows of levels in, features of a song out.

Features [F] are the units below the tags and the tags' logits, averaged over a song's windows and standardised by the
training songs: those that a student of the frozen network is shown, at the scale that heads learn from.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from teacher.musicnn.network import Musicnn, MusicnnOutput

_LARGEST = 6.0
"""Deviations at which a feature is cut off: what learnt layers make of an odd window must not carry a song."""
_CONSTANT = 1e-4
"""Deviation below which a feature is constant, and says nothing."""


class MusicnnBackbone(nn.Module):
    """The network behind the interface of the teacher's other backbones."""

    def __init__(self, network: Musicnn, source: str = "") -> None:
        """Wrap a network; source: where its weights came from, in a phrase."""
        super().__init__()
        self.network, self.source = network, source
        self.width = network.units + network.tags.out_features
        self.centre: Tensor
        self.factor: Tensor
        self.register_buffer("centre", torch.zeros(self.width))
        self.register_buffer("factor", torch.ones(self.width))

    @property
    def layers(self) -> list[nn.Module]:
        """Five layers, first to last: shaped kernels, three convolutions in time, and all behind the pooling."""
        network = self.network
        shaped = nn.ModuleList([network.input_norm, *network.blocks])
        dense = nn.ModuleList([network.pool_norm, network.dense, network.dense_norm, network.tags])
        return [shaped, *network.middle, dense]

    @property
    def final_norm(self) -> nn.Module | None:
        """None: the norms belong to their layers."""
        return None

    def standardise_by(self, features: Tensor) -> None:
        """Take centre and factor from the features [N, F] of training songs, as they are before `standard`."""
        deviation = features.std(0, correction=0)
        self.centre.copy_(features.mean(0))
        # A factor rather than a divisor: that of a constant feature is 0, and averages of weights stay finite.
        self.factor.copy_(torch.where(deviation > _CONSTANT, 1 / deviation, 0.0))

    def standard(self, features: Tensor) -> Tensor:
        """Standardise features [B, F] that were averaged over windows."""
        return ((features - self.centre) * self.factor).clamp(-_LARGEST, _LARGEST)

    def forward(self, windows: Tensor) -> Tensor:
        """Compute the features [B, F] of songs from K windows of levels each, [B, K, T, M]."""
        found: MusicnnOutput = self.network(windows.flatten(0, 1))
        named = torch.cat([found.penultimate, found.tags], 1)  # [B K, F]
        return self.standard(named.unflatten(0, windows.shape[:2]).mean(1))
