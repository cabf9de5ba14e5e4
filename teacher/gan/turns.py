"""The record of the adversarial training: a line of metrics.jsonl for each turn of the two networks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TurnRecord:
    """One turn of the game: a line of metrics.jsonl."""

    epoch: int
    """From 0."""
    step: int
    """Number of the turn in its epoch, from 0."""
    discriminator_loss: float
    """Binary cross-entropy of its last step."""
    generator_loss: float
    """Binary cross-entropy of its last step, without the feature distance."""
    feature_distance: float | None
    """Distance of mean features, of the last step; None without feature matching."""
    spectral_distance: float | None
    """Distance of real and generated bands, of the last step; None without a spectral loss."""
    gradient_penalty: float
    """Squared gradient of the discriminator on real clips, in its first step; 0 where R1 was not due."""
    loss_ratio: float
    """The generator's loss over the discriminator's."""
    accuracy_real: float
    """Share of real clips that the discriminator took for real, in its last step."""
    accuracy_fake: float
    """Share of generated clips that it took for generated."""
    discriminator_steps: int
    generator_steps: int
    """Optimiser steps of each network in this turn."""
