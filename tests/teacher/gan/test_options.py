"""Options of the GAN beside the recipe: R1, projection, spectral loss, first bands, carried steps; each continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from pocketmood.errors import ConfigError, RunError
from teacher.gan import train
from teacher.gan.adversary import Adversary, Balance, Pair, gradient_penalty
from teacher.gan.config import GanConfig
from teacher.gan.model import Discriminator, Generator
from teacher.gan.spectral import RESOLUTIONS, spectral_distance
from tests.teacher.gan.test_gan import ScriptedAdversary, random_pairs, small_discriminator

TINY = GanConfig(
    latent=6, embedding=4, width=2, batch_size=2, accumulation=2, epochs=2, steps_per_epoch=2, learning_rate=1e-3,
    quality_clips=8,
)  # fmt: skip


class FewSongs:
    """Training songs of 96 frames, made up: what is tested here does not depend on their length."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.ids = list("abcdef")
        self.labels = rng.uniform(-1, 1, (6, 2)).astype(np.float32)
        self.kept = torch.from_numpy(rng.uniform(-1, 1, (6, 1, 128, 96)).astype(np.float32))
        self.front = SimpleNamespace(
            spec=SimpleNamespace(bands=128, samples=96, frames=lambda samples: samples, hash="x")
        )

    def mels(self, ids: Sequence[str]) -> Tensor:
        return self.kept[[self.ids.index(id_) for id_ in ids]]

    def band_means(self, most: int, seed: int) -> Tensor:
        return self.kept.mean((0, 1, 3))


SONGS: Any = FewSongs()


class Parabola(nn.Module):
    """Judges x by a |x|^2 / 2, whose gradient is a x."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def advance(self) -> None:
        """Has no power iteration."""

    def forward(self, mel: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        return self.a * mel.square().flatten(1).sum(1) / 2, mel


def test_r1_equals_its_closed_form_and_so_does_its_gradient() -> None:
    real = torch.tensor([[1.0, 2.0], [0.0, -3.0]]).reshape(2, 1, 1, 2)
    network = Parabola(0.5)
    penalty = gradient_penalty(network, real, torch.zeros(2, 2))
    # |a x|^2 = a^2 |x|^2, mean of 5 and 9 times a quarter; its slope by a: 2 a times the mean of 5 and 9.
    np.testing.assert_allclose(penalty.item(), 0.25 * 7, rtol=1e-6, atol=0)
    penalty.backward()
    assert network.a.grad is not None
    np.testing.assert_allclose(network.a.grad.item(), 2 * 0.5 * 7, rtol=1e-6, atol=0)


def test_a_step_adds_half_the_weighted_penalty_over_all_passes() -> None:
    real = torch.tensor([1.0, 2.0, 0.0, -3.0]).reshape(4, 1, 1, 1)
    nothing = torch.zeros(4, 2)
    found = {}
    for r1, passes in ((0.0, 1), (0.3, 1), (0.3, 2)):
        network = Parabola(0.5)
        adversary = Adversary(network, Accelerator(cpu=True), 1e-3, clip=1e6)  # type: ignore[arg-type]
        adversary.optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
        parts = torch.arange(4).chunk(passes)
        pairs = [Pair(real[part], nothing[part], 0.5 * real[part], nothing[part]) for part in parts]
        lesson = adversary.train(pairs, passes, r1)
        found[r1, passes] = (network.a.item(), lesson.penalty)
    squares = (1 + 4 + 0 + 9) / 4
    wanted = found[0.0, 1][0] - 0.3 / 2 * 2 * 0.5 * squares
    for passes in (1, 2):
        np.testing.assert_allclose(found[0.3, passes], (wanted, 0.25 * squares), rtol=1e-5, atol=1e-7)
    assert found[0.0, 1][1] == 0


def test_r1_is_due_every_so_many_turns_and_weighs_as_much_as_all() -> None:
    asked = []

    class Listening(ScriptedAdversary):
        def train(self, pairs: Any, passes: int, r1: float = 0.0) -> Any:
            asked.append(r1)
            return super().train(pairs, passes, r1)

    config = replace(TINY, r1=0.5, r1_every=3, steps_per_epoch=4, accumulation=1)
    training = train.GanTraining(SONGS, config, Accelerator(cpu=True), 0)
    # The second turn repeats, being weak: a repetition is never due.
    training.adversary = Listening([0.8, 0.5, 0.8, 0.8, 0.8])  # type: ignore[assignment]
    training.epoch(1)  # turns 4 to 7; 6 is due
    assert asked == [0.0, 0.0, 0.0, 1.5, 0.0]


def test_projection_adds_the_inner_product_of_features_and_condition() -> None:
    torch.manual_seed(0)
    network = Discriminator(width=2, embedding=4, bands=32, projection=True)
    pair = random_pairs(3)
    with torch.no_grad():
        logits, features = network(pair.real, pair.real_condition)
        judged = network.judge(features)[:, 0]
        assert network.project is not None
        embedded = network.project(pair.real_condition)
    wanted = [float(judged[row] + features[row] @ embedded[row]) for row in range(3)]
    np.testing.assert_allclose(logits.numpy(), wanted, rtol=1e-5, atol=1e-6)
    # The rest is drawn as without it, so that both arms of a comparison begin alike.
    plain = small_discriminator().state_dict()
    assert all(torch.equal(network.state_dict()[name], value) for name, value in plain.items())
    assert len(network._norms()) == 2 + 4 + 1 + 2  # every layer has its spectral norm


@pytest.mark.parametrize(("first_bands", "stages", "seed"), [(4, 5, (8, 4, 41)), (16, 3, (8, 16, 162))])
def test_more_or_fewer_bands_at_first_reach_the_same_size(first_bands: int, stages: int, seed: tuple[int, ...]) -> None:
    generator = Generator(6, 4, 2, stages=stages)
    assert generator.seed_shape == seed
    with torch.no_grad():
        assert generator(torch.randn(1, 6), torch.rand(1, 2)).shape == (1, 1, 128, 1292)
    assert Generator(6, 4, 2).seed_shape == (8, 8, 81)  # the recipe's
    config = replace(TINY, first_bands=first_bands)  # type: ignore[arg-type]  # a literal
    assert train.GanTraining(SONGS, config, Accelerator(cpu=True), 0).generator.options["stages"] == stages


def test_spectral_distance_equals_its_slow_twin() -> None:
    maker = torch.Generator().manual_seed(0)
    fake, real = (torch.rand((3, 1, 2, 40), generator=maker) for _ in range(2))

    def statistics(clip: Any, frames: int) -> list[float]:
        found = []
        for band in clip:
            pooled = [float(np.mean(band[i : i + frames])) for i in range(0, len(band) - frames + 1, frames)]
            changes = [abs(b - a) for a, b in pairwise(pooled)]
            found += [np.mean(pooled), np.std(pooled), np.mean(changes)]
        return found

    gaps = []
    for frames in RESOLUTIONS:
        a, b = ([statistics(clip[0], frames) for clip in batch.numpy()] for batch in (fake, real))
        gaps += [np.abs(np.mean(a, 0) - np.mean(b, 0)).mean(), np.abs(np.std(a, 0) - np.std(b, 0)).mean()]
    np.testing.assert_allclose(spectral_distance(fake, real).item(), np.mean(gaps), rtol=1e-4, atol=1e-6)
    assert spectral_distance(real, real).item() == 0
    # One clip for all has the right mean and no variation; a constant one must not stop the training with a NaN.
    still = torch.zeros_like(fake, requires_grad=True)
    spectral_distance(still, real).backward()
    assert still.grad is not None and bool(still.grad.isfinite().all())


def test_carried_steps_rise_while_weak_and_fall_while_strong() -> None:
    balance = Balance(carry=True)
    accuracies = (0.5, 0.5, 0.5, 0.8, 0.96, 0.96, 0.96)
    carried, found = 1, []
    for accuracy in accuracies:
        found.append(carried := balance.next_carried(accuracy, carried))
    assert found == [2, 3, 3, 3, 2, 1, 1]
    config = replace(TINY, carry_steps=True, steps_per_epoch=4, accumulation=1)
    training = train.GanTraining(SONGS, config, Accelerator(cpu=True), 0)
    training.adversary = ScriptedAdversary([0.5, 0.1, 0.5, 0.9, 0.9, 0.99, 0.7, 0.7])  # type: ignore[assignment]
    assert [row.discriminator_steps for row in training.epoch(0)] == [1, 2, 3, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"r1": 2.0, "r1_every": 3},
        {"projection": True},
        {"spectral": 3.0},
        {"first_bands": 16},
        {"carry_steps": True, "weak": 0.9},
        {"feature_matching": 1.0, "spectral": 1.0, "r1": 1.0, "projection": True},
    ],
    ids=lambda change: "-".join(change),
)
def test_a_killed_training_continues_bit_by_bit_with_each_option(change: dict[str, Any], tmp_path: Path) -> None:
    config, place = replace(TINY, **change), Accelerator(cpu=True)
    whole = train.GanTraining(SONGS, config, place, 3)
    turns = [whole.epoch(0)]
    whole.save(tmp_path / "checkpoints", 1)
    turns.append(whole.epoch(1))

    continued = train.GanTraining(SONGS, config, place, 3)
    assert continued.resume(tmp_path / "checkpoints") == 1
    assert continued.epoch(1) == turns[1]
    for mine, others in ((whole.generator, continued.generator), (whole.adversary, continued.adversary)):
        states = [getattr(part, "network", part).state_dict() for part in (mine, others)]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(turn.gradient_penalty > 0 for turn in turns[0]) is ("r1" in change)
    assert all((turn.spectral_distance is not None) is ("spectral" in change) for turn in turns[0])


def test_an_option_changes_what_is_learnt() -> None:
    def weights(**change: Any) -> Tensor:
        training = train.GanTraining(SONGS, replace(TINY, **change), Accelerator(cpu=True), 3)
        training.epoch(0)
        return training.generator.image.conv.weight.detach()  # type: ignore[union-attr, return-value]

    plain = weights()
    assert not torch.equal(plain, weights(spectral=3.0)) and not torch.equal(plain, weights(r1=100.0))


def test_a_strong_adversary_that_decides_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"strong 0\.9 decides nothing .*--gan\.catch-up-steps 2"):
        GanConfig(strong=0.9)
    assert GanConfig(strong=0.9, catch_up_steps=2).strong == GanConfig(strong=0.9, carry_steps=True).strong == 0.9
    with pytest.raises(ConfigError, match="must not be negative"):
        GanConfig(r1=-1.0)


def test_r1_is_refused_by_several_processes() -> None:
    class Two:
        """Stands for the accelerator of torchrun with two processes."""

        num_processes = 2

    with pytest.raises(RunError, match=r"r1 1\.0 needs one process, not 2"):
        train.GanTraining(SONGS, replace(TINY, r1=1.0), Two(), 0)  # type: ignore[arg-type]
