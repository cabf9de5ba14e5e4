"""Quantisation-aware training, short: some hundred steps in which the network learns to repeat itself when rounded.

The pipeline that `quantise` would take is prepared by torchao's PT2E flow with fake quantisation in place of observers
(the same operators are rounded: one filter decides for both), and learns, at a small rate, to repeat what it predicts
in float for training clips. No rating and no teacher takes part: a finish can only win back what rounding cost. The
result is an int8 graph like any other, converted, snapped and counted by the same code.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, fx, nn

from export.int8.quantise import Quantised, converted, quantiser
from export.parity_record import Facts
from export.pipeline import Pipeline
from export.rewrite import AveragingLayerNorm
from pocketmood.errors import ExportError

WORTH_FINISHING = 0.01
"""Mean CCC that int8 must cost before a finish is tried."""
RATE = 2e-5
"""Peak of Adam's cosine: 300 steps move a weight by a step or two of its int8 grid."""
CLIPS_PER_STEP = 4
"""Clips whose gradients make one step; they pass one by one, because the program is for one clip."""
RANGE_CLIPS = 48
"""Clips that set the ranges of activations."""


class Clips(Protocol):
    """Waveforms [1, S] by number, each read when it is used."""

    def __len__(self) -> int:
        """Count them."""

    def __getitem__(self, row: int, /) -> Tensor:
        """Return the waveform of one."""


def improve(
    pipeline: Pipeline,
    plain: Quantised,
    clips: Clips,
    score: Callable[[nn.Module], float],
    steps: int,
    left: Collection[str] = (),
) -> tuple[Quantised, Facts]:
    """Train a pipeline to be rounded where its int8 graph `plain` loses more than `WORTH_FINISHING`; else leave it.

    score: the higher the better, on songs that neither trained nor will judge it; left: groups that stay
    float. Returns the better of the two int8 graphs, and what was found.
    """
    wanted = score(pipeline)
    cost = wanted - score(plain.module)
    facts = Facts(int8_cost=cost, qat_steps=0)
    if cost <= WORTH_FINISHING:
        return plain, facts

    print(f"  int8 costs {cost:.3f} of mean CCC on validation: finishing with {steps} steps", flush=True)
    finished, losses = finish(pipeline, clips, steps, left=left)
    after = wanted - score(finished.module)
    facts |= Facts(int8_cost_finished=after, qat_loss_first=losses[0], qat_loss_last=losses[-1])
    # A finish may also lose: on these songs the better graph is known, so the worse one never ships.
    if after >= cost:
        return plain, facts
    return finished, facts | Facts(qat_steps=steps)


def finish(
    pipeline: Pipeline, clips: Clips, steps: int, rate: float = RATE, seed: int = 0, left: Collection[str] = ()
) -> tuple[Quantised, list[float]]:
    """Quantisation-aware training of a pipeline rewritten for XNNPACK: its int8 graph, and the loss of each step.

    clips: waveforms [1, S] to learn on; left: groups that stay float. The loss is the mean squared difference to the
    float pipeline's own predictions, emotion and interval68. The pipeline itself stays as it is.
    """
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

    example = torch.zeros(1, pipeline.spec.samples)
    exported = torch.export.export(copy.deepcopy(pipeline), (example,)).module()
    prepared = prepare_qat_pt2e(exported, quantiser(learning=True, left=left))
    settle(prepared, clips)

    weights = learnable(prepared, pipeline)
    optimiser = torch.optim.Adam(weights.values(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1))
    rng, losses = np.random.default_rng(seed), []
    for _ in range(steps):
        # Gradients of several clips are added up: the exported program has a batch of one and no room for more.
        losses.append(0.0)
        for row in rng.integers(len(clips), size=CLIPS_PER_STEP):
            with torch.no_grad():
                wanted = pipeline(clips[int(row)])
            part = _distance(prepared(clips[int(row)]), wanted) / CLIPS_PER_STEP
            part.backward()  # type: ignore[no-untyped-call, unused-ignore]
            losses[-1] += float(part.detach())
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()

    with torch.no_grad():
        prepared(clips[0])  # the ranges of weights are those before the last step until a forward pass renews them
    for weight in weights.values():
        weight.requires_grad_(False)
    return converted(prepared), losses


def learnable(prepared: nn.Module, pipeline: Pipeline) -> dict[str, nn.Parameter]:
    """Let the network's weights require gradients and return them by name; front end and constant matrices stay."""
    # The averages of a LayerNorm are layers with weights of 1/C: trained, they would be averages no longer.
    constants = {
        f"{path}.{layer}."
        for path, module in pipeline.named_modules()
        if isinstance(module, AveragingLayerNorm)
        for layer in ("mean", "mean_square")
    }
    found = {
        name: parameter
        for name, parameter in prepared.named_parameters()
        if name.startswith("network.") and not any(name.startswith(constant) for constant in constants)
    }
    if not found:
        raise ExportError("the prepared program has no weights under `network`: nothing could learn; export without "
                          "--qat-steps")  # fmt: skip
    for parameter in found.values():
        parameter.requires_grad_(True)
    return found


def settle(prepared: fx.GraphModule, clips: Clips) -> None:
    """Freeze the ranges of activations at their extremes over the first clips; let those of weights follow the weights.

    Left alone, torchao's ranges begin with the first clip and move by a hundredth per clip: for most of a short finish
    the network would learn to live with ranges that its program does not keep.
    """
    from torchao.quantization.pt2e import FusedMovingAvgObsFakeQuantize

    fakes = [module for module in prepared.modules() if isinstance(module, FusedMovingAvgObsFakeQuantize)]
    for fake in fakes:
        fake.activation_post_process.averaging_constant = 1.0  # the latest forward's alone
        fake.disable_fake_quant()

    # Weights are rounded per channel, activations per tensor: that tells the two apart.
    fixed = [fake for fake in fakes if not fake.is_per_channel]
    seen: list[list[tuple[Tensor, Tensor]]] = [[] for _ in fixed]
    with torch.no_grad():
        for row in range(min(len(clips), RANGE_CLIPS)):
            prepared(clips[row])
            for found, fake in zip(seen, fixed, strict=True):
                observer = fake.activation_post_process
                # Copies, because the next clip writes into the same tensors.
                found.append((observer.min_val.clone(), observer.max_val.clone()))
        for found, fake in zip(seen, fixed, strict=True):
            observer = fake.activation_post_process
            observer.min_val.copy_(torch.stack([low for low, _ in found]).min(0).values)
            observer.max_val.copy_(torch.stack([high for _, high in found]).max(0).values)
            scale, zero_point = fake.calculate_qparams()
            fake.scale.copy_(scale)
            fake.zero_point.copy_(zero_point)
            fake.disable_observer()

    for fake in fakes:
        fake.enable_fake_quant()


def _distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Return the mean squared differences of emotion and of interval68, summed."""
    return torch.stack([nn.functional.mse_loss(a, b) for a, b in zip(found, wanted, strict=True)]).sum()
