"""Parameters of a composed song, drawn before its first note: artist, mood, musical cues, key, instruments, mix.

Conventions: parameters are a function of (seed, song) alone, so that any process can make them again. Pitches are MIDI
numbers, instruments General MIDI programs counted from 0. The cues are those of Eerola, Friberg & Bresin (2013); like a
performer, the composer uses each of them only loosely for the mood (Juslin's lens model), which is what makes the cues
of a song agree with each other as they do in recorded music.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pocketmood.data.corpora.instruments import DRUM_PATTERNS, FAMILIES, FIGURES, MODES, Family, artist_name

# Songs of a block share its artists; a block does not depend on how many songs there are, so the first songs of a large
# corpus are the songs of a small one.
BLOCK_SONGS, BLOCK_ARTISTS = 40, 10
# Of the variance of a song's mood, this share is its artist's.
ARTIST_SHARE = 0.3
MOOD_CORRELATION = 0.85
# How much of (valence, arousal) goes into each cue, in standard deviations; the rest is the composer's whim. Chosen so
# that the cue values of the two axes correlate at about .63: with what raters.py adds, the ratings reach DEAM's .6.
LEANING = {
    "major": (0.62, 0.28),
    "flute": (0.30, -0.40),
    "notes": (0.30, 0.55),
    "register": (0.25, 0.10),
    "loudness": (0.00, 0.50),
    "articulation": (0.35, 0.35),
    "drums": (0.00, 0.40),
}
# Standard deviations, in dB, of the levels of lead, chords, bass and drums, drawn for each song: what masks the melody
# in one song leaves it alone in another.
MIX_DB = (1.0, 2.5, 2.0, 3.0)

Generator = np.random.Generator
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Cues:
    """What a listener goes by: register as mean MIDI pitch, articulation from 1 (legato) to 4 (staccato).

    major: how happy the mode is judged, 0 (phrygian) to 1 (ionian). flute: 0 (brass) to 1 (flute). loudness_db:
    relative to the middle of the dynamic range.
    """

    major: float
    """How happy the mode is judged, from 0 (phrygian) to 1 (ionian)."""
    notes_per_second: float
    """Notes of the melody per second."""
    register: float
    """Mean MIDI pitch."""
    loudness_db: float
    """Relative to the middle of the dynamic range."""
    articulation: float
    """From 1 (legato) to 4 (staccato)."""
    flute: float
    """From 0 (brass) to 1 (flute)."""


@dataclass(frozen=True)
class Artist:
    """A pseudo-artist: a name and habits that all songs under this name share."""

    name: str
    """A made name, one per artist of the corpus."""
    genre: str
    """Genre of the family of instruments."""
    mood: tuple[float, float]  # (valence, arousal), standard normal each
    """Valence and arousal that the artist's songs lean to, standard normal each."""
    flute: float
    register: float
    """Leanings to a flute's timbre and to high pitch, standard normal each."""
    figure: int
    """Number of the usual accompaniment."""
    meter: int
    """Usual beats of a bar: 3 or 4."""
    drums: float
    """How much more likely than others to have drums, standard normal."""


@dataclass(frozen=True)
class SongParameters:
    """All decisions taken before the first note."""

    artist: Artist
    """The pseudo-artist."""
    mode: str
    """Name of the mode."""
    cues: Cues
    """As meant; notes may come out otherwise."""
    tonic: int  # pitch class
    """Pitch class, 0 to 11."""
    programs: tuple[int, int, int]  # lead, chords, bass
    """Instruments of lead, chords and bass."""
    pattern: int | None  # drum pattern; None for a piece without drums
    """Number of the drum pattern; None for a piece without drums."""
    figure: int
    """Number of the accompaniment."""
    meter: int
    """Beats of a bar: 3 or 4."""
    mix_db: tuple[float, float, float, float]  # gain of each part
    """Gain of lead, chords, bass and drums."""
    brightness: float  # -1 (dull) to 1 (bright)
    """Timbre, from -1 (dull) to 1 (bright)."""


def artist_of(seed: int, song: int) -> Artist:
    """Return the artist of a song: one of the ten of its block of forty."""
    block = song // BLOCK_SONGS
    number = block * BLOCK_ARTISTS + int(np.random.default_rng([seed, song, 10]).integers(BLOCK_ARTISTS))
    rng = np.random.default_rng([seed, number, 11])
    valence, arousal = _correlated(rng, MOOD_CORRELATION)
    flute = 0.3 * valence - 0.3 * arousal + 0.99 * rng.standard_normal()
    return Artist(
        name=artist_name(number),
        genre=_graded(flute, FAMILIES).genre,
        mood=(valence, arousal),
        flute=flute,
        register=rng.standard_normal(),
        figure=int(rng.integers(FIGURES)),
        meter=3 if rng.random() < 0.15 else 4,
        drums=rng.standard_normal(),
    )


def parameters_of(seed: int, song: int) -> SongParameters:
    """Decide on mood, cues, key, instruments and habits of a song."""
    rng = np.random.default_rng([seed, song, 12])
    artist = artist_of(seed, song)
    own = _correlated(rng, MOOD_CORRELATION)
    of_artist, of_song = math.sqrt(ARTIST_SHARE), math.sqrt(1 - ARTIST_SHARE)
    mood = [of_artist * a + of_song * b for a, b in zip(artist.mood, own, strict=True)]
    level = {name: _lean(rng, mood, LEANING[name]) for name in LEANING}

    mode = _graded(level["major"], tuple(MODES))
    family = _graded(0.75 * level["flute"] + 0.66 * artist.flute, FAMILIES)
    drums = 0.8 * level["drums"] + 0.6 * artist.drums > 0
    meter = artist.meter if rng.random() < 0.8 else 4
    # Drawn in this order for ever: a draw moved or added is another corpus for the same seed.
    lead, chords, bass, beat = (deviation * rng.standard_normal() for deviation in MIX_DB)

    return SongParameters(
        artist=artist,
        mode=mode,
        cues=Cues(
            major=MODES[mode].major,
            notes_per_second=float(np.clip(2.4 * 2 ** (0.78 * level["notes"]), 0.7, 8.0)),
            register=float(np.clip(67 + 5.5 * level["register"] + 2.5 * artist.register, 52, 84)),
            loudness_db=float(np.clip(4.0 * level["loudness"], -9, 9)),
            articulation=float(np.clip(2.4 + level["articulation"], 1, 4)),
            flute=family.flute,
        ),
        tonic=int(rng.integers(12)),
        programs=_programs(rng, family),
        pattern=int(rng.integers(len(DRUM_PATTERNS))) if drums else None,
        figure=artist.figure if rng.random() < 0.6 else int(rng.integers(FIGURES)),
        meter=meter,
        mix_db=(lead, chords, bass, beat),
        brightness=float(rng.uniform(-1, 1)),
    )


def _correlated(rng: Generator, correlation: float) -> tuple[float, float]:
    first, second = rng.standard_normal(2)
    return float(first), float(correlation * first + math.sqrt(1 - correlation**2) * second)


def _lean(rng: Generator, mood: list[float], weights: tuple[float, float]) -> float:
    """Return a standard normal cue level that follows the mood with the given weights."""
    (v, a), (p, q) = mood, weights
    explained = p * p + q * q + 2 * p * q * MOOD_CORRELATION
    return p * v + q * a + math.sqrt(max(0.0, 1 - explained)) * float(rng.standard_normal())


def _graded(level: float, kinds: tuple[Kind, ...]) -> Kind:
    """Turn a standard normal level into one of the ordered kinds, each equally likely."""
    share = 0.5 * (1 + math.erf(level / math.sqrt(2)))
    return kinds[min(int(share * len(kinds)), len(kinds) - 1)]


def _programs(rng: Generator, family: Family) -> tuple[int, int, int]:
    return int(rng.choice(family.leads)), int(rng.choice(family.chords)), int(rng.choice(family.basses))
