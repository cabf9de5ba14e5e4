"""Pruning: dead channels go, and no output changes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from teacher.musicnn.convert import rename
from teacher.musicnn.network import build
from teacher.musicnn.prune import LARGEST_DIFFERENCE, difference, prune
from tests.teacher.musicnn.tiny_network import checkpoint


def with_dead(constant: float) -> dict[str, Tensor]:
    """Return a network whose first block has two dead channels of three, and whose fourth is dead throughout."""
    found = checkpoint()
    for number, dead in ((0, [0, 2]), (3, [0])):
        name, norm = f"conv2d_{number}" if number else "conv2d", f"batch_normalization_{number + 1}"
        found[f"{name}/kernel"][..., dead] = 1e-30
        found[f"{name}/bias"][dead] = 0.3
        found[f"{norm}/moving_mean"][dead] = 0.3
        found[f"{norm}/beta"][dead] = constant
    return rename(found)


def test_dead_channels_go_and_outputs_stay() -> None:
    whole = with_dead(constant=3e-6)
    pruned = prune(whole)
    assert [pruned[f"blocks.{number}.conv.bias"].numel() for number in range(5)] == [1, 2, 2, 1, 2]
    # 3e-6 at the edges of the window, seen through random weights of order 1.
    assert difference(whole, pruned) < LARGEST_DIFFERENCE


def test_without_a_constant_nothing_changes_at_all() -> None:
    whole = with_dead(constant=0.0)
    # 2e-7: the biases are stored as float32.
    assert difference(whole, prune(whole)) < 1e-6


def test_a_channel_whose_constant_is_large_stays() -> None:
    whole = with_dead(constant=0.5)
    assert prune(whole)["blocks.0.conv.bias"].numel() == 3


def test_a_wrong_pruning_would_be_seen() -> None:
    whole = with_dead(constant=0.0)
    pruned = prune(whole)
    assert difference(whole, pruned | {"dense.bias": pruned["dense.bias"] + 1e-3}) > LARGEST_DIFFERENCE


def test_what_is_kept_is_in_its_place() -> None:
    whole = with_dead(constant=0.0)
    windows = torch.from_numpy(np.random.default_rng(2).uniform(0, 4, (1, 187, 96)).astype(np.float32))
    with torch.inference_mode():
        before, after = (build(tensors)(windows).frames for tensors in (whole, prune(whole)))
    live = [1, 3, 4, 5, 6, 7, 8, 9]  # of ten channels all but 0 and 2: the dead block keeps one
    torch.testing.assert_close(after[:, :8], before[:, live], rtol=1e-5, atol=1e-5)
