"""Gradual unfreezing: heads learn first, then the last layers of a backbone, a few at a time, each at its rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teacher.vit import encoder_layers, final_norm

if TYPE_CHECKING:
    from torch import nn

    from teacher.recipe import Recipe
    from teacher.vit import Teacher

_UNDECAYED = ("frequency", "time", "token", "cls_token", "distillation_token", "position_embeddings")
"""Last parts of the names of learnt positions and tokens."""


def layers_at(epoch: int, unfreeze: tuple[tuple[int, int], ...]) -> int:
    """Return how many of the last layers learn in an epoch, counted from 0."""
    return max((layers for first, layers in unfreeze if first <= epoch + 1), default=0)


def waiting(teacher: Teacher, config: Recipe) -> list[tuple[int, nn.Module]]:
    """List the parts of the backbone that start to learn after the first epoch, each with its epoch (from 0)."""
    layers = encoder_layers(teacher)
    parts = []
    # From the last layer down: those next to the input hold what any picture or sound needs, and are kept longest.
    for number, layer in enumerate(reversed(layers), 1):
        starts = [first for first, count in config.unfreeze if count >= number]
        if starts:
            parts.append((min(starts) - 1, layer))
    # The norm lies above the last layer, and learns from the first epoch in which any layer does.
    norm = final_norm(teacher)
    if parts and norm is not None:
        parts.append((min(epoch for epoch, _ in parts), norm))
    return parts


def prepare(teacher: Teacher, config: Recipe) -> None:
    """Freeze for good what no epoch trains; leave everything else trainable. Without `unfreeze` all is trained."""
    if not config.unfreeze:
        return
    teacher.backbone.requires_grad_(False)
    # All that ever learn must require gradients now, or the optimiser would not know them (`Training.on_epoch`).
    for _, part in waiting(teacher, config):
        part.requires_grad_(True)


def begin_epoch(teacher: Teacher, config: Recipe, epoch: int) -> str:
    """Let the parts learn whose epoch (from 0) has come, and no others; heads always learn. Returns that in words."""
    for start, part in waiting(teacher, config):
        part.requires_grad_(epoch >= start)
    layers, of = layers_at(epoch, config.unfreeze), len(encoder_layers(teacher))
    return f"{min(layers, of)} of {of} layers {'learns' if layers == 1 else 'learn'}" if layers else "heads alone learn"


def restarts(config: Recipe) -> tuple[int, ...]:
    """Return after how many epochs the schedule begins anew: wherever further layers join, else where it says."""
    if not config.unfreeze:
        return config.schedule.restarts
    return tuple(first - 1 for first, _ in config.unfreeze if 1 < first <= config.schedule.epochs)


def parameter_groups(teacher: Teacher, config: Recipe) -> list[dict[str, Any]]:
    """Split what is ever trained by first epoch, rate (backbone, heads) and decay (biases, norms, positions have none).

    Each group names its first epoch (from 0) as "epoch". Optimisers skip parameters without a gradient, so a group that
    waits is not moved, and one that already learns keeps its moments when others join.
    """
    schedule = config.schedule
    starts = {id(p): epoch for epoch, part in waiting(teacher, config) for p in part.parameters()}
    groups: dict[tuple[int, float, float], list[nn.Parameter]] = {}

    for name, parameter in teacher.named_parameters():
        if not parameter.requires_grad:
            continue
        inside = name.startswith("backbone.") and config.backbone_learning_rate is not None
        rate = config.backbone_learning_rate if inside else schedule.learning_rate
        # Decay pulls towards 0, which is no better a place for an offset, a scale or a position than any other.
        decay = 0.0 if parameter.ndim < 2 or name.rsplit(".", 1)[-1] in _UNDECAYED else schedule.weight_decay
        key = (starts.get(id(parameter), 0), rate or schedule.learning_rate, decay)
        groups.setdefault(key, []).append(parameter)
    # By epoch alone, which keeps the order of first appearance within one: checkpoints name parameters by number.
    return [
        {"params": rows, "lr": rate, "weight_decay": decay, "epoch": epoch}
        for (epoch, rate, decay), rows in sorted(groups.items(), key=lambda item: item[0][0])
    ]
