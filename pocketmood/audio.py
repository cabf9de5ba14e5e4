"""Audio loading: any file becomes a waveform of one sample rate and length, mono, its loudness untouched.

Conventions: waveforms are float32 in [-1, 1]. Mixing down is the mean over channels. A clip longer than needed is cut
to its middle; a shorter one is repeated from its start until it is long enough. Nothing is ever normalised: loudness is
the first cue of arousal. Values beyond full scale are clipped.

Every way in which a file can be bad is an AudioError that names the file, what is wrong and what to do.
"""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketmood.errors import AudioError
from pocketmood.sound_file import opened
from pocketmood.spec import MelSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Wave = NDArray[np.float32]

SUFFIXES = (".mp3", ".wav", ".flac", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64")
FULL_SCALE = 32_768.0
"""An int16 sample of this size would be a waveform value of 1."""
SHORTEST_S = 1.0
LONGEST_S = 4 * 3600.0
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000
MOST_CHANNELS = 64
# Float files may overshoot full scale a little; integers stored as floats (up to 32768) are a mistake to be told about.
HIGHEST_PEAK = 64.0

_BLOCK_FRAMES = 1 << 18
MARGIN_S = 0.25
"""What is decoded on either side of a clip, for the resampler's edges."""
# Encoders' delay and padding make decoders end up to two frames early: .05 s at 44.1 kHz, .14 s at 16 kHz.
_SHORTFALL_S, _SHORTFALL_SHARE = 0.25, 0.01
# Writers into pipes declare "as long as possible" because they cannot go back to fill in the size.
_UNKNOWN_SIZE = 0x7FF00000
_DECLARED_SIZE = re.compile(r":\s*(\d+)\s*\(should be (\d+)\)")
_MAGIC = {
    b"RIFF": "WAV", b"RF64": "WAV", b"riff": "W64", b"FORM": "AIFF", b"fLaC": "FLAC", b"OggS": "Ogg",
    b"ID3": "MP3", b".snd": "AU", b"caff": "CAF",
}  # fmt: skip


def load(path: Path | str, spec: MelSpec, start_s: float | None = None) -> Wave:
    """Return a file's clip, the input of every model: float32 [spec.samples] in [-1, 1].

    start_s: where the clip begins, at least `MARGIN_S` from either end of the file; the file's middle if left out.
    """
    import numpy as np

    wave, rate = decode(path, spec.seconds, start_s)
    # Clipped last: the resampler's filter may overshoot what lay within full scale.
    return np.clip(fit(resample(wave, rate, spec.sample_rate), spec.samples), -1.0, 1.0)


def decode(path: Path | str, seconds: float | None = None, start_s: float | None = None) -> tuple[Wave, int]:
    """Decode a file to mono; return it with its own sample rate.

    seconds: where given, only so many seconds of a longer file are decoded (and a quarter of a second on either side,
    for the resampler's edges), so that an hour of music costs no more memory than a clip. start_s: where these begin;
    they are the file's middle if left out.
    """
    path = Path(path)
    _refuse_unreadable(path)
    try:
        import soundfile
    except ImportError as error:
        raise AudioError(f"{path}: cannot be decoded without soundfile. Type `pip install soundfile soxr`") from error
    with ExitStack() as stack:
        try:
            file = stack.enter_context(opened(path))
        except (soundfile.LibsndfileError, TypeError, ValueError) as error:
            raise AudioError(f"{path}: {_why_not_open(path, error)}") from error
        try:
            frames = _frames(path, file)
            wave = _read_part(path, file, frames, _window(frames, int(file.samplerate), seconds, start_s))
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{path}: damaged or cut short: the decoder stopped ({_decoder_words(error)})") from error
        return wave, int(file.samplerate)


def duration_s(path: Path) -> float:
    """Return the length of a file in seconds, as its header says or, where that guesses, by decoding it."""
    import soundfile

    _refuse_unreadable(path)
    try:
        with opened(path) as file:
            return _frames(path, file) / int(file.samplerate)
    except (soundfile.LibsndfileError, TypeError, ValueError) as error:
        raise AudioError(f"{path}: {_why_not_open(path, error)}") from error


def mix_down(wave: NDArray[Any]) -> Wave:
    """Average the channels of [S, C] to mono [S]."""
    import numpy as np

    return np.asarray(wave.mean(axis=1, dtype=np.float32))


def resample(wave: Wave, rate: int, new_rate: int) -> Wave:
    """Bring a waveform to another sample rate (soxr, high quality: 20 bits)."""
    import numpy as np
    import soxr

    return wave if rate == new_rate else np.asarray(soxr.resample(wave, rate, new_rate, quality="HQ"), np.float32)


def fit(wave: Wave, samples: int) -> Wave:
    """Return exactly `samples` samples: the middle of a longer waveform, a shorter one repeated from its start."""
    import numpy as np

    start = max(0, len(wave) - samples) // 2
    return np.resize(wave, samples) if len(wave) < samples else wave[start : start + samples]


def _refuse_unreadable(path: Path) -> None:
    """Refuse what is no file with something in it, before a decoder gets to see it."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(f"{path}: is a folder, not an audio file")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{path}: is a device or pipe, not an audio file; save the sound to a file first")
        if status.st_size == 0:
            raise AudioError(f"{path}: is empty (0 bytes)")
        path.open("rb").close()
    except FileNotFoundError as error:
        raise AudioError(f"{path}: does not exist") from error
    except (OSError, ValueError) as error:
        raise AudioError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _why_not_open(path: Path, error: Exception) -> str:
    """Tell damaged audio from what never was audio, by the first bytes; libsndfile's own words mislead (MP3)."""
    with path.open("rb") as file:
        head = file.read(12).ljust(12, b"\0")
    kind = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if head[4:8] == b"ftyp":
        return "MP4/M4A audio is not supported; convert it to WAV, FLAC, OGG or MP3 first"
    if path.suffix.lower() == ".raw":
        return "headerless raw audio is not supported; convert it to WAV first"
    # An MPEG frame begins with eleven set bits; the layer's two bits are never both 0.
    if kind == "MP3" or (head[:1] == b"\xff" and head[1] >= 0xE0 and head[1] & 0x06):
        return "looks like MP3, but is damaged or cut short: no frame could be decoded"
    if kind:
        return f"looks like {kind}, but its header is absurd, damaged or cut short ({_decoder_words(error)})"
    return "is not audio in any format that libsndfile reads (WAV, FLAC, OGG, MP3, AIFF, ...)"


def _decoder_words(error: Exception) -> str:
    """Return what libsndfile says, without the path and the stop at its end."""
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(" .")


def _frames(path: Path, file: Any) -> int:
    """Return how many frames there are, after refusing headers that no music has."""
    rate, channels, frames = int(file.samplerate), int(file.channels), int(file.frames)
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioError(f"{path}: absurd header: {rate} samples per second (1 000 to 768 000 are read)")
    if channels > MOST_CHANNELS:
        raise AudioError(f"{path}: absurd header: {channels} channels (at most {MOST_CHANNELS} are read)")
    if file.format == "MP3" and not _mp3_tells_length(path):
        frames = _count(path, file)
    if frames <= 0:
        raise AudioError(f"{path}: holds no samples")
    if frames > LONGEST_S * rate:
        hours = frames / rate / 3600
        raise AudioError(f"{path}: absurd length: {hours:,.0f} h by its header (at most 4 h are read); cut it first")
    _refuse_cut(path, file)
    if frames < SHORTEST_S * rate:
        raise AudioError(f"{path}: too short: {frames / rate:.2f} s (at least {SHORTEST_S:.0f} s is needed)")
    return frames


def _mp3_tells_length(path: Path) -> bool:
    """Tell whether an MP3 begins with a Xing, Info or VBRI header.

    Without one the decoder guesses the length from the first frame's bit rate, and is off by any factor for variable
    bit rates: an undamaged file would look cut short, and its middle would lie elsewhere.
    """
    with path.open("rb") as file:
        head = file.read(10)
        tag = 0
        # An ID3 tag tells its size in four bytes of seven bits each.
        if head.startswith(b"ID3") and len(head) == 10:
            tag = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        file.seek(tag)
        first = file.read(4096)
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))


def _count(path: Path, file: Any) -> int:
    """Decode to the end just to count; stops past the longest length that is read."""
    frames = 0
    limit = LONGEST_S * file.samplerate
    while frames <= limit:
        got = len(file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True))
        frames += got
        if got < _BLOCK_FRAMES:
            break
    file.seek(0)
    return frames


def _refuse_cut(path: Path, file: Any) -> None:
    """Refuse files that end before their own header says: libsndfile reads them quietly as shorter ones."""
    for declared, there in ((int(a), int(b)) for a, b in _DECLARED_SIZE.findall(file.extra_info)):
        if there < declared * (1 - _SHORTFALL_SHARE) and declared < _UNKNOWN_SIZE:
            raise AudioError(f"{path}: cut short: its header promises {declared:,} bytes, {there:,} are there")
    if file.format == "OGG" and _last_page_is_cut(path):
        raise AudioError(f"{path}: cut short: its last Ogg page is incomplete")


def _last_page_is_cut(path: Path) -> bool:
    """Tell whether an Ogg file ends inside a page (27 bytes of header, a table of segment sizes, the segments)."""
    with path.open("rb") as file:
        # A page has at most 65 307 bytes, so that the last one begins within these 128 KiB.
        file.seek(max(0, path.stat().st_size - (1 << 17)))
        tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0 or page + 27 > len(tail):
        return True
    segments = tail[page + 26]
    return page + 27 + segments + sum(tail[page + 27 : page + 27 + segments]) > len(tail)


def _window(frames: int, rate: int, seconds: float | None, start_s: float | None) -> tuple[int, int]:
    """Return the first frame to read, and how many: of the middle, or from `start_s` on."""
    wanted = frames if seconds is None else min(frames, math.ceil((seconds + 2 * MARGIN_S) * rate))
    # The same number of frames is left out on either side, so that the middle stays the middle.
    wanted += (frames - wanted) % 2
    if start_s is None:
        return (frames - wanted) // 2, wanted
    return min(max(0, round((start_s - MARGIN_S) * rate)), frames - wanted), wanted


def _read_part(path: Path, file: Any, frames: int, window: tuple[int, int]) -> Wave:
    """Read some frames block by block, mixed down at once: many channels never lie in memory together."""
    import numpy as np

    rate, (start, wanted) = int(file.samplerate), window
    _move_to(file, start)
    blocks = list(_blocks(file, wanted))
    wave = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    allowed = max(_SHORTFALL_S * rate, _SHORTFALL_SHARE * frames)
    # Counted to the end of the file: a share of hours would forgive a clip of which nothing is there.
    missing = frames - start - len(wave) if len(wave) < wanted else 0
    # The part may be whole where the end is not: a cut file is refused wherever its clip would lie.
    if not missing and start and file.seekable():
        missing = _missing_at_end(file, frames, math.ceil(2 * allowed))
    if missing > allowed:
        raise AudioError(f"{path}: cut short: its header promises {frames / rate:.1f} s, the sound ends before that")

    if not np.isfinite(wave).all():
        raise AudioError(f"{path}: holds {int((~np.isfinite(wave)).sum()):,} NaN or infinite samples; export it again")
    peak = float(np.abs(wave).max())
    if peak > HIGHEST_PEAK:
        raise AudioError(f"{path}: samples reach {peak:,.0f} where full scale is 1; were integers saved as floats?")
    return wave


def _blocks(file: Any, wanted: int) -> Iterator[Wave]:
    """Yield up to `wanted` frames from here, mixed down, in blocks."""
    while wanted > 0:
        block = file.read(min(wanted, _BLOCK_FRAMES), dtype="float32", always_2d=True)  # [S, C]
        if not len(block):
            return
        wanted -= len(block)
        yield mix_down(block)


def _move_to(file: Any, start: int) -> None:
    """Go to a frame; a few old formats cannot seek and are read up to there."""
    if file.seekable():
        file.seek(start)
    else:
        for _ in _blocks(file, start):
            pass


def _missing_at_end(file: Any, frames: int, tail: int) -> int:
    """Return how many of the last `tail` frames are not there, without decoding what lies between."""
    file.seek(max(0, frames - tail))
    return min(tail, frames) - sum(len(block) for block in _blocks(file, tail))
