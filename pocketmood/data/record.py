"""Record of the data stage: corpus, label set and numbers of songs, for every later stage, page and card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pocketmood import standing_warnings
from pocketmood.records import from_json

AGAIN = "run the data stage again"


@dataclass(frozen=True)
class SplitSizes:
    """How many songs each part of the split holds."""

    train: int
    validation: int
    test: int
    """Songs of each part."""
    by: str
    """"artist" where at least one artist was known, else "song"."""


@dataclass(frozen=True)
class DataRecord:
    """What the data are, and what their labels are worth: the `record` of RUN/data/stage.json."""

    corpus: str
    """Name of the data set, for titles."""
    synthetic_labels: bool
    """True where a formula made the labels: then no score says anything about taste in music."""
    label_set: str
    """Who rated what, and how, in a phrase."""
    label_fix: str
    """Correction of the shipped labels: "none" or "swap-2013"."""
    songs: int
    """Songs with ratings."""
    unlabelled: int
    """Further songs without."""
    rejects: int
    """Things that were left out; `rejects.csv` lists them."""
    split: SplitSizes
    """Songs per part of the split."""
    artists: int = 0
    """Artists known by name."""
    audit: str = ""
    """Verdict of the label audit, in a sentence."""
    citation: str = ""
    """How to cite the corpus; empty for a rendered one."""
    licence: str = ""
    """Terms of the corpus; empty for a rendered one."""
    plots: tuple[str, ...] = ()
    """Names of the pictures in `plots/`."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of any figure must know of the labels; it follows from the fields, so it is not stored."""
        return standing_warnings.of_labels(self.synthetic_labels, self.label_fix, self.audit)

    @classmethod
    def from_json(cls, values: Any, where: str) -> DataRecord:
        """Read the record of a stage.json; RunError names `where` if its keys are not those of this version."""
        return from_json(cls, values, f"{where}: the record of a data stage", AGAIN)
