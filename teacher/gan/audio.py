"""The listening page: WAVs of five named emotions beside real songs, made from spectrograms by Griffin-Lim.

A spectrogram keeps no phase and only 128 bands, so its way back to sound costs something by itself. Real training clips
nearest to each emotion go the same way: what they lack is the inversion's doing, what only the generated clips lack is
the generator's. Every WAV is brought to full scale, so loudness cannot be compared by ear.
"""

from __future__ import annotations

import sys
import wave
from dataclasses import dataclass, replace
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from pocketmood.emotion import Emotion
from pocketmood.errors import DataError, RunError
from pocketmood.runs import write_text
from pocketmood.spec import MelSpec, mel_filters
from teacher.gan.record import ListeningRecord, Pair, Sound
from teacher.report import frame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split

PAGE = "index.html"
ITERATIONS = 32
"""Of Griffin-Lim, which looks for a phase that fits the magnitudes."""
UPDATES = 12
"""Of the powers of bins; leaves .1 to .5 dB per band of recorded clips, where the lost phase costs 1.2 to 1.4 dB."""
_TINY = 1e-20
_FULL = 32_767


@dataclass(frozen=True)
class _Mels:
    """Spectrograms [M, T] of a pair before they are sounds."""

    name: str
    """The emotion in one word."""
    asked: Emotion
    """The emotion that the generator was given."""
    song: str
    """Id of the real song."""
    rated: tuple[float, float]
    """Valence and arousal of the real song."""
    real: NDArray[np.float32]
    generated: NDArray[np.float32]
    """Spectrograms of the real song and of the generator's clip, in [-1, 1]."""


def write_page(gan: Path, store: ClipStore, split: Split, folder: Path, seed: int, seconds: float) -> ListeningRecord:
    """Write WAVs, spectrograms and index.html of the first `seconds` into `folder`.

    Where librosa is not installed nothing is written, and print and record say so. RunError for a generator of another
    spectrogram, DataError for a length that no clip has.
    """
    spec = MelSpec()
    if not 0 < seconds <= spec.seconds:
        raise DataError(f"{seconds} seconds to listen to; a clip has more than 0 and at most {spec.seconds:g}")
    if find_spec("librosa") is None:
        why = "left out: librosa is not installed here; type `pip install librosa` before the next teacher run"
        print(f"listen: {why}", flush=True)
        return ListeningRecord(left_out=why)

    samples = round(seconds * spec.sample_rate)
    mels = _pairs(gan, store, split, seed, spec)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = []
    for pair in tqdm(mels, "listen", disable=not sys.stderr.isatty(), leave=False):
        # Both kinds with one seed: Griffin-Lim begins with random phases, and a difference must not come from them.
        real = _write_sound(folder, f"{pair.name}-real", pair.real, samples, seed)
        generated = _write_sound(folder, f"{pair.name}-generated", pair.generated, samples, seed)
        pairs.append(Pair(pair.name, tuple(pair.asked), replace(real, id=pair.song, rated=pair.rated), generated))

    write_text(folder / PAGE, page(pairs, seconds, spec))
    print(f"listen: {len(pairs)} emotions, real and generated, in {PAGE} of this step", flush=True)
    return ListeningRecord(PAGE, seconds, tuple(pairs))


def _write_sound(folder: Path, name: str, mel: NDArray[np.float32], samples: int, seed: int) -> Sound:
    """Turn the beginning of a spectrogram into a WAV and a picture."""
    spec = MelSpec()
    mel = mel[:, : spec.frames(samples)]
    sound = invert(mel, spec, samples, seed)
    write_wav(folder / f"{name}.wav", sound, spec.sample_rate)
    _draw(mel, folder / f"{name}.png")
    return Sound(name, _level_error(sound, mel, spec))


def invert(mel: NDArray[np.float32], spec: MelSpec, samples: int, seed: int) -> NDArray[np.float32]:
    """Return a waveform [S] whose spectrogram is about `mel` [M, T] in [-1, 1]; its level is the spectrogram's own."""
    import librosa  # some 20 s at its first use in a process: only where a page is made

    level_db = (np.asarray(mel, np.float64) + 1) * (spec.high_db - spec.low_db) / 2 + spec.low_db
    power = linear_power(10 ** (level_db / 10), mel_filters(spec))
    # Constant padding, as the front end frames a clip: mirrored edges would add sound that the spectrogram never had.
    sound: NDArray[np.float32] = librosa.griffinlim(
        np.sqrt(power).astype(np.float32),
        n_iter=ITERATIONS,
        hop_length=spec.hop,
        n_fft=spec.n_fft,
        length=samples,
        pad_mode="constant",
        random_state=seed,
    )
    return sound


def linear_power(mel_power: NDArray[np.float64], filters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return powers [K, T] of FFT bins, none negative, that `filters` [M, K] weigh into about `mel_power` [M, T].

    Starts from each band's mean density and takes multiplicative steps (Lee and Seung 2001, their divergence): these
    stay positive, and weigh errors by ratio, as dB do. The clamped pseudo-inverse is 1.5 to 5 dB off and no better as
    a start; librosa's own least squares takes half a minute a clip.
    """
    weight = np.maximum(filters.sum(0)[:, None], _TINY)
    density = mel_power / np.maximum(filters.sum(1)[:, None], _TINY)
    power: NDArray[np.float64] = filters.T @ density / weight
    for _ in range(UPDATES):
        # Each bin by the mean ratio of its bands: a band that is met leaves its bins alone.
        power *= filters.T @ (mel_power / np.maximum(filters @ power, _TINY)) / weight
    return power


def write_wav(path: Path, sound: NDArray[np.float32], sample_rate: int) -> None:
    """Write mono 16-bit PCM with its peak at full scale; silence stays silence."""
    # Full scale: a quiet spectrogram would otherwise give a WAV that laptops do not make audible.
    peak = float(np.abs(sound).max())
    scaled = np.rint(sound * (_FULL / peak if peak > 0 else 0.0)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(scaled.tobytes())


def page(pairs: Sequence[Pair], seconds: float, spec: MelSpec) -> str:
    """Lay out a card per emotion: real beside generated, spectrogram above player."""
    body = [
        "<header><h1>Five emotions, real and generated</h1>",
        '<p class="lead">Real: a training song rated near the emotion. Generated: the clip made for it. Both '
        "come out of their spectrogram by Griffin-Lim: what sounds wrong in the real one is the inversion's doing.</p>",
        "</header>",
        f'<p class="say">First {seconds:g} s; {spec.bands} mel bands, 0 to {spec.high_hz / 1000:g} kHz from bottom to '
        f"top; {spec.low_db:g} dB black, {spec.high_db:g} dB bright. Each player is at full scale, whatever the clip's "
        "own level. Level error: mean over bands and frames between the spectrogram that was asked for and that of the "
        "sound, before scaling.</p>",
    ]
    for pair in pairs:
        cards = _card(pair.real) + _card(pair.generated)
        head = f"<h2>{escape(pair.name)} <small>{_words(pair.asked)}</small></h2>"
        body.append(f'{head}<div class="two">{cards}</div>')
    body.append('<p><a href="../report.html">Back to the teacher\'s report</a></p>')
    return frame("pocketmood: five emotions to listen to", "\n".join(body))


def _card(clip: Sound) -> str:
    """Show one clip."""
    what = "generated"
    if clip.id is not None and clip.rated is not None:
        what = f"real song {escape(clip.id)}, rated {_words(clip.rated)}"
    return (
        f'<figure class="card"><h3>{what}</h3>'
        f'<img class="mel" alt="spectrogram, {what}" src="{escape(clip.file)}.png">'
        f'<audio controls preload="none" src="{escape(clip.file)}.wav"></audio>'
        f"<figcaption>level error {clip.error_db:.1f} dB</figcaption></figure>"
    )


def _words(emotion: tuple[float, float]) -> str:
    """Write an emotion for people."""
    return f"valence {emotion[0]:+.2f}, arousal {emotion[1]:+.2f}"


def _pairs(gan: Path, store: ClipStore, split: Split, seed: int, spec: MelSpec) -> list[_Mels]:
    """Draw each landmark from the same noise, and find the training song rated nearest to it."""
    import torch

    from pocketmood.training.device import default_device
    from teacher.gan.model import load_generator
    from teacher.gan.training_songs import LANDMARKS, TrainingSongs

    generator, record = load_generator(gan)
    if record.spec_hash != spec.hash:
        raise RunError(f"{gan}: its generator draws spectrogram {record.spec_hash}, not {spec.hash}; train it again")
    songs, place = TrainingSongs(store, split), default_device()
    generator.to(place)
    # The same noise for all: what differs between the emotions is then the condition's doing.
    noise = np.random.default_rng([seed, len(LANDMARKS)]).standard_normal((1, generator.latent), np.float32)

    pairs = []
    for name, emotion in LANDMARKS.items():
        # Nearest by rating, not by sound: the page shows what people mean by the emotion.
        asked = np.array([emotion], np.float32)
        with torch.no_grad():
            generated = generator(torch.from_numpy(noise).to(place), torch.from_numpy(asked).to(place)).cpu().numpy()
        nearest = int(((songs.labels - asked) ** 2).sum(1).argmin())
        song, (valence, arousal) = songs.ids[nearest], songs.labels[nearest]
        real = songs.mels([song]).cpu().numpy()
        pairs.append(_Mels(name, emotion, song, (float(valence), float(arousal)), real[0, 0], generated[0, 0]))
    return pairs


def _level_error(sound: NDArray[np.float32], mel: NDArray[np.float32], spec: MelSpec) -> float:
    """Return the mean absolute difference in dB between a sound's spectrogram and the one asked for."""
    import torch

    from pocketmood.mel import MelFrontEnd

    # Through the front end itself, so that an error is one that a network would see.
    heard = MelFrontEnd(spec)(torch.from_numpy(np.ascontiguousarray(sound))[None])[0, 0].numpy()
    return float(np.abs(heard - mel[:, : heard.shape[1]]).mean() * (spec.high_db - spec.low_db) / 2)


def _draw(mel: NDArray[np.float32], path: Path) -> None:
    """Write a spectrogram as bare pixels, one per band and frame: the page brings the words, in any theme."""
    from matplotlib.image import imsave

    imsave(path, mel, vmin=-1, vmax=1, cmap="magma", origin="lower")
