"""Synthesis of a composed piece: a General MIDI soundfont plays its notes, LAME makes an MP3 of it.

The loudness of a piece is one of its cues, so no piece is brought to a common level: one gain serves all. The
soundfont is TimGM6mb, which pretty_midi ships; its samples are under GPL-2, so what is rendered here is for local use
and is never part of this repository or of a release.
"""

from __future__ import annotations

import io
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketmood.data.corpora.composer import DRUMS, MIDDLE_VELOCITY, PIECE_S, VELOCITY_PER_DB, Note, Piece
from pocketmood.errors import DataError

SOUNDFONT = "TimGM6mb.sf2"
# The loudest of 200 pieces peaks at .71 with this gain, one in a hundred beyond .67, the middle one at .21.
GAIN = 0.2
# Up to here nothing is touched; beyond, peaks bend so that no seed can clip.
KNEE = 0.85
# LAME at variable bit rate. 0.8 is the fastest that keeps the spectrogram's range to 9.5 kHz, at 44.1 kHz all of it (at
# 0.9 all above 8 kHz is gone). Encoding takes four fifths of the time of a song, one channel half as long as two.
COMPRESSION_LEVEL = 0.8
TICKS_PER_SECOND = 1000
LEAST_RATE = 44_100
"""Pieces are played at no lower rate: their colour is that of a filter at this rate."""
# symusic's synthesizer plays every note equally loud, whatever its velocity. So notes are rendered in layers of about
# equal level, each with its gain.
LAYER_DB = 2.5
# The zero of the filter that tilts a spectrum is at most this: 5 dB more or 3 dB less at 11 kHz than in the bass.
BRIGHTEST = 0.4
INSTALL = "pip install 'pocketmood[demo]' (in a checkout: pip install '.[demo]')"


def check_tools() -> None:
    """Raise DataError, with what to install, unless everything that rendering needs is there."""
    for package in ("symusic", "pretty_midi", "soundfile"):
        if find_spec(package) is None:
            raise DataError(f"rendering needs the package {package}, not installed here; {INSTALL}")
    try:
        found = version("symusic")
    except PackageNotFoundError:
        found = "unknown"
    if not found.startswith("0.5."):
        raise DataError(f"symusic {found} cannot hand back what it rendered; pip install symusic==0.5.9")
    if not soundfont().is_file():
        raise DataError(
            f"{soundfont()}: not found; this pretty_midi ships no soundfont, pip install pretty_midi==0.2.11"
        )


def soundfont() -> Path:
    """Return the path of the soundfont, without importing pretty_midi (which takes a second)."""
    spec = find_spec("pretty_midi")
    if spec is None or spec.origin is None:
        raise DataError(f"rendering needs the package pretty_midi, not installed here; {INSTALL}")
    return Path(spec.origin).parent / SOUNDFONT


def play(piece: Piece, sample_rate: int, channels: int, seconds: float = PIECE_S) -> NDArray[np.float32]:
    """Return the sound of a piece, [S, channels] in [-1, 1], at its own loudness."""
    import symusic

    # A new one for each piece (1 ms): it remembers something of what it has played, and two pieces in 800 sounded
    # otherwise after others, so that the same command did not always make the same corpus.
    synthesizer = symusic.Synthesizer(str(soundfont()), sample_rate, 0)
    wave = np.zeros((round(seconds * sample_rate), channels), dtype=np.float32)
    layers: dict[int, list[Note]] = {}
    for note in piece.notes:
        layers.setdefault(round(_decibels(note, piece) / LAYER_DB), []).append(note)
    for layer, notes in sorted(layers.items()):
        sound = _render(notes, piece, synthesizer, channels)
        wave[: len(sound)] += GAIN * 10 ** (layer * LAYER_DB / 20) * sound[: len(wave)]
    return soften(colour(wave, piece.parameters.brightness))


def colour(wave: NDArray[np.float32], brightness: float) -> NDArray[np.float32]:
    """Tilt the spectrum of [S, channels] by one zero, leaving the lowest frequencies as they are."""
    zero = BRIGHTEST * brightness
    tilted = wave.copy()
    tilted[1:] -= zero * wave[:-1]
    return (tilted / (1 - zero)).astype(np.float32)


def _decibels(note: Note, piece: Piece) -> float:
    """Return the level of a note relative to the middle of the dynamic range, as played and as mixed."""
    return (note.velocity - MIDDLE_VELOCITY) / VELOCITY_PER_DB + piece.parameters.mix_db[note.part]


def _render(notes: list[Note], piece: Piece, synthesizer: Any, channels: int) -> NDArray[np.float32]:
    """Return [S, channels] of some notes of a piece, all equally loud."""
    import symusic

    score = symusic.Score(TICKS_PER_SECOND // 2)
    score.tempos.append(symusic.Tempo(0, 120.0))  # two quarter notes a second: one tick is a millisecond
    for part, program in enumerate((*piece.parameters.programs, 0)):
        track = symusic.Track(program=program, is_drum=part == DRUMS)
        for note in notes:
            if note.part == part:
                start = round(note.start_s * TICKS_PER_SECOND)
                length = max(1, round(note.end_s * TICKS_PER_SECOND) - start)
                track.notes.append(symusic.Note(start, length, note.pitch, note.velocity))
        score.tracks.append(track)
    sound = synthesizer.render(score, stereo=channels == 2).T
    # For one channel the library adds up left and right, twice each; a quarter of that is their mean.
    return np.asarray(sound if channels == 2 else sound / 4, dtype=np.float32)


def soften(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bend what goes beyond the knee towards 1, smoothly; all below stays as it is."""
    over = np.maximum(np.abs(wave) - KNEE, 0)
    if not over.any():
        return wave
    room = 1 - KNEE
    bent = np.sign(wave) * (KNEE + room * np.tanh(over / room))
    return np.where(over > 0, bent, wave).astype(np.float32)


def at_rate(wave: NDArray[np.float32], sample_rate: int, wanted: int) -> NDArray[np.float32]:
    """Resample [S, channels]; unchanged where the rate is the wanted one."""
    if sample_rate == wanted:
        return wave
    import soxr

    resampled: NDArray[np.float32] = soxr.resample(wave, sample_rate, wanted)
    return resampled


def mp3(wave: NDArray[np.float32], sample_rate: int) -> bytes:
    """Encode [S, channels]; the same wave gives the same bytes."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(
        file, wave, sample_rate, format="MP3", subtype="MPEG_LAYER_III", compression_level=COMPRESSION_LEVEL
    )
    return file.getvalue()
