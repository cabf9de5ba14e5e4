"""Shares of rated and unrated clips in an epoch, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pocketmood.errors import ConfigError
from student.config import StudentConfig
from student.mixture import Mixture

RATED = np.array([True, False, True, False, False, False, False])  # two rated clips, five others


def test_without_a_share_an_epoch_visits_every_clip() -> None:
    plain = Mixture(RATED, 3, 0.0)
    assert plain.items == 21 and [plain.place(index, 0, 0) for index in range(21)] == list(range(21))
    # A share of nothing: all rated, or none.
    for alike in (RATED | True, RATED & False):
        assert Mixture(alike, 3, 0.5).items == 21 and Mixture(alike, 3, 0.5).place(20, 1, 1) == 20


@pytest.mark.parametrize(("share", "others"), [(0.5, 8), (0.25, 24), (0.8, 2)])
def test_a_share_of_the_crops_is_rated(share: float, others: int) -> None:
    mixture = Mixture(RATED, 4, share)
    assert mixture.items == 8 + others
    numbers = [mixture.place(index, 0, 0) for index in range(mixture.items)]
    assert all(0 <= number < 7 * 4 for number in numbers)
    # Rated clips: each of its four visits once.
    assert sorted(numbers[:8]) == [0, 2, 7, 9, 14, 16, 21, 23]
    clips = [number % 7 for number in numbers[8:]]
    assert not {0, 2} & set(clips)
    # None twice before all were there, and then as another visit.
    assert len(set(clips[:5])) == min(others, 5)
    if others <= 5 * 4:
        assert len(set(numbers)) == len(numbers)


def test_each_epoch_takes_others_and_a_seed_takes_the_same() -> None:
    others = [[Mixture(RATED, 1, 0.5).place(index, 3, epoch) for index in (2, 3)] for epoch in range(6)]
    assert {clip for pair in others for clip in pair} == {1, 3, 4, 5, 6} and len({tuple(pair) for pair in others}) > 3
    again = Mixture(RATED, 1, 0.5)
    assert [[again.place(index, 3, epoch) for index in (2, 3)] for epoch in (5, 4, 5)] == [
        others[5],
        others[4],
        others[5],
    ]


def test_a_share_of_one_leaves_no_room_for_others() -> None:
    with pytest.raises(ConfigError, match=r"rated_share 1\.0 in \[0, 1\)"):
        StudentConfig(rated_share=1.0)
