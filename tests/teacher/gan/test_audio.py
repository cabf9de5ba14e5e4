"""Spectrograms to sound: the inversion by hand and on tones, WAVs, and the page of five emotions."""

from __future__ import annotations

import re
import wave
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketmood.data.clips import ClipStore
from pocketmood.data.split import Split
from pocketmood.errors import DataError, RunError
from pocketmood.mel import MelFrontEnd
from pocketmood.records import from_json
from pocketmood.runs import read_json, write_json
from pocketmood.spec import MelSpec, mel_filters
from teacher.gan import audio
from teacher.gan.model import Generator, save_generator
from teacher.gan.record import ListeningRecord
from teacher.gan.training_songs import LANDMARKS
from tests.helpers.gan import gan_record

SPEC = MelSpec()
SECONDS = 0.5


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gan")
    torch.manual_seed(0)
    save_generator(Generator(latent=6, embedding=4, width=2, upsampling="resize"), folder, gan_record(SPEC.hash))
    return folder


def data(run: Path) -> tuple[ClipStore, Split]:
    return ClipStore.open(run / "data" / "store"), Split.load(run / "data" / "split.json")


def tones(seconds: float = 1.5) -> np.ndarray:
    """Three tones that come and go, as a waveform [S]."""
    time_s = np.arange(round(seconds * SPEC.sample_rate)) / SPEC.sample_rate
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 2 * time_s)
    sound = sum(np.sin(2 * np.pi * hz * time_s) / n for n, hz in enumerate((330.0, 880.0, 2640.0), 1))
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(time_s))
    return (0.2 * swell * sound + noise).astype(np.float32)


def mel_of(sound: np.ndarray) -> np.ndarray:
    return MelFrontEnd(SPEC)(torch.from_numpy(sound)[None])[0, 0].numpy()


def test_bin_powers_by_hand() -> None:
    # Two bands over three bins that share the middle one; four of power 2 each explain (3, 3).
    filters = np.array([[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]])
    found = audio.linear_power(np.array([[3.0, 0.0], [3.0, 0.0]]), filters)
    np.testing.assert_allclose(filters @ found, [[3, 0], [3, 0]], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found[:, 0], [2, 2, 2], rtol=1e-6, atol=0)


def test_bin_powers_equal_their_slow_twin() -> None:
    rng = np.random.default_rng(1)
    filters, wanted = rng.uniform(0, 1, (4, 7)), rng.uniform(0.1, 5, (4, 2))
    for frame in range(2):
        y = wanted[:, frame]
        x = [sum(filters[m, k] * y[m] / filters[m].sum() for m in range(4)) / filters[:, k].sum() for k in range(7)]
        for _ in range(audio.UPDATES):
            heard = [sum(filters[m, k] * x[k] for k in range(7)) for m in range(4)]
            x = [x[k] * sum(filters[m, k] * y[m] / heard[m] for m in range(4)) / filters[:, k].sum() for k in range(7)]
        found = audio.linear_power(wanted[:, [frame]], filters)[:, 0]
        np.testing.assert_allclose(found, x, rtol=1e-9, atol=1e-12)


def test_bin_powers_of_music_like_bands_are_near_and_never_negative() -> None:
    filters = mel_filters(SPEC)
    wanted = 10 ** ((mel_of(tones()).astype(float) + 1) * 5 - 6)
    found = audio.linear_power(wanted, filters)
    assert found.shape == (1025, wanted.shape[1]) and found.min() >= 0
    off_db = np.abs(10 * np.log10(np.maximum(filters @ found, 1e-6) / wanted))
    clamped_db = np.abs(
        10 * np.log10(np.maximum(filters @ np.maximum(np.linalg.pinv(filters) @ wanted, 0), 1e-6) / wanted)
    )
    assert off_db.mean() < 0.5 < clamped_db.mean()


def test_a_sound_keeps_its_spectrogram_its_level_and_its_length() -> None:
    sound = tones()
    found = audio.invert(mel_of(sound), SPEC, len(sound), seed=0)
    assert found.shape == sound.shape and found.dtype == np.float32
    # Power of the whole: within half a dB. The phase is lost, so samples are not compared.
    np.testing.assert_allclose(10 * np.log10((found**2).mean() / (sound**2).mean()), 0, rtol=0, atol=0.5)
    loud = np.abs(np.fft.rfft(found))
    hz = np.fft.rfftfreq(len(found), 1 / SPEC.sample_rate)[loud.argmax()]
    assert abs(hz - 330) < 15
    assert audio._level_error(found, mel_of(sound), SPEC) < 3
    assert np.array_equal(found, audio.invert(mel_of(sound), SPEC, len(sound), seed=0))


@pytest.mark.parametrize("level", [0.001, 0.5, 3.0])
def test_a_wav_is_16_bit_mono_at_full_scale(tmp_path: Path, level: float) -> None:
    audio.write_wav(tmp_path / "a.wav", np.array([0, level, -level / 2], np.float32), 22_050)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 22_050)
        assert np.frombuffer(file.readframes(9), "<i2").tolist() == [0, 32_767, -16_384]


def test_silence_stays_silence(tmp_path: Path) -> None:
    audio.write_wav(tmp_path / "a.wav", np.zeros(5, np.float32), 22_050)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.readframes(9) == bytes(10)


def test_the_page_plays_what_lies_beside_it(gan: Path, tiny_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("librosa")
    store, split = data(tiny_data)
    record = audio.write_page(gan, store, split, tmp_path / "listen", 0, SECONDS)
    assert [pair.name for pair in record.clips] == list(LANDMARKS) and record.seconds == SECONDS
    text = (tmp_path / "listen" / "index.html").read_text()
    linked = set(re.findall(r'src="([^"]+)"', text))
    assert linked == {path.name for path in (tmp_path / "listen").iterdir()} - {"index.html"} and len(linked) == 20
    assert "http" not in text and text.index("sad-calm-real.wav") < text.index("sad-calm-generated.wav")
    for pair in record.clips:
        asked = np.array(LANDMARKS[pair.name])
        assert f"valence {asked[0]:+.2f}, arousal {asked[1]:+.2f}" in text
        distances = ((store.labels(split.train) - asked) ** 2).sum(1)
        assert pair.real.id == split.train[distances.argmin()]  # nearest, and never a held-out song
        assert 0 <= pair.real.error_db < 5 and pair.generated.error_db >= 0
    with wave.open(str(tmp_path / "listen" / "neutral-generated.wav")) as file:
        assert file.getnframes() == 11_025
    write_json(tmp_path / "record.json", asdict(record))  # what a stage does with it
    assert from_json(ListeningRecord, read_json(tmp_path / "record.json"), "record.json") == record


def test_without_librosa_print_and_record_say_so(
    gan: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audio, "find_spec", lambda name: None)
    record = audio.write_page(gan, *data(tiny_data), tmp_path / "listen", 0, SECONDS)
    assert record.page is None and record.clips == () and "librosa is not installed" in str(record.left_out)
    assert "librosa is not installed" in capsys.readouterr().out and not (tmp_path / "listen").exists()


def test_another_spectrogram_and_other_lengths_are_refused(gan: Path, tiny_data: Path, tmp_path: Path) -> None:
    store, split = data(tiny_data)
    for seconds in (0.0, -1.0, 31.0):
        with pytest.raises(DataError, match=r"seconds to listen to.*at most 30"):
            audio.write_page(gan, store, split, tmp_path, 0, seconds)
    save_generator(Generator(6, 4, 2), tmp_path, gan_record("0" * 16))
    with pytest.raises(RunError, match=f"0000, not {SPEC.hash}; train it again"):
        audio.write_page(tmp_path, store, split, tmp_path, 0, SECONDS)
