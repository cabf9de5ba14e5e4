"""How rated and unrated clips are mixed in an epoch: evenly by clip, or at a share of the crops."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mixture:
    """Which clip each item of an epoch is of: all of them `draws` times over, or rated ones at a share of the crops.

    Numbers count through all clips `draws` times over: clip + N draw.
    """

    rated: NDArray[np.bool_]
    """[N] whether people rated the clip."""
    draws: int
    """Visits of a clip."""
    rated_share: float
    """Share of rated crops; 0 for what the clips' numbers make it."""

    @cached_property
    def items(self) -> int:
        """Count the items of an epoch."""
        rated = int(self.rated.sum()) * self.draws
        if not self._shared:
            return len(self.rated) * self.draws
        return rated + round(rated * (1 - self.rated_share) / self.rated_share)

    def place(self, index: int, seed: int, epoch: int) -> int:
        """Return the number of an item: unrated clips come in a new order each epoch, none twice before all were."""
        if not self._shared:
            return index
        clips, (rated, others) = len(self.rated), self._kinds
        if index < len(rated) * self.draws:
            draw, clip = divmod(index, len(rated))
            return int(rated[clip]) + clips * draw
        draw, clip = divmod(index - len(rated) * self.draws, len(others))
        return int(self._order(seed, epoch)[clip]) + clips * (draw % self.draws)

    @property
    def _shared(self) -> bool:
        # Without clips of both kinds there is nothing to share.
        return self.rated_share > 0 and bool(self.rated.any()) and not bool(self.rated.all())

    @cached_property
    def _kinds(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return np.flatnonzero(self.rated), np.flatnonzero(~self.rated)

    @cached_property
    def _orders(self) -> dict[tuple[int, int], NDArray[np.intp]]:
        return {}

    def _order(self, seed: int, epoch: int) -> NDArray[np.intp]:
        """Shuffle the unrated clips for an epoch; the last epoch's order is kept, not one for each."""
        key = (seed, epoch)
        if key not in self._orders:
            self._orders.clear()
            self._orders[key] = np.random.default_rng([seed, epoch, 2]).permutation(self._kinds[1])
        return self._orders[key]
