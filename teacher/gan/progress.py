"""Pictures of an adversarial training on its way: a sheet of samples every few epochs, the curves at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from teacher.gan import plots
from teacher.gan.training_songs import LANDMARKS

if TYPE_CHECKING:
    from pathlib import Path

    from teacher.gan.model import Generator
    from teacher.gan.train import GanTraining
    from teacher.gan.turns import TurnRecord


def sample_sheet(generator: Generator, device: torch.device, seed: int, rows: int = 2) -> Tensor:
    """Draw the landmarks' spectrograms [rows * landmarks, 1, M, T], each row from the same noise in every epoch."""
    rng = np.random.default_rng([seed, rows])
    noise = np.repeat(rng.standard_normal((rows, generator.latent), np.float32), len(LANDMARKS), 0)
    # A row per noise, a column per emotion: along a row only the condition changes, down a column only the noise.
    conditions = np.tile(np.array(list(LANDMARKS.values()), np.float32), (rows, 1))
    with torch.no_grad():
        mels: Tensor = generator(torch.from_numpy(noise).to(device), torch.from_numpy(conditions).to(device))
    return mels.cpu()


def draw_progress(training: GanTraining, turns: list[TurnRecord], epoch: int, folder: Path) -> None:
    """Draw the curves after the last epoch, and a sheet of samples every few epochs."""
    config, pictures = training.config, folder / "plots"
    pictures.mkdir(parents=True, exist_ok=True)
    last = epoch + 1 == config.epochs
    if last or (epoch + 1) % config.plot_epochs == 0:
        mels = sample_sheet(training.generator, training.accelerator.device, training.seed)
        path = pictures / f"samples-epoch-{epoch + 1:03d}.png"
        plots.sheet(mels.numpy()[:, 0], list(LANDMARKS), f"generator after epoch {epoch + 1}", path)
    if last:
        plots.training_curves(turns, training.steps, pictures / "training.png")
