"""The conditional GAN: sizes, attention, spectral norm, losses, balance, leaks, accumulation and resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor, nn

from pocketmood.data.clips import ClipStore
from pocketmood.data.split import Split
from pocketmood.errors import ConfigError, DataError, RunError
from pocketmood.training.history import HISTORY, read_records
from teacher.gan import progress, train
from teacher.gan.adversary import Adversary, Balance, Lesson, Pair, discriminator_loss
from teacher.gan.config import PRESETS, GanConfig
from teacher.gan.model import ChannelAttention, Discriminator, Generator, load_generator
from teacher.gan.training_songs import LANDMARKS, TrainingSongs, draw_conditions
from teacher.gan.turns import TurnRecord

TINY = GanConfig(
    latent=6, embedding=4, width=2, batch_size=2, accumulation=2, epochs=2, steps_per_epoch=1, feature_matching=1.0,
    instance_noise=0.1, learning_rate=1e-3, plot_epochs=2, quality_clips=8,
)  # fmt: skip


def data(run: Path) -> tuple[ClipStore, Split]:
    return ClipStore.open(run / "data" / "store"), Split.load(run / "data" / "split.json")


def small_discriminator(seed: int = 0) -> Discriminator:
    torch.manual_seed(seed)
    return Discriminator(width=2, embedding=4, bands=32)


def random_pairs(count: int, seed: int = 1) -> Pair:
    maker = torch.Generator().manual_seed(seed)
    mel = (count, 1, 32, 48)
    shapes = (mel, (count, 2), mel, (count, 2))
    return Pair(*(torch.rand(shape, generator=maker) * 2 - 1 for shape in shapes))


@pytest.mark.parametrize("upsampling", ["transpose", "resize"])
def test_generator_draws_exactly_the_front_ends_size(upsampling: str) -> None:
    torch.manual_seed(0)
    generator = Generator(latent=8, embedding=4, width=2, upsampling=upsampling)
    with torch.no_grad():
        mel = generator(torch.randn(2, 8), torch.rand(2, 2))
    assert mel.shape == (2, 1, 128, 1292)
    assert float(mel.abs().max()) <= 1


def test_generator_refuses_sizes_that_doubling_cannot_reach() -> None:
    with pytest.raises(RunError, match="100 x 1292"):
        Generator(bands=100)
    with pytest.raises(RunError, match="128 x 1291"):
        Generator(frames=1291)


def test_generator_follows_its_condition_and_keeps_clips_apart() -> None:
    torch.manual_seed(0)
    generator = Generator(8, 4, 2, bands=32, frames=48)
    noise = torch.randn(2, 8)
    with torch.no_grad():
        both = generator(noise, torch.tensor([[0.5, 0.5], [-0.5, 0.1]]))
        first = generator(noise[:1], torch.tensor([[0.5, 0.5]]))
        other = generator(noise[:1], torch.tensor([[-0.5, 0.5]]))
    torch.testing.assert_close(both[:1], first, rtol=1e-5, atol=1e-6)
    assert float((first - other).abs().max()) > 1e-3


def test_generator_starts_from_the_mean_spectrum() -> None:
    generator = Generator(8, 4, 2, bands=32, frames=48)
    nn.init.zeros_(generator.image.conv.weight)
    nn.init.zeros_(generator.image.conv.bias)
    means = torch.linspace(-1, 0.8, 32)  # -1 has no finite inverse tanh: it is approached
    generator.start_from(means)
    with torch.no_grad():
        mel = generator(torch.randn(3, 8), torch.rand(3, 2))
    torch.testing.assert_close(mel, means[None, None, :, None].expand_as(mel), rtol=0, atol=2e-3)


def test_channel_attention_equals_its_slow_twin() -> None:
    torch.manual_seed(0)
    attention = ChannelAttention(16)
    x = torch.randn(2, 16, 3, 5)

    def mlp(values: Tensor) -> Tensor:
        first, _, second = attention.mlp
        return torch.relu(values @ first.weight.T + first.bias) @ second.weight.T + second.bias

    wanted = torch.empty_like(x)
    for clip in range(2):
        average = torch.tensor([float(x[clip, channel].mean()) for channel in range(16)])
        most = torch.tensor([float(x[clip, channel].max()) for channel in range(16)])
        wanted[clip] = x[clip] * torch.sigmoid(mlp(average) + mlp(most))[:, None, None]
    torch.testing.assert_close(attention(x), wanted, rtol=1e-5, atol=1e-6)


def test_discriminator_has_spectral_norm_on_every_layer() -> None:
    network = small_discriminator()
    layers = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    assert len(layers) == 2 + 4 + 1
    for _ in range(100):
        network.advance()
    for layer in layers:
        largest = np.linalg.norm(layer.weight.detach().flatten(1).numpy(), 2)
        np.testing.assert_allclose(largest, 1.0, rtol=2e-2, atol=0)


def test_only_advance_moves_the_power_iteration() -> None:
    network = small_discriminator().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pair = random_pairs(2)
    network(pair.real, pair.real_condition)
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    network.advance()
    assert any(not torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_the_condition_enters_as_a_second_channel() -> None:
    network = small_discriminator()
    assert network.layers[0].in_channels == 2
    pair = random_pairs(2)
    with torch.no_grad():
        a, _ = network(pair.real, torch.tensor([[0.9, 0.9]] * 2))
        b, _ = network(pair.real, torch.tensor([[-0.9, -0.9]] * 2))
    assert a.shape == (2,)
    assert float((a - b).abs().min()) > 1e-6


class GivenLogits(nn.Module):
    """Gives the first value of each clip."""

    def forward(self, mel: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        return mel[:, 0, 0, 0], mel


def test_discriminator_loss_by_hand() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([-3.0, 0.5])
    nothing = torch.zeros(2, 2)
    pair = Pair(real.reshape(2, 1, 1, 1), nothing, fake.reshape(2, 1, 1, 1), nothing)
    loss, facts = discriminator_loss(GivenLogits(), pair)
    # softplus(-logit) for real clips, softplus(logit) for generated ones
    wanted = np.mean([np.log1p(np.exp(-2.0)), np.log1p(np.exp(1.0)), np.log1p(np.exp(-3.0)), np.log1p(np.exp(0.5))])
    np.testing.assert_allclose(float(loss), wanted, rtol=1e-6, atol=0)
    np.testing.assert_allclose(facts[1:], [0.5, 0.5], rtol=0, atol=0)


def test_judge_is_lower_for_more_convincing_clips_and_leaves_the_network_alone() -> None:
    adversary = Adversary(small_discriminator(), Accelerator(), 1e-3, 1.0)
    pair = random_pairs(3)
    fake = pair.fake.requires_grad_()
    terms = adversary.judge(fake, pair.fake_condition, (pair.real, pair.real_condition))
    (terms["adversarial"] + terms["features"]).backward()
    assert fake.grad is not None and float(fake.grad.abs().max()) > 0
    assert all(parameter.grad is None for parameter in adversary.network.parameters())
    nearer = fake.detach() - 5 * fake.grad / fake.grad.norm()
    assert adversary.judge(nearer, pair.fake_condition)["adversarial"].item() < terms["adversarial"].item()


def test_accumulated_passes_equal_one_big_batch() -> None:
    pair = random_pairs(4)
    states = []
    for parts in ([slice(0, 4)], [slice(0, 2), slice(2, 4)]):
        adversary = Adversary(small_discriminator(), Accelerator(), 1e-3, 1.0)
        # Plain descent shows the gradient itself; Adam's first step would only show its sign.
        adversary.optimizer = torch.optim.SGD(adversary.network.parameters(), lr=1.0)
        lesson = adversary.train((Pair(*(values[part] for values in pair)) for part in parts), len(parts))
        states.append((lesson, adversary.network.state_dict()))
    (one, whole), (two, halves) = states
    np.testing.assert_allclose(one, two, rtol=1e-6, atol=0)
    for name, value in whole.items():
        torch.testing.assert_close(halves[name], value, rtol=1e-5, atol=1e-6)


def test_balance_has_three_regimes() -> None:
    balance = Balance(weak=0.6, strong=0.95, most=3)
    assert [balance.again(0.59, taken) for taken in (1, 2, 3)] == [True, True, False]
    assert not balance.again(0.6, 1) and not balance.again(0.96, 1)
    assert [balance.generator_steps(accuracy) for accuracy in (0.3, 0.95, 0.96)] == [1, 1, 1]
    assert Balance(catch_up=2).generator_steps(0.96) == 2
    assert Balance(catch_up=2).generator_steps(0.95) == 1


class ScriptedAdversary:
    """Reports the accuracies that it is given, and judges by loudness."""

    def __init__(self, accuracies: list[float]) -> None:
        self.accuracies = accuracies
        self.optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)

    def train(self, pairs: Any, passes: int, r1: float = 0.0) -> Lesson:
        assert len(list(pairs)) == passes
        accuracy = self.accuracies.pop(0)
        return Lesson(0.5, accuracy, accuracy)

    def judge(self, fake: Tensor, condition: Tensor, real: Any = None) -> dict[str, Tensor]:
        return {"adversarial": fake.mean()}


def test_a_turn_takes_the_steps_that_the_balance_allows(tiny_run: Path) -> None:
    config = replace(TINY, steps_per_epoch=4, catch_up_steps=2, accumulation=1, feature_matching=0.0)
    training = train.GanTraining(TrainingSongs(*data(tiny_run)), config, Accelerator(), 0)
    training.adversary = ScriptedAdversary([0.5, 0.5, 0.5, 0.5, 0.8, 0.7, 0.99])  # type: ignore[assignment]
    rows = training.epoch(1)
    assert [row.discriminator_steps for row in rows] == [3, 2, 1, 1]
    assert [row.generator_steps for row in rows] == [1, 1, 1, 2]
    # Both rates fall by the decay, and the adversary's is half the generator's.
    np.testing.assert_allclose(training.optimizer.param_groups[0]["lr"], 1e-3 * 0.99, rtol=1e-12, atol=0)
    np.testing.assert_allclose(training.adversary.optimizer.param_groups[0]["lr"], 5e-4 * 0.99, rtol=1e-12, atol=0)


def test_conditions_follow_the_songs_unless_uniform() -> None:
    labels = np.tile(np.array([[0.5, -0.4], [-0.3, 0.97]], np.float32), (50, 1))
    rng = np.random.default_rng(0)
    drawn = draw_conditions(labels, 400, "density", 0.05, rng)
    nearest = np.abs(drawn[:, None] - labels[None, :2]).max(2).min(1)
    assert drawn.shape == (400, 2) and np.abs(drawn).max() <= 1
    assert nearest.max() < 0.25 and nearest.mean() > 0.02
    flat = draw_conditions(labels, 400, "uniform", 0.05, rng)
    np.testing.assert_allclose(flat.mean(0), 0, rtol=0, atol=0.1)
    np.testing.assert_allclose(flat.std(0), 3**-0.5, rtol=0.1, atol=0)


def test_the_generator_never_sees_held_out_songs(tiny_run: Path) -> None:
    store, split = data(tiny_run)
    songs = TrainingSongs(store, split)
    for part in (split.validation, split.test):
        with pytest.raises(DataError, match=f"'{part[0]}' is not in the training part"):
            songs.mels([split.train[0], part[0]])
    with pytest.raises(DataError, match="held out too"):
        TrainingSongs(store, replace(split, train=(*split.train, split.test[0])))
    synthetic = replace(store.clips[0], synthetic=True)
    store.clips[0] = synthetic
    with pytest.raises(DataError, match="synthetic"):
        TrainingSongs(store, split)
    store.clips[0] = replace(synthetic, synthetic=False, label=None)
    with pytest.raises(DataError, match="without a rating"):
        TrainingSongs(store, split)


def test_presets_hold_the_recipes_numbers() -> None:
    full = PRESETS["full"]
    wanted = {"latent": 100, "batch_size": 24, "accumulation": 2, "epochs": 10, "clip": 1.0, "decay": 0.99}
    assert {name: getattr(full, name) for name in wanted} == wanted
    assert (full.discriminator_rate, full.weak, full.strong, full.most_discriminator_steps) == (0.5, 0.6, 0.95, 3)
    assert (full.min_quality, full.conditions) == (50, "density")
    assert set(PRESETS) == {"full", "streamlined", "demo", "smoke"}
    with pytest.raises(ConfigError, match="batch_size is 0"):
        GanConfig(batch_size=0)
    with pytest.raises(ConfigError, match=r"weak 0\.99"):
        GanConfig(weak=0.99)


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.slow
def test_a_killed_training_ends_like_an_uninterrupted_one(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, split = data(tiny_run)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    record = train.train(store, split, TINY, whole, seed=3)
    play = train.GanTraining.epoch

    def die_in_the_second(self: train.GanTraining, epoch: int) -> list[TurnRecord]:
        rows = play(self, epoch)
        if epoch == 1:
            raise KilledError
        return rows

    monkeypatch.setattr(train.GanTraining, "epoch", die_in_the_second)
    with pytest.raises(KilledError):
        train.train(store, split, TINY, killed, seed=3)
    assert len(read_records(killed, TurnRecord)) == 1
    monkeypatch.setattr(train.GanTraining, "epoch", play)
    assert train.train(store, split, TINY, killed, seed=3) == record
    assert (killed / HISTORY).read_bytes() == (whole / HISTORY).read_bytes()
    wanted = load_file(whole / "generator.safetensors")
    found = load_file(killed / "generator.safetensors")
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    kinds = {path.suffix for path in killed.rglob("*") if path.is_file()}
    assert kinds == {".safetensors", ".json", ".jsonl", ".png"}
    assert [path.name for path in (killed / "checkpoints").iterdir()] == ["step-00000002"]
    generator, saved = load_generator(killed)
    assert saved.songs == 16 and generator.latent == TINY.latent
    assert progress.sample_sheet(generator, torch.device("cpu"), 0).shape == (2 * len(LANDMARKS), 1, 128, 1292)
