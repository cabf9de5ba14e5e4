"""Each measure of features by hand with three clips, what it does not see, and who receives a gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from student.feature_losses import (
    FEATURE_TERMS,
    angles,
    cosine_term,
    distance_correlation_term,
    pairwise_distances,
    relational_term,
    relative_distances,
)

TOLERANCE = {"rel": 1e-5, "abs": 1e-6}
"""float32 sums of a few numbers near 1."""


def on_a_line(*places: float) -> Tensor:
    return torch.tensor(places, dtype=torch.float32)[:, None]


def clips(seed: int, width: int, count: int = 6) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_cosine_by_hand_sees_direction_only() -> None:
    ours = torch.tensor([[1.0, 0.0, -1.0]])
    assert float(cosine_term(ours, 50 * ours + 7)) == pytest.approx(0, rel=0, abs=1e-5)
    assert float(cosine_term(ours, -ours)) == pytest.approx(2, rel=0, abs=1e-5)
    # layer-normalised: (1, 0, -1) and (1, -2, 1) are at right angles
    assert float(cosine_term(ours, torch.tensor([[1.0, -2.0, 1.0]]))) == pytest.approx(1, rel=0, abs=1e-5)


def test_distances_by_hand() -> None:
    # 1, 3 and 2 apart, 2 in the mean; 1, 2 and 1 apart, 4/3 in the mean
    found = relative_distances(on_a_line(0, 1, 3))
    expected = torch.tensor([[0, 0.5, 1.5], [0.5, 0, 1], [1.5, 1, 0]])
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
    # shares .5, 1.5, 1 against .75, 1.5, .75: Huber 1/32, 0, 1/32; on a line in the same order no angle differs
    term = relational_term(on_a_line(0, 1, 3), on_a_line(0, 1, 2))
    assert float(term) == pytest.approx(2 / 32 / 3, **TOLERANCE)


def test_angles_by_hand() -> None:
    corner = torch.tensor([[0.0, 0], [1, 0], [0, 1]])
    half = math.sqrt(0.5)
    found = angles(corner)
    assert float(found[0, 1, 2]) == pytest.approx(0, rel=0, abs=1e-6)
    assert [float(found[1, 0, 2]), float(found[2, 1, 0])] == pytest.approx([half, half], **TOLERANCE)
    line = on_a_line(0, 1, 2)
    assert [round(float(angles(line)[j, i, k]), 5) for j, i, k in ((0, 1, 2), (1, 0, 2), (2, 0, 1))] == [1, -1, 1]
    # cosines 0, .707, .707 against 1, -1, 1: Huber 1/2, 1.707 - 1/2, .293^2 / 2, which are 1.75 in sum; and the
    # distances 1, 1, 1.414 over 1.138 against 1, 2, 1 over 4/3
    near, far = 1 / (2 + math.sqrt(2)) * 3, math.sqrt(2) / (2 + math.sqrt(2)) * 3
    distance = ((near - 0.75) ** 2 + (near - 1.5) ** 2 + (far - 0.75) ** 2) / 2 / 3
    assert float(relational_term(corner, line)) == pytest.approx(distance + 2 * 1.75 / 3, **TOLERANCE)


def test_distance_correlation_by_hand() -> None:
    # Doubly centred, in ninths: (-10 2 8; 2 -4 2; 8 2 -10) and (-2 4 -2; 4 -8 4; -2 4 -2): the sums of products are 72
    # together and 360 and 144 alone, so that dCor^2 = 72 / sqrt(360 * 144) = 10^-1/2.
    term = distance_correlation_term(on_a_line(0, 1, 2), on_a_line(1, 0, 1))
    assert float(term) == pytest.approx(1 - 10**-0.25, **TOLERANCE)
    assert float(distance_correlation_term(on_a_line(0, 1, 2), on_a_line(5, 3, 1))) == pytest.approx(0, rel=0, abs=1e-6)


def test_distance_correlation_agrees_with_a_slow_twin() -> None:
    ours, theirs = clips(0, 3), clips(1, 5)

    def centred(x: Tensor) -> list[list[float]]:
        apart = [[math.dist(a, b) for b in x.tolist()] for a in x.tolist()]
        n = len(apart)
        means = [sum(row) / n for row in apart]
        return [[apart[i][j] - means[i] - means[j] + sum(means) / n for j in range(n)] for i in range(n)]

    def product(a: list[list[float]], b: list[list[float]]) -> float:
        return sum(x * y for row, other in zip(a, b, strict=True) for x, y in zip(row, other, strict=True))

    a, b = centred(ours), centred(theirs)
    expected = 1 - math.sqrt(product(a, b) / math.sqrt(product(a, a) * product(b, b)))
    assert float(distance_correlation_term(ours, theirs)) == pytest.approx(expected, **TOLERANCE)


@pytest.mark.parametrize("measure", ["relational", "distance-correlation"])
def test_moved_turned_and_scaled_spaces_are_alike(measure: str) -> None:
    theirs = clips(2, 4)
    turn, _ = torch.linalg.qr(clips(3, 4, 4))
    wider = torch.cat([3 * theirs @ turn + 1, torch.zeros(6, 2)], 1)
    assert float(FEATURE_TERMS[measure](wider, theirs)) == pytest.approx(0, rel=0, abs=1e-5)
    assert float(FEATURE_TERMS[measure](clips(4, 4), theirs)) > 0.01


@pytest.mark.parametrize("measure", ["cosine", "relational", "distance-correlation"])
def test_following_the_gradient_helps_and_the_teacher_feels_nothing(measure: str) -> None:
    theirs = clips(5, 4).requires_grad_()
    ours = clips(6, 4).requires_grad_()
    first = FEATURE_TERMS[measure](ours, theirs)
    first.backward()
    assert theirs.grad is None and float(ours.grad.abs().sum()) > 0
    assert float(FEATURE_TERMS[measure](ours.detach() - 0.05 * ours.grad, theirs)) < float(first.detach())


@pytest.mark.parametrize("measure", ["relational", "distance-correlation"])
def test_clips_that_are_all_alike_give_finite_numbers(measure: str) -> None:
    ours = torch.ones(4, 3, requires_grad=True)
    value = FEATURE_TERMS[measure](ours, clips(7, 2, 4))
    value.backward()
    assert math.isfinite(float(value.detach())) and torch.isfinite(ours.grad).all()
    if measure == "distance-correlation":  # but for the root's guard, 1e-4
        assert float(value.detach()) == pytest.approx(1, rel=0, abs=2e-4)


def test_distance_of_a_clip_to_itself_has_no_gradient() -> None:
    x = on_a_line(0, 3).requires_grad_()
    pairwise_distances(x).sum().backward()
    assert x.grad.flatten().tolist() == [-2, 2]
