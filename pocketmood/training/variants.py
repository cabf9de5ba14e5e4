"""Variants: training songs at another tempo and pitch, made once, of which a training crop may be taken instead.

Conventions: variant k = 1 ... K of a song is a clip of its own, called SONG#k, as long as the song's clip. It has the
ratings of its song, which is an approximation: tempo and pitch are themselves cues of arousal and valence, so the range
should stay small. `vary.py` makes them; nobody makes any of a validation or test song.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pocketmood.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pocketmood.data.clips import ClipStore

MOST_STRETCH, MOST_SEMITONES = 2.0, 12.0
"""Beyond an octave, in time or in pitch, nobody would give the song its ratings."""


@dataclass(frozen=True)
class VariantsConfig:
    """How many variants of each training song there are, and how far they lie from it."""

    count: int = 0
    """Variants per training song; an epoch takes each song's crop from one of these or from the song itself, all with
    the same chance. 0: none. Each costs a tenth of a second of one core, and 1.3 MB on disk."""
    stretch: float = 1.15
    """Largest change of tempo, as a factor: each variant plays at 1 / stretch to stretch times the song's tempo, evenly
    in the logarithm, at its pitch. 1: no change."""
    semitones: float = 2.0
    """Largest change of pitch, up or down, in semitones, at the song's tempo. 0: no change."""

    def __post_init__(self) -> None:
        """Refuse variants that are copies, or another piece of music."""
        if self.count < 0:
            raise ConfigError(f"variants count {self.count} must not be negative")
        if not 1 <= self.stretch <= MOST_STRETCH:
            raise ConfigError(f"variants stretch {self.stretch} is a factor; it must lie in [1, {MOST_STRETCH:g}]")
        if not 0 <= self.semitones <= MOST_SEMITONES:
            raise ConfigError(f"variants semitones {self.semitones} must lie in [0, {MOST_SEMITONES:g}]")
        if self.count and self.stretch == 1 and self.semitones == 0:
            raise ConfigError(
                f"variants count {self.count}: with stretch 1 and semitones 0 they would be copies; pass one of "
                "--variants.stretch 1.15 and --variants.semitones 2, or --variants.count 0"
            )


@dataclass(frozen=True)
class Variants:
    """The variants of some songs, as a training reads them."""

    store: ClipStore
    """A clip per variant, as long as the songs' clips."""
    count: int
    """Variants per song."""

    def rows(self, songs: Sequence[str]) -> list[list[int]]:
        """Return the rows of each song's variants in the store, [N][K]; DataError for a song that has none."""
        return [[self.store.index(variant_id(song, number + 1)) for number in range(self.count)] for song in songs]


def variant_id(song: str, number: int) -> str:
    """Name a variant of a song, counted from 1."""
    return f"{song}#{number}"
