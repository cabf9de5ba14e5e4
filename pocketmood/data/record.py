"""Record of the data stage: corpus, label set and numbers of songs, for every later stage, page and card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pocketmood import standing_warnings
from pocketmood.label_kind import MIXED, RATINGS
from pocketmood.records import from_json


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
class CorpusRecord:
    """One corpus of a run: what it is, and what its labels are worth."""

    name: str
    """The word of `--corpus`, as in `Clip.corpus`."""
    title: str
    """Name for pages and pictures."""
    songs: int
    """Its songs with labels in the store."""
    label_set: str
    """Who rated what, and how, in a phrase."""
    label_kind: str = RATINGS
    """"ratings": means of listeners. "quadrants": experts' tags, of which only signs can be right or wrong."""
    scale: str = ""
    """Scale of the labels as shipped, such as "1..9"."""
    label_fix: str = "none"
    """Correction of the shipped labels: "none" or "swap-2013"."""
    synthetic_labels: bool = False
    """True where a formula made the labels: then no score says anything about taste in music."""
    citation: str = ""
    """How to cite it; empty for a rendered one."""
    licence: str = ""
    """Its terms; empty for a rendered one."""
    source: str = ""
    """Where its authors offer it."""
    audit: str = ""
    """Verdict of the label audit, in a sentence."""


@dataclass(frozen=True)
class DataRecord:
    """What the data are, and what their labels are worth: the `record` of RUN/data/stage.json."""

    corpora: tuple[CorpusRecord, ...]
    """The corpora of the run, in the order of `--corpus`."""
    unlabelled: int
    """Further songs without ratings."""
    rejects: int
    """Things that were left out; `rejects.csv` lists them."""
    split: SplitSizes
    """Songs per part of the split."""
    artists: int = 0
    """Artists known by name, of all corpora together."""
    plots: tuple[str, ...] = ()
    """Names of the pictures in `plots/`."""

    @property
    def mixed(self) -> bool:
        """Whether the run has more than one corpus: its ids begin with a corpus's name then."""
        return len(self.corpora) > 1

    @property
    def corpus(self) -> str:
        """Name of the data, for titles."""
        return " + ".join(corpus.title for corpus in self.corpora)

    @property
    def songs(self) -> int:
        """Songs with labels, of all corpora."""
        return sum(corpus.songs for corpus in self.corpora)

    @property
    def synthetic_labels(self) -> bool:
        """Whether a formula made the labels of any corpus: a figure of all songs is worth no more than its worst."""
        return any(corpus.synthetic_labels for corpus in self.corpora)

    @property
    def label_set(self) -> str:
        """Who rated what, and how, in a phrase."""
        return " + ".join(dict.fromkeys(corpus.label_set for corpus in self.corpora))

    @property
    def label_fix(self) -> str:
        """Correction of the shipped labels, where any corpus has one: "none" or "swap-2013"."""
        return next((corpus.label_fix for corpus in self.corpora if corpus.label_fix != "none"), "none")

    @property
    def label_kind(self) -> str:
        """Kind of all labels: "ratings", "quadrants", or "mixed" where corpora differ."""
        kinds = {corpus.label_kind for corpus in self.corpora}
        return kinds.pop() if len(kinds) == 1 else MIXED

    @property
    def audit(self) -> str:
        """Verdicts of the label audits; with the corpus's name before each where there are several."""
        verdicts = [f"{corpus.title}: {corpus.audit}" if self.mixed else corpus.audit for corpus in self.corpora]
        return " ".join(verdicts)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of any figure must know of the labels; it follows from the fields, so it is not stored."""
        return standing_warnings.once(
            *(
                standing_warnings.of_labels(
                    corpus.synthetic_labels,
                    corpus.label_fix,
                    corpus.audit,
                    corpus.title if self.mixed else "",
                    corpus.label_kind,
                )
                for corpus in self.corpora
            )
        )

    @classmethod
    def from_json(cls, values: Any, where: str, again: str) -> DataRecord:
        """Read the record of a stage.json; RunError names `where`, and what to type, if another version wrote it."""
        return from_json(cls, values, f"{where}: the record of a data stage", again)
