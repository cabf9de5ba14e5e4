"""The contract of a corpus: what one module says of a data set, and the three things that it does with its files.

A module of this folder ends in one constant, `CORPUS`; `registry.py` lists it by name. docs/corpora.md leads through a
new one. The data stage calls `find`, then `clips`, then `audit`, and knows nothing else of any corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from pocketmood.data.clips import Clip
from pocketmood.data.corpora.files import Files, Reject
from pocketmood.label_kind import RATINGS


@dataclass(frozen=True)
class Options:
    """What a user may choose about the labels; every corpus says which of these it takes."""

    label_fix: str = "none"
    """Correction of labels as shipped, which DEAM has: "none" or "swap-2013"."""
    scale: str = ""
    """Scale of the ratings as written, such as "1..9"; "" for a corpus that knows its own."""

    def chosen(self) -> dict[str, str]:
        """Return what differs from the defaults."""
        return {name: value for name, value in vars(self).items() if value != getattr(type(self), name)}

    def only(self, names: Collection[str]) -> Options:
        """Return these options with all but the named ones at their defaults."""
        return Options(**{name: value for name, value in vars(self).items() if name in names})


DEFAULTS = Options()


def takes_all(options: Options) -> None:
    """Find nothing wrong: the check of a corpus without options of its own."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A data set: what it is, and how its files become clips."""

    name: str
    """The word of `--corpus`: lower case letters and digits."""
    title: str
    """Name for pages and pictures."""
    citation: str = ""
    """How to cite it, in a sentence; "" for what nobody published."""
    licence: str = ""
    """Terms of music and labels, in a phrase."""
    source: str = ""
    """Where its authors offer it; an address is allowed in a citation alone."""
    label_set: str
    """Who rated what, and how, in a phrase."""
    label_kind: str = RATINGS
    """"ratings": means of listeners, with deviations where known. "quadrants": experts' tags, targets of +-.5 on both
    axes without deviations, so that only signs can be right or wrong."""
    scale: str
    """Scale of the labels as shipped, such as "1..9"."""
    synthetic_labels: bool = False
    """True where a formula made the labels."""
    options: tuple[str, ...] = ()
    """Names of the fields of `Options` that it takes; another one that a user chose is refused."""
    check: Callable[[Options], None] = takes_all
    """Raises ConfigError for options that cannot be meant, before any file is looked at."""
    find: Callable[[Path, Path | None], Files]
    """find(root, exclude): its files below a folder, without those below `exclude`. DataError, with what to type, where
    this is not its folder."""
    clips: Callable[[Files, Options], tuple[list[Clip], list[Reject]]]
    """The songs that have both label and audio, labels in [-1, 1], and all that was left out, each with its reason."""
    audit: Callable[[Files, Options], tuple[str, str]]
    """One sentence on what the labels look like, and the lines behind it; it never raises."""
    really: Callable[[Path], str] | None = None
    """Names the corpus that a folder holds, where another one has the same layout; None where none has."""
