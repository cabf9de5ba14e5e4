"""Records of the export stage and of its search for int8: what their stage.json say of the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BundleRecord:
    """What the stage says of its result."""

    parity: tuple[dict[str, Any], ...]
    """The parity record of each program that ships, flat as in parity.json."""
    left_out: tuple[dict[str, Any], ...] = ()
    """The parity record of each that was to be written and does not ship, with its reason."""
    warnings: tuple[str, ...] = ()
    """Sentences that a reader of any figure must know: those of all stages before, and this one's."""


@dataclass(frozen=True)
class SearchRecord:
    """What int8 costs on the validation clips, with the groups that the search leaves in float."""

    ccc_drop: float
    """Of the mean CCC."""
    drift: float
    """Estimate of the largest difference between two runtimes."""
    max_error: float
    """Largest difference from float, in both outputs."""
    trials: int
    """Choices that were tried."""
