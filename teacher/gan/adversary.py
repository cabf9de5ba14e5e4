"""The adversary of the generator: a discriminator that learns from pairs and judges how convincing clips are.

Losses are binary cross-entropy on logits. Accuracy is the share of logits on the right side of 0, over real and
generated clips together; it decides who steps next (`Balance`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss

from pocketmood.training.distributed import synchronised

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accelerate import Accelerator

    from teacher.gan.model import Discriminator


class Pair(NamedTuple):
    """Real and generated clips of one pass, each with its emotion."""

    real: Tensor
    """[B, 1, M, T]"""
    real_condition: Tensor
    """[B, D]"""
    fake: Tensor
    """[B, 1, M, T]"""
    fake_condition: Tensor
    """[B, D]"""


class Lesson(NamedTuple):
    """Loss and accuracy of one optimiser step of the adversary, from before the step."""

    loss: float
    accuracy_real: float
    accuracy_fake: float
    penalty: float = 0.0
    """Mean squared gradient on real clips; 0 in a step that was not asked for it."""

    @property
    def accuracy(self) -> float:
        """Share of all clips judged rightly."""
        return (self.accuracy_real + self.accuracy_fake) / 2


@dataclass(frozen=True)
class Balance:
    """The rule for who steps next, from the accuracy of the adversary's last step.

    Below `weak` the adversary steps again, up to `most` times per generator step. Above `strong` it has won for now and
    the generator takes `catch_up` steps (1 in the recipe). Otherwise one step each.

    carry: the number of the adversary's steps goes on from turn to turn instead, one more after a turn below `weak`,
    one fewer after a turn above `strong`.
    """

    weak: float = 0.6
    """Accuracy below which the adversary steps again."""
    strong: float = 0.95
    """Accuracy above which the generator catches up."""
    most: int = 3
    """Most steps of the adversary per step of the generator."""
    catch_up: int = 1
    """Steps of the generator where the adversary is too strong."""
    carry: bool = False
    """Whether the number of steps is kept from turn to turn."""

    def again(self, accuracy: float, taken: int, carried: int = 1) -> bool:
        """Tell whether the adversary, after so many steps, takes another before the generator's turn."""
        return taken < carried if self.carry else accuracy < self.weak and taken < self.most

    def next_carried(self, accuracy: float, carried: int) -> int:
        """Return the adversary's steps of the next turn, where they are carried."""
        if accuracy < self.weak:
            return min(carried + 1, self.most)
        return max(carried - 1, 1) if accuracy > self.strong else carried

    def generator_steps(self, accuracy: float) -> int:
        """Tell how many steps the generator takes before the adversary's next turn."""
        return self.catch_up if accuracy > self.strong else 1


class Adversary:
    """A discriminator with its optimiser, behind two verbs: `train` on pairs, `judge` how convincing clips are."""

    def __init__(
        self, discriminator: Discriminator, accelerator: Accelerator, learning_rate: float, clip: float
    ) -> None:
        """Take a network that is already on the device; gradients are averaged over processes, cut to norm `clip`."""
        self.network, self.accelerator, self.clip = discriminator, accelerator, clip
        # `trained` is the network as several processes wrap it; `network` is the bare one, for judging and saving.
        self.trained: nn.Module = accelerator.prepare_model(discriminator)
        # DCGAN's .5 for the first moment: adversarial training oscillates with the usual .9 (Radford et al. 2016).
        self.optimizer = torch.optim.Adam(discriminator.parameters(), lr=learning_rate, betas=(0.5, 0.999))

    def train(self, pairs: Iterable[Pair], passes: int, r1: float = 0.0) -> Lesson:
        """Take one step on the mean gradient of `passes` pairs, which are made one at a time.

        r1: weight of the squared gradient on real clips in this step; 0 leaves it out.
        """
        self.network.requires_grad_(True)  # `judge` has frozen it
        self.network.advance()

        totals = torch.zeros(4, device=self.accelerator.device)
        for index, pair in enumerate(pairs):
            if r1:
                penalty = gradient_penalty(self.network, pair.real, pair.real_condition)
                self.accelerator.backward(r1 / 2 * penalty / passes)
                totals[3] += penalty.detach() / passes
            with synchronised(self.accelerator, self.trained, index == passes - 1), self.accelerator.autocast():
                loss, facts = discriminator_loss(self.trained, pair)
                self.accelerator.backward(loss / passes)
            totals[:3] += facts / passes

        self.accelerator.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Lesson(*self.accelerator.reduce(totals, "mean").tolist())

    def judge(self, fake: Tensor, condition: Tensor, real: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
        """Return what a generator should lower: "adversarial", and "features" where (real, condition) are given.

        "features" is the distance between the mean features of real and generated clips (Salimans et al. 2016): a goal
        that still has a slope where the adversary is sure of itself. It raised the score of 20 steps from .5 to 2.5.
        """
        # Only the generator is to learn from this: no gradients for, and none left over in, the adversary's weights.
        self.network.requires_grad_(False)
        logits, features = self.network(fake, condition)
        logits = logits.float()
        # "Call it real", the non-saturating loss: minimising log(1 - D) has no slope while the adversary wins.
        terms = {"adversarial": binary_cross_entropy_with_logits(logits, torch.ones_like(logits))}
        if real is not None:
            with torch.no_grad():
                wanted = self.network(*real)[1].float().mean(0)
            terms["features"] = l1_loss(features.float().mean(0), wanted)
        return terms


def discriminator_loss(network: nn.Module, pair: Pair) -> tuple[Tensor, Tensor]:
    """Return the mean loss over real and generated clips, and (loss, accuracy on real, accuracy on fake) detached.

    Both go through the network in one pass: several processes then synchronise once.
    """
    clips = torch.cat([pair.real, pair.fake])
    logits = network(clips, torch.cat([pair.real_condition, pair.fake_condition]))[0].float()
    is_real = torch.zeros_like(logits)
    is_real[: len(pair.real)] = 1
    loss = binary_cross_entropy_with_logits(logits, is_real)
    right = ((logits > 0) == (is_real > 0)).float().detach()
    facts = torch.stack([loss.detach(), right[: len(pair.real)].mean(), right[len(pair.real) :].mean()])
    return loss, facts


def gradient_penalty(network: nn.Module, real: Tensor, condition: Tensor) -> Tensor:
    """Return R1: the mean over clips of the squared norm of the logit's gradient by the clip (Mescheder et al. 2018).

    Near the songs the judgement then stays flat: an adversary that is sure of every real clip pays for it.
    """
    real = real.detach().requires_grad_()
    logits: Tensor = network(real, condition)[0]
    (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return slope.square().flatten(1).sum(1).mean()
