"""A small composer: turns the parameters of a song into half a minute of notes, and tells which cues came out.

Conventions: a piece is a function of (seed, song) alone. Times are seconds, a bar has `meter` beats, degrees are steps
of the mode's scale counted from the tonic (0), seven to the octave, negative ones below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pocketmood.data.corpora.instruments import DRUM_PATTERNS, MODES, TRIPLE_DRUMS
from pocketmood.data.corpora.song_parameters import Cues, SongParameters, parameters_of

PIECE_S = 31.0
LEAD, CHORDS, BASS, DRUMS = range(4)
MIDDLE_VELOCITY, VELOCITY_PER_DB = 78.0, 3.2
# Rhythms of one beat by the notes that an even one has: durations in beats (negative: a rest), with their likelihoods.
# Each set averages about that number of notes.
CELLS: dict[int, tuple[tuple[float, tuple[float, ...]], ...]] = {
    1: ((0.70, (1.0,)), (0.18, (0.5, 0.5)), (0.12, (-1.0,))),
    2: ((0.62, (0.5, 0.5)), (0.16, (1.0,)), (0.12, (0.75, 0.25)), (0.10, (-0.5, 0.5))),
    4: ((0.46, (0.25,) * 4), (0.20, (0.5, 0.25, 0.25)), (0.20, (0.25, 0.25, 0.5)), (0.14, (-0.25, 0.25, 0.5))),
}

Generator = np.random.Generator


class Note(NamedTuple):
    """One note; `part` is LEAD, CHORDS, BASS or DRUMS."""

    start_s: float
    end_s: float
    part: int
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Piece:
    """The notes in order of time, and the cues as they came out, which are what the ratings follow."""

    parameters: SongParameters
    """What was decided before the first note."""
    notes: tuple[Note, ...]
    """In order of time."""
    cues: Cues
    """As they came out in these notes."""


def compose(seed: int, song: int, seconds: float = PIECE_S) -> Piece:
    """Write a song: phrases of four bars (a b a c) over a chord progression, until `seconds` are full."""
    parameters = parameters_of(seed, song)
    rng = np.random.default_rng([seed, song, 13])
    writer = _Writer(parameters, rng)
    bar, start = 0, 0.0
    while start < seconds:
        writer.bar(bar, start)
        bar, start = bar + 1, start + parameters.meter * writer.beat_s
    notes = tuple(sorted(n._replace(end_s=min(n.end_s, seconds)) for n in writer.notes if n.start_s < seconds - 0.05))
    return Piece(parameters, notes, _as_played(parameters.cues, notes, seconds))


class _Writer:
    """Holds what bars of one piece share: beat, motifs, chords, where the melody stands."""

    def __init__(self, parameters: SongParameters, rng: Generator) -> None:
        self.parameters, self.rng = parameters, rng
        self.notes: list[Note] = []

        mode, wanted = MODES[parameters.mode], parameters.cues.notes_per_second
        self.scale = mode.steps
        self.roots = mode.progressions[rng.integers(len(mode.progressions))]
        # The grid changes where the beat would leave a walking pace; the limits move, or tempo would follow density.
        self.grid = 1 if wanted < 1.9 * rng.uniform(0.8, 1.2) else 2 if wanted < 4.2 * rng.uniform(0.8, 1.2) else 4
        rhythms = [[self._cell(rng) for _ in range(parameters.meter)] for _ in range(3)]
        self.rhythms = [rhythms[i] for i in (0, 1, 0, 2)]
        self.contours = [rng.integers(-2, 3, 4 * parameters.meter) for _ in range(3)]
        sung = sum(duration > 0 for bar in self.rhythms for cell in bar for duration in cell)
        self.beat_s = sung / (4 * parameters.meter) / wanted

        self.gate = float(np.interp(parameters.cues.articulation, [1, 2, 3, 4], [1.05, 0.8, 0.5, 0.25]))
        self.velocity = MIDDLE_VELOCITY + VELOCITY_PER_DB * parameters.cues.loudness_db
        # The tonic below the register, and the scale degree around which the melody moves.
        self.base = parameters.tonic + 12 * round((parameters.cues.register - parameters.tonic - 6) / 12)
        self.centre = round((parameters.cues.register - self.base) * 7 / 12)
        self.degree = self.centre
        self.drums_enter = int(rng.choice([0, 0, 2, 4]))

    def _cell(self, rng: Generator) -> tuple[float, ...]:
        """Draw the rhythm of one beat; a negative duration is a rest."""
        likelihoods, cells = zip(*CELLS[self.grid], strict=True)
        cell: tuple[float, ...] = cells[int(rng.choice(len(cells), p=likelihoods))]
        return cell

    def bar(self, bar: int, start: float) -> None:
        """Write all parts of one bar."""
        root = self.roots[bar % len(self.roots)]
        chord = [root, root + 2, root + 4] + ([root + 6] if self.rng.random() < 0.15 else [])
        # A phrase swells and falls by 2.7 units of velocity, just under one decibel.
        swell = 5.0 * math.sin(math.pi * (bar % 4 + 0.5) / 4) - 3.0
        self._lead(bar, start, chord, swell)
        self._chords(start, chord, swell)
        self._bass(start, root, swell)
        if self.parameters.pattern is not None and bar >= self.drums_enter:
            self._drums(bar, start)

    def _lead(self, bar: int, start: float, chord: list[int], swell: float) -> None:
        phrase = bar % 4
        contour = self.contours[(0, 1, 0, 2)[phrase]]
        step = 0
        for beat, cell in enumerate(self.rhythms[phrase]):
            at = float(beat)
            for duration in cell:
                if duration > 0:
                    self._move(int(contour[step % len(contour)]), chord, anchored=at == 0)
                    accent = swell + (8.0 if at == beat else 0.0)
                    self._add(LEAD, start, at, duration * self.gate, self._pitch(self.degree), accent)
                    step += 1
                at += abs(duration)

    def _move(self, interval: int, chord: list[int], anchored: bool) -> None:
        """Take the melody's next step: to a chord tone on the first beat, else along the motif, drawn to the centre."""
        if anchored:
            tones = [degree + 7 * octave for degree in chord for octave in (-1, 0, 1, 2)]
            cost = [abs(t - self.degree) + 0.3 * abs(t - self.centre) + self.rng.random() for t in tones]
            self.degree = tones[int(np.argmin(cost))]
            return
        step = interval if self.rng.random() < 0.8 else int(self.rng.integers(-2, 3))
        self.degree = round(self.degree + step + 0.25 * (self.centre - self.degree - step))

    def _chords(self, start: float, chord: list[int], swell: float) -> None:
        meter, gate = self.parameters.meter, self.gate
        hits: list[tuple[float, float, int]]  # at, length, pitch
        pitches = [self._near(degree, self.parameters.cues.register - 10) for degree in chord]

        match self.parameters.figure:
            case 0:  # block chords, twice a bar
                hits = [(at, length * gate, p) for at, length in ((0, 2), (2, meter - 2)) for p in pitches]
            case 1:  # broken chords
                per_beat = 1 if self.grid == 1 else 2
                hits = [
                    (i / per_beat, gate * 1.2 / per_beat, pitches[i % len(pitches)]) for i in range(meter * per_beat)
                ]
            case 2:  # after the beat
                hits = [(at + 0.5, 0.4 * gate, p) for at in range(meter) for p in pitches]
            case _:  # one long chord
                hits = [(0, meter * max(gate, 0.5), p) for p in pitches]
        for at, length, pitch in hits:
            self._add(CHORDS, start, at, length, pitch, swell - 12)

    def _bass(self, start: float, root: int, swell: float) -> None:
        meter, busy = self.parameters.meter, self.parameters.cues.notes_per_second > 3
        for beat in range(meter):
            if beat not in (0, 2) and not (busy and self.rng.random() < 0.6):
                continue
            degree = root + 4 if beat == 2 and self.rng.random() < 0.5 else root
            length = (0.95 if busy else 1.9) * max(self.gate, 0.5)
            self._add(BASS, start, beat, length, self._near(degree, 41), swell - 4)

    def _drums(self, bar: int, start: float) -> None:
        pattern = TRIPLE_DRUMS if self.parameters.meter == 3 else DRUM_PATTERNS[self.parameters.pattern or 0]
        if bar % 8 == self.drums_enter:
            self._add(DRUMS, start, 0, 0.5, 49, -6)
        for key, accent, slow, fast in pattern:
            # At a quick beat the fine subdivision would be a buzz.
            for at in fast if self.beat_s < 0.36 else slow:
                self._add(DRUMS, start, at, 0.1, key, accent)

    def _add(self, part: int, start: float, at: float, length: float, pitch: int, accent: float) -> None:
        """Add a note at beat `at`, played a little early or late and softer or louder, as by hand."""
        looseness = 0.003 if part == DRUMS else 0.008
        on = max(0.0, start + at * self.beat_s + self.rng.normal(0, looseness))
        velocity = min(max(round(self.velocity + accent + self.rng.normal(0, 4)), 15), 127)
        pitch = pitch if part == DRUMS else min(max(pitch, 24), 103)
        self.notes.append(Note(round(on, 4), round(on + max(0.04, length * self.beat_s), 4), part, pitch, velocity))

    def _pitch(self, degree: int) -> int:
        return int(self.base + self.scale[degree % 7] + 12 * (degree // 7))

    def _near(self, degree: int, centre: float) -> int:
        """Return the degree's pitch in the octave nearest to `centre`, which makes chords move smoothly."""
        pitch = self._pitch(degree)
        return pitch + 12 * round((centre - pitch) / 12)


def _as_played(meant: Cues, notes: tuple[Note, ...], seconds: float) -> Cues:
    """Measure the cues that performance changed: density and register of the melody, loudness after clipping."""
    lead = [note for note in notes if note.part == LEAD]
    velocity = float(np.mean([note.velocity for note in notes if note.part != DRUMS]))
    return Cues(
        major=meant.major,
        notes_per_second=len(lead) / seconds,
        register=float(np.mean([note.pitch for note in lead])),
        loudness_db=(velocity - MIDDLE_VELOCITY) / VELOCITY_PER_DB,
        articulation=meant.articulation,
        flute=meant.flute,
    )
