"""The musicnn network in PyTorch, against the published graph written out in numpy, on tiny random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pocketmood.errors import RunError
from teacher.musicnn.network import TAGS, build
from tests.teacher.musicnn.tiny_network import checkpoint, tensors, twin


def test_every_layer_equals_the_published_graph() -> None:
    windows = np.random.default_rng(1).uniform(0, 5, (2, 187, 96))
    with torch.inference_mode():
        found = build(tensors()).double()(torch.from_numpy(windows))
    for number, window in enumerate(windows):
        wanted = twin(checkpoint(), window)
        # Both in float64, from the same float32 weights: only the order of sums differs.
        np.testing.assert_allclose(found.frames[number].T, wanted["frames"], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.penultimate[number], wanted["penultimate"], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.tags[number], wanted["tags"], rtol=1e-9, atol=1e-9)


def test_other_lengths_of_windows_are_taken() -> None:
    with torch.inference_mode():
        found = build(tensors())(torch.rand(3, 300, 96))
    assert [tuple(part.shape) for part in found] == [(3, 22, 300), (3, 5), (3, 50)]


def test_training_moves_weights_but_no_statistics() -> None:
    built = build(tensors()).train()
    before = {name: value.clone() for name, value in built.state_dict().items()}
    optimizer = torch.optim.SGD(built.parameters(), 0.1)
    built(torch.rand(2, 187, 96)).tags.square().mean().backward()
    optimizer.step()
    moved = {name for name, value in built.state_dict().items() if not torch.equal(value, before[name])}
    # Not all parameters: a channel whose ReLU is silent has no gradient.
    assert {"tags.weight", "dense.weight", "pool_norm.weight", "blocks.0.conv.weight"} <= moved
    assert not any(name.endswith((".mean", ".variance")) for name in moved)


def test_other_weights_are_refused() -> None:
    with pytest.raises(RunError, match=r"no musicnn network.*make weights"):
        build({"conv1.weight": torch.zeros(3)})
    with pytest.raises(RunError, match="no musicnn network"):
        build({name: value for name, value in tensors().items() if name != "dense.bias"})


def test_tags_are_fifty_and_differ() -> None:
    assert {model: len(set(tags)) for model, tags in TAGS.items()} == {"MSD_musicnn": 50, "MTT_musicnn": 50}
