"""Audio: every format, rate and layout in; one clip out; and every way in which a file can be bad."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from pocketmood import audio, sound_file
from pocketmood.errors import AudioError
from pocketmood.spec import MelSpec

SPEC = MelSpec(seconds=2.0)
RATE = SPEC.sample_rate


def tone(rate: int, seconds: float, pitch_hz: float = 440.0, level: float = 0.25) -> NDArray[np.float32]:
    return (level * np.sin(2 * np.pi * pitch_hz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def write(path: Path, wave: NDArray[np.generic], rate: int, **how: object) -> Path:
    soundfile.write(path, wave, rate, **how)
    return path


def wav(data: bytes, rate: int = RATE, channels: int = 1, bits: int = 16, form: int = 1, declared: int = -1) -> bytes:
    """Make a WAV file by hand, honest or not about its size."""
    size = len(data) if declared < 0 else declared
    frame = channels * bits // 8
    head = struct.pack("<IHHIIHH", 16, form, channels, rate, rate * frame % 2**32, frame % 2**16, bits)
    riff = struct.pack("<I", (36 + size) % 2**32)
    return b"RIFF" + riff + b"WAVEfmt " + head + b"data" + struct.pack("<I", size) + data


def mat4(seconds: int) -> bytes:
    """Make a MAT4 file of 72 bytes at 1 kHz that promises so many seconds in a row of int32, and holds one sample."""
    rate = struct.pack("<5i", 0, 1, 1, 0, 11) + b"samplerate\0" + struct.pack("<d", 1000)
    # libsndfile cuts a promise down to the file's size unless its bytes overflow 32 bits, as 4 x 2^30 more do.
    return rate + struct.pack("<5i", 20, 1, seconds * 1000 - 2**30, 0, 9) + b"wavedata\0" + bytes(4)


@pytest.mark.parametrize(
    ("suffix", "how"),
    [
        ("wav", {"subtype": "PCM_16"}),
        ("wav", {"subtype": "PCM_24"}),
        ("wav", {"subtype": "PCM_U8"}),
        ("wav", {"subtype": "FLOAT"}),
        ("wav", {"subtype": "DOUBLE"}),
        ("flac", {}),
        ("ogg", {}),
        ("opus", {"format": "OGG", "subtype": "OPUS"}),
        ("mp3", {}),
        ("aiff", {}),
        ("au", {}),
        ("caf", {}),
    ],
)
def test_every_format_and_layout_holds_the_same_tone(tmp_path: Path, suffix: str, how: dict[str, str]) -> None:
    rate = 48_000
    wave = np.stack([tone(rate, 3), tone(rate, 3)], axis=1)
    clip = audio.load(write(tmp_path / f"a.{suffix}", wave, rate, **how), SPEC)
    assert clip.shape == (SPEC.samples,)
    assert clip.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(clip.astype(np.float64) * np.hanning(len(clip))))
    assert spectrum.argmax() / SPEC.seconds == pytest.approx(440, abs=0.5)
    # 8-bit sound and lossy codecs move the level by less than 2 %.
    assert np.sqrt(np.mean(clip.astype(np.float64) ** 2)) == pytest.approx(0.25 / np.sqrt(2), rel=0.02)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_every_sample_rate_keeps_time_and_level(tmp_path: Path, rate: int) -> None:
    clip = audio.load(write(tmp_path / "a.wav", tone(rate, 2.0), rate, subtype="FLOAT"), SPEC)
    # The resampler's edges aside, the tone is where it would be had it been made at our rate.
    inner = slice(RATE // 10, -RATE // 10)
    np.testing.assert_allclose(clip[inner], tone(RATE, 2.0)[inner], rtol=0, atol=2e-4)


def test_mixing_down_is_the_mean_of_all_channels() -> None:
    np.testing.assert_allclose(audio.mix_down(np.array([[1.0, 0.5, 0.0], [-1, 0, 0.25]])), [0.5, -0.25], atol=1e-7)


def test_a_longer_clip_is_cut_to_its_middle_and_a_shorter_one_repeated() -> None:
    assert audio.fit(np.arange(10, dtype=np.float32), 4).tolist() == [3, 4, 5, 6]
    assert audio.fit(np.arange(9, dtype=np.float32), 4).tolist() == [2, 3, 4, 5]
    assert audio.fit(np.arange(3, dtype=np.float32), 8).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert audio.fit(np.arange(3, dtype=np.float32), 3).tolist() == [0, 1, 2]


def test_loudness_is_kept_and_what_exceeds_full_scale_is_clipped(tmp_path: Path) -> None:
    quiet = audio.load(write(tmp_path / "q.wav", tone(RATE, 2, level=0.001), RATE, subtype="FLOAT"), SPEC)
    assert np.abs(quiet).max() == pytest.approx(0.001, rel=1e-3)
    loud = audio.load(write(tmp_path / "l.wav", tone(RATE, 2, level=3.0), RATE, subtype="FLOAT"), SPEC)
    assert (loud.min(), loud.max()) == (-1.0, 1.0)


def test_digital_silence_is_music_too(tmp_path: Path) -> None:
    assert not audio.load(write(tmp_path / "s.wav", np.zeros(2 * RATE), RATE), SPEC).any()


@pytest.mark.parametrize(("suffix", "rate"), [("wav", 22_050), ("flac", 44_100), ("ogg", 44_100), ("mp3", 44_100)])
def test_only_the_middle_of_a_long_file_is_decoded_and_equals_the_whole_one(
    tmp_path: Path, suffix: str, rate: int
) -> None:
    noise = 0.1 * np.random.default_rng(3).standard_normal(12 * rate).astype(np.float32)
    path = write(tmp_path / f"long.{suffix}", noise, rate)
    whole, _ = audio.decode(path)
    middle, _ = audio.decode(path, SPEC.seconds)
    start = (len(whole) - len(middle)) // 2
    assert len(middle) == pytest.approx(2.5 * rate, abs=2)  # what is needed, and .25 s on either side
    # An MP3 decoder that starts in the middle rounds its overlaps otherwise, by 6e-8.
    np.testing.assert_allclose(middle, whole[start : start + len(middle)], rtol=0, atol=1e-6)


def test_an_mp3_without_a_length_header_is_counted_rather_than_guessed(tmp_path: Path) -> None:
    # Half a silence: at a variable bit rate the first frames suggest too long a file, which would look cut short.
    wave = np.concatenate([np.zeros(4 * 44_100), 0.2 * np.random.default_rng(0).standard_normal(4 * 44_100)])
    path = write(tmp_path / "a.mp3", wave, 44_100, compression_level=0.9, bitrate_mode="VARIABLE")
    data = path.read_bytes()
    tag = data.index(b"Xing")
    second_frame = data.index(data[:2], tag)
    bare = tmp_path / "bare.mp3"
    bare.write_bytes(data[second_frame:])
    assert soundfile.info(bare).frames > 1.1 * len(wave)
    decoded, _ = audio.decode(bare)
    assert len(decoded) == pytest.approx(len(wave), abs=3 * 1152)


BAD = {
    "missing.wav": (None, "does not exist"),
    "folder.wav": ("folder", "is a folder"),
    "empty.wav": (b"", r"is empty \(0 bytes\)"),
    "text.mp3": (b"These are words, no music.\n" * 100, "is not audio"),
    "noise.mp3": (np.random.default_rng(0).bytes(50_000), "is not audio"),
    "one_byte.wav": (b"R", "is not audio"),
    "head_only.wav": (wav(b"")[:30], "looks like WAV, but its header is absurd, damaged or cut short"),
    "no_samples.wav": (wav(b""), "holds no samples"),
    "short.wav": (wav(bytes(RATE)), r"too short: 0\.50 s"),
    "rate_0.wav": (wav(bytes(90_000), rate=0), "header is absurd"),
    "rate_1_million.wav": (wav(bytes(90_000), rate=1_000_000), "absurd header: 1000000 samples per second"),
    "rate_100.wav": (wav(bytes(90_000), rate=100), "absurd header: 100 samples per second"),
    "channels_0.wav": (wav(bytes(90_000), channels=0), "header is absurd"),
    "channels_200.wav": (wav(bytes(90_000), channels=200), "absurd header: 200 channels"),
    "five_hours.wav": (wav(bytes(5 * 3600 * 1000), rate=1000, bits=8), "absurd length: 5 h"),
    "cut.wav": (wav(bytes(90_000), declared=900_000), "cut short: its header promises 900,036 bytes"),
    "nan.wav": (wav(np.full(50_000, np.nan, "<f4").tobytes(), bits=32, form=3), "holds 50,000 NaN or infinite"),
    "infinite.wav": (wav(np.full(50_000, np.inf, "<f4").tobytes(), bits=32, form=3), "NaN or infinite"),
    "scale.wav": (wav(np.full(50_000, 20_000, "<f4").tobytes(), bits=32, form=3), "samples reach 20,000"),
    "huge_double.wav": (wav(np.full(50_000, 1e300, "<f8").tobytes(), bits=64, form=3), "NaN or infinite"),
    "two_hours.mat4": (mat4(7200), r"cut short: its header promises 7200\.0 s"),
    "a.m4a": (b"\0\0\0\x20ftypM4A " + bytes(5000), "MP4/M4A audio is not supported"),
    "a.raw": (bytes(90_000), "headerless raw audio is not supported"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    content, message = BAD[name]
    if content == "folder":
        (tmp_path / name).mkdir()
    elif isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioError, match=message) as error:
        audio.load(tmp_path / name, SPEC)
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "wav", "aiff", "au", "caf", "w64"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_file_that_is_cut_anywhere_is_refused(
    tmp_path: Path, suffix: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = 0.1 * np.random.default_rng(1).standard_normal(6 * 44_100)
    path = write(tmp_path / f"a.{suffix}", noise, 44_100)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(AudioError, match="cut short"):
        audio.load(path, SPEC)
    assert capfd.readouterr().err == ""


def test_an_mp3_whose_end_is_missing_is_refused_though_its_middle_is_there(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(1).standard_normal(20 * 44_100)
    path = write(tmp_path / "a.mp3", noise, 44_100)
    path.write_bytes(path.read_bytes()[: int(0.8 * path.stat().st_size)])
    with pytest.raises(AudioError, match=r"cut short: its header promises 20\.0 s"):
        audio.load(path, SPEC)


def test_damage_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", 0.1 * np.random.default_rng(1).standard_normal(6 * 44_100), 44_100)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = np.random.default_rng(2).bytes(4000)
    path.write_bytes(data)
    with pytest.raises(AudioError, match="damaged"):
        audio.load(path, SPEC)


def test_a_stream_of_unknown_length_is_no_cut_file(tmp_path: Path) -> None:
    # What ffmpeg writes into a pipe: sizes of 0xFFFFFFFF, because it cannot go back.
    data = (tone(RATE, 2) * 32767).astype("<i2").tobytes()
    path = tmp_path / "stream.wav"
    path.write_bytes(wav(data, declared=0xFFFFFFFF))
    np.testing.assert_allclose(audio.load(path, SPEC), tone(RATE, 2), rtol=0, atol=1e-4)


def test_a_device_is_refused() -> None:
    with pytest.raises(AudioError, match="is a device or pipe"):
        audio.load("/dev/zero", SPEC)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    secret = write(tmp_path / "a.wav", tone(RATE, 2), RATE)
    secret.chmod(0)
    with pytest.raises(AudioError, match="cannot be read"):
        audio.load(secret, SPEC)


def test_names_may_hold_anything(tmp_path: Path) -> None:
    wave = tone(RATE, 2)
    for name in ("with space (1).wav", "ünïcode 音楽.wav", "#%;'&.wav"):
        assert audio.load(write(tmp_path / name, wave, RATE), SPEC).shape == (SPEC.samples,)
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/latin-\xe9.wav")
    Path(odd).write_bytes((tmp_path / "#%;'&.wav").read_bytes())
    assert audio.load(odd, SPEC).shape == (SPEC.samples,)


def test_a_resource_fork_beside_a_file_is_not_taken_for_it(tmp_path: Path) -> None:
    write(tmp_path / "song.mp3", tone(RATE, 2), RATE)
    (tmp_path / "._song.mp3").write_bytes(b"left by a Mac's archive")
    assert audio.load(tmp_path / "song.mp3", SPEC).std() > 0.1


@pytest.mark.parametrize("left", ["._", ".AppleDouble"])
@pytest.mark.parametrize("suffix", ["mp3", "wav", "flac", "ogg"])
def test_what_lies_in_the_working_directory_changes_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str, suffix: str
) -> None:
    song = write(tmp_path / f"song.{suffix}", tone(RATE, 2), RATE)
    wanted = audio.load(song, SPEC)
    folder = tmp_path / "here"
    folder.mkdir()
    if left == "._":
        (folder / left).write_bytes(b"left by a Mac's archive")
    else:
        (folder / left).mkdir()
    monkeypatch.chdir(folder)
    np.testing.assert_array_equal(audio.load(song, SPEC), wanted)


def test_without_names_of_descriptors_a_file_is_opened_by_its_handle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = write(tmp_path / "song.mp3", tone(RATE, 2), RATE)
    wanted = audio.load(song, SPEC)
    monkeypatch.setattr(sound_file, "NAMES_OF_DESCRIPTORS", tmp_path / "none")
    np.testing.assert_array_equal(audio.load(song, SPEC), wanted)


def test_stderr_is_back_after_a_decoder_was_muted(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), sound_file.quiet_decoder():
        os.write(2, b"from a C library")
        raise RuntimeError
    os.write(2, b"ours")
    assert capfd.readouterr().err == "ours"
