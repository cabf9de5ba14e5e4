"""An adversarial training from outside: its pictures and record, and what follows where memory runs out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from pocketmood.errors import RunError
from pocketmood.runs import fingerprint
from pocketmood.training import memory
from teacher.gan import plots
from teacher.gan.record import GanRecord
from teacher.gan.training_songs import LANDMARKS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from teacher.gan.config import GanConfig
    from teacher.gan.model import Generator
    from teacher.gan.train import GanTraining
    from teacher.gan.turns import TurnRecord

LOSSES = ("discriminator_loss", "generator_loss", "accuracy_real", "accuracy_fake")
"""What a record says of the last epoch, as means over its turns."""


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


def refuse_processes(config: GanConfig, processes: int) -> None:
    """Refuse what several processes cannot train."""
    if config.batch_size % processes:
        raise RunError(f"gan: batch_size {config.batch_size} does not divide by {processes} processes")
    if config.r1 and processes > 1:
        # Its second derivative goes past the wrapper that averages gradients.
        raise RunError(f"gan: r1 {config.r1} needs one process, not {processes}; leave out torchrun")


def what_learns(training: GanTraining) -> str:
    """Count the parameters of both networks in words."""
    networks = (training.generator, training.adversary.network)
    made, judged = (sum(weight.numel() for weight in network.parameters()) for network in networks)
    return f"{made:,d} parameters of the generator and {judged:,d} of the discriminator learn, none are frozen"


def smaller_pass(size: int, config: GanConfig, processes: int) -> int:
    """Return the next smaller pass after one that was too large, and say so; RunError where there is none.

    The largest divisor of the batch that is no more than half: equal passes have the mean gradient of the batch.
    """
    share = config.batch_size // processes
    if size == 1:
        remedy = f"a --gan.width below {config.width}"
        raise memory.too_little("gan", size, remedy)
    half = next(smaller for smaller in range(size // 2, 0, -1) if share % smaller == 0)
    if processes > 1:
        # One that fails in the middle of a step cannot tell the others, who wait for its gradient.
        raise RunError(
            f"gan: memory ran out with {size} clips per pass in one of {processes} processes; train with "
            f"--gan.batch-size {half * processes} --gan.accumulation {config.accumulation * share // half}"
        )
    print(
        f"gan: memory ran out with {size} clips per pass; going on from the last epoch with {half}, "
        f"{share // half} passes for each batch of {share}",
        flush=True,
    )
    return half


def summary(training: GanTraining, turns: list[TurnRecord]) -> GanRecord:
    """Sum a training up."""
    last = [turn for turn in turns if turn.epoch == training.config.epochs - 1]
    names = (*LOSSES, "loss_ratio")
    return record_of(training, turns, {name: float(np.mean([getattr(turn, name) for turn in last])) for name in names})


class Steps(Protocol):
    """What a turn, and an epoch of turns, says of its optimiser steps."""

    @property
    def generator_steps(self) -> int:
        """The generator's."""

    @property
    def discriminator_steps(self) -> int:
        """The discriminator's."""


def record_of(training: GanTraining, played: Sequence[Steps], last_epoch: dict[str, float]) -> GanRecord:
    """Say what a generator was trained with until now: `played` are its turns, or epochs of them."""
    return GanRecord(
        config=training.config,
        seed=training.seed,
        spec_hash=training.songs.front.spec.hash,
        songs=len(training.songs.ids),
        songs_hash=fingerprint(sorted(training.songs.ids)),
        generator_steps=sum(steps.generator_steps for steps in played),
        discriminator_steps=sum(steps.discriminator_steps for steps in played),
        last_epoch=last_epoch,
    )
