"""The composer's tables: modes, instruments, drum patterns, and names for artists and songs.

Instruments are General MIDI programs counted from 0, drums are General MIDI percussion keys.
"""

from __future__ import annotations

from typing import NamedTuple


class Mode(NamedTuple):
    """A mode: how happy it is judged, from 0 to 1, its steps in semitones, and progressions of root degrees."""

    major: float
    steps: tuple[int, ...]
    progressions: tuple[tuple[int, ...], ...]


class Family(NamedTuple):
    """Instruments that go together, graded from brass (0) to flute (1)."""

    flute: float
    genre: str
    leads: tuple[int, ...]
    chords: tuple[int, ...]
    basses: tuple[int, ...]


# Ordered from sad to happy. `major` is the share of listeners who judged the mode the happier one (Temperley & Tan
# 2013: .21 .34 .40 .58 .64 .83), stretched so that phrygian is 0 and ionian is 1.
MODES: dict[str, Mode] = {
    "phrygian": Mode(0.00, (0, 1, 3, 5, 7, 8, 10), ((0, 1, 0, 6), (0, 1, 2, 1), (0, 3, 1, 0))),
    "aeolian": Mode(0.21, (0, 2, 3, 5, 7, 8, 10), ((0, 5, 2, 6), (0, 3, 4, 0), (0, 5, 3, 4))),
    "dorian": Mode(0.31, (0, 2, 3, 5, 7, 9, 10), ((0, 3, 0, 6), (0, 6, 3, 0), (0, 2, 3, 0))),
    "lydian": Mode(0.60, (0, 2, 4, 6, 7, 9, 11), ((0, 1, 0, 4), (0, 1, 5, 4), (0, 4, 1, 0))),
    "mixolydian": Mode(0.69, (0, 2, 4, 5, 7, 9, 10), ((0, 6, 3, 0), (0, 3, 6, 0), (0, 4, 6, 3))),
    "ionian": Mode(1.00, (0, 2, 4, 5, 7, 9, 11), ((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4))),
}

# Ordered from brass to flute; what the accompaniment plays is graded along, or the lead would be hard to make out.
FAMILIES: tuple[Family, ...] = (
    Family(0.00, "Rock", leads=(56, 57, 61, 29, 81), chords=(61, 30, 18, 48), basses=(33, 38)),
    Family(0.33, "Jazz", leads=(60, 65, 66, 40, 11), chords=(48, 0, 26, 16), basses=(33, 32)),
    Family(0.67, "Pop", leads=(0, 71, 68, 24, 4), chords=(0, 24, 48, 4), basses=(32, 35)),
    Family(1.00, "Classical", leads=(73, 74, 75, 79, 46), chords=(46, 89, 24, 10), basses=(32, 43)),
)

# Ways to play the chords: blocks, broken, after the beat, sustained.
FIGURES = 4

# (key, accent, beats of the bar, beats when the beat itself is quick)
Stroke = tuple[int, int, tuple[float, ...], tuple[float, ...]]
_EIGHTHS = tuple(i / 2 for i in range(8))
DRUM_PATTERNS: tuple[tuple[Stroke, ...], ...] = (
    # back beat with hi-hat
    ((36, 6, (0, 2), (0, 2)), (38, 0, (1, 3), (1, 3)), (42, -14, _EIGHTHS, (0, 1, 2, 3))),
    # four on the floor, open hi-hat after the beat
    ((36, 4, (0, 1, 2, 3), (0, 2)), (39, -4, (1, 3), (1, 3)), (46, -12, (0.5, 1.5, 2.5, 3.5), (0.5, 2.5))),
    # half time with ride cymbal
    ((36, 4, (0, 2.5), (0, 2.5)), (38, 2, (2,), (2,)), (51, -12, (0, 1, 2, 3), (0, 2))),
    # hand drums and shaker
    ((64, 0, (0, 1.5, 2), (0, 2)), (63, -6, (1, 3, 3.5), (1, 3)), (70, -12, _EIGHTHS, (0, 1, 2, 3))),
)
TRIPLE_DRUMS: tuple[Stroke, ...] = ((36, 4, (0,), (0,)), (38, -8, (1, 2), (1, 2)), (42, -14, (0, 1, 2), (0, 1, 2)))

_FIRST = (
    "Amber", "Brisk", "Copper", "Distant", "Early", "Faded", "Gentle", "Hollow", "Idle", "Jade", "Kindred", "Lunar",
    "Mellow", "Northern", "Open", "Paper", "Quiet", "Restless", "Silver", "Tidal", "Upper", "Velvet", "Winter",
)  # fmt: skip
_SECOND = (
    "Arcade", "Bridges", "Comets", "Dunes", "Engines", "Falcons", "Gardens", "Harbour", "Islands", "Junction", "Kites",
    "Lanterns", "Meadows", "Nomads", "Orchard", "Pilots", "Quartet", "Rivers", "Signals", "Towers", "Union", "Voyage",
    "Weather", "Yards",
)  # fmt: skip


def artist_name(number: int) -> str:
    """Return a name that no other artist has."""
    # 23 and 24 have no common divisor, so both lists are walked through together without a repeated pair.
    again = number // (len(_FIRST) * len(_SECOND))
    name = f"{_FIRST[number % len(_FIRST)]} {_SECOND[number % len(_SECOND)]}"
    return f"{name} {again + 1}" if again else name


def song_title(song: int) -> str:
    """Return a title for a song; the number keeps it unique."""
    return f"{_SECOND[song * 7 % len(_SECOND)]} No. {song + 1}"
