"""`pocketmood predict` with a model whose predictions are known, on good files and on every kind of bad one."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import pocketmood
from pocketmood import bundle, cli, command
from pocketmood.emotion import Emotion
from pocketmood.errors import BundleError
from pocketmood.spec import MelSpec
from tests.helpers import recordings

RATE = 22_050
HEAVY = {"torch", "transformers", "timm", "matplotlib", "librosa", "executorch", "coremltools", "tyro", "scipy"}


class FakeBundle:
    """A bundle whose model predicts the loudest sample as valence and a fixed arousal."""

    spec = MelSpec()
    warnings: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: Path) -> FakeBundle:
        if folder.name != "bundle":
            raise BundleError(f"{folder}: no bundle here")
        return cls()

    def predictor(self, runtime: str = "onnxruntime", precision: str = "fp32", threads: int = 0) -> bundle.Predictor:
        FakeBundle.asked = (runtime, precision)

        def predict(wave: NDArray[np.float32]) -> tuple[Emotion, Emotion]:
            assert wave.shape == (self.spec.samples,)
            return Emotion(float(wave.max()), -0.5), Emotion(0.25, 0.125)

        return predict


@pytest.fixture(autouse=True)
def fake_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "Bundle", FakeBundle)
    monkeypatch.setenv(cli.BUNDLE_VARIABLE, "bundle")


def tone(path: Path, loudest: float = 0.5, seconds: float = 31.0, rate: int = RATE, **how: str) -> Path:
    time_s = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, loudest * np.sin(2 * np.pi * 220.5 * time_s), rate, **how)
    return path


def bad_files(folder: Path) -> dict[str, Path]:
    """Make one file of each kind that is no usable music."""
    folder.mkdir()
    good = tone(folder / "good.wav").read_bytes()
    mp3 = tone(folder / "good.mp3", format="MP3").read_bytes()
    ogg = tone(folder / "good.ogg").read_bytes()
    flac = tone(folder / "good.flac").read_bytes()
    nothing = np.zeros(0)
    samples = np.full(RATE * 3, np.nan, np.float32)
    made = {name: folder / name for name in ("absent.mp3", "folder.wav", "nan.wav", "short.wav", "no_samples.wav")}
    made["folder.wav"].mkdir()
    soundfile.write(made["nan.wav"], samples, RATE, subtype="FLOAT")
    tone(made["short.wav"], seconds=0.2)
    soundfile.write(made["no_samples.wav"], nothing, RATE)
    contents = {
        "empty.mp3": b"",
        "text.mp3": b"This is a shopping list, not music.\n" * 200,
        "picture.wav": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40,
        "zeros.ogg": bytes(5_000),
        "header_only.wav": good[:30],
        "half.wav": good[: len(good) // 2],
        "half.ogg": ogg[: len(ogg) // 2 + 17],
        "half.flac": flac[: len(flac) // 2],
        "few_bytes.mp3": mp3[:60],
        "absurd_rate.wav": good[:24] + struct.pack("<I", 1) + good[28:],
        "song.m4a": b"\x00\x00\x00\x20ftypM4A " + bytes(4_000),
    }
    for name, content in contents.items():
        made[name] = folder / name
        made[name].write_bytes(content)
    return made


def test_one_line_per_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tone(tmp_path / "a.wav"), tone(tmp_path / "longer name.flac", 0.25)
    assert cli.main(["predict", str(first), str(second)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == "" and len(lines) == 2
    assert lines[0].startswith(str(first))
    assert "valence +0.50 ± 0.25  arousal -0.50 ± 0.12  relaxed (content-relaxed)" in lines[0]
    assert "valence +0.25" in lines[1] and lines[1].endswith(" ms")
    assert lines[0].index("valence") == lines[1].index("valence")
    assert FakeBundle.asked == ("onnxruntime", "fp32")


def test_warnings_of_a_bundle_are_told_once_and_not_among_the_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FakeBundle, "warnings", ("data: the labels are made up",))
    assert cli.main(["predict", *(str(tone(tmp_path / name)) for name in ("a.wav", "b.wav"))]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2 and err == "warning: data: the labels are made up\n"


def test_json_holds_the_same_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, absent = tone(tmp_path / "a.wav"), tmp_path / "absent.wav"
    arguments = ["predict", "--json", "--runtime", "executorch", "--precision", "int8", str(good), str(absent)]
    assert cli.main(arguments) == 1
    out, err = capsys.readouterr()
    first, second = json.loads(out)
    assert first.pop("milliseconds") > 0
    assert first == {
        "file": str(good),
        "valence": 0.5,
        "arousal": -0.5,
        "valence_interval68": 0.25,
        "arousal_interval68": 0.125,
        "mood": "relaxed",
        "quadrant": "content-relaxed",
    }
    assert second == {"file": str(absent), "error": f"{absent}: does not exist"}
    assert err == f"{absent}: does not exist\n"
    assert FakeBundle.asked == ("executorch", "int8")


def test_bad_files_get_a_line_each_and_the_others_a_prediction(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = bad_files(tmp_path / "bad")
    good = [tone(tmp_path / name) for name in ("first.wav", "last.wav")]
    assert cli.main(["predict", str(good[0]), *map(str, bad.values()), str(good[1])]) == 1
    out, err = capfd.readouterr()  # the file descriptors: C libraries print there
    assert [line.split("  ")[0].strip() for line in out.splitlines()] == list(map(str, good))
    complaints = err.splitlines()
    assert len(complaints) == len(bad) >= 12
    for path, complaint in zip(bad.values(), complaints, strict=True):
        assert complaint.startswith(f"{path}: ") and len(complaint) > len(str(path)) + 12
    # Each kind is told apart: no two causes share their words.
    causes = {name: line.removeprefix(f"{path}: ") for (name, path), line in zip(bad.items(), complaints, strict=True)}
    assert "NaN" in causes["nan.wav"] and "short" in causes["short.wav"] and "folder" in causes["folder.wav"]
    assert "empty" in causes["empty.mp3"] and "not audio" in causes["text.mp3"] and "cut short" in causes["half.wav"]
    assert "samples per second" in causes["absurd_rate.wav"] and "not supported" in causes["song.m4a"]


@pytest.mark.skipif(bool(recordings.missing()), reason=recordings.missing() or "-")
def test_recorded_music_in_three_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mp3 = next(path for path in recordings.pieces() if path.suffix == ".mp3")
    ogg = next(path for path in recordings.pieces() if path.suffix == ".ogg")
    sound, rate = soundfile.read(ogg, frames=40 * 44_100)
    wav = tmp_path / "stereo.wav"
    soundfile.write(wav, sound, rate)
    assert cli.main(["predict", str(mp3), str(ogg), str(wav)]) == 0
    assert capsys.readouterr().out.count("valence +") == 3


def test_no_bundle_says_what_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(cli.BUNDLE_VARIABLE)
    with pytest.raises(BundleError, match=r"--bundle FOLDER.*POCKETMOOD_BUNDLE.*make demo"):
        cli.main(["predict", str(tmp_path / "a.wav")])
    with pytest.raises(BundleError, match="elsewhere: no bundle here"):
        cli.main(["predict", "--bundle", "elsewhere", str(tmp_path / "a.wav")])


def test_stages_get_their_own_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[list[str]] = []
    for words, module in cli.DELEGATED.items():
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(main=lambda words: got.append(words)))
        assert cli.main([words, "--help", "--seed", "3"]) == 0
    assert got == [["--help", "--seed", "3"]] * len(cli.DELEGATED)


@pytest.mark.parametrize("words", [["predict"], ["sing"], [], ["predict", "--runtime", "abacus", "a.wav"]])
def test_what_is_no_command_exits_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    assert "usage: pocketmood" in capsys.readouterr().err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--version"], ["--help"], ["predict", "--help"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"pocketmood {pocketmood.__version__}\n")
    assert all(word in out for word in ("predict", "data", "render", "--bundle"))


def test_an_error_is_one_line_and_exit_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["pocketmood", "predict", "--bundle", "nowhere", "a.wav"])
    with pytest.raises(SystemExit) as stop:
        command.start(cli.main)
    assert stop.value.code == 1
    assert capsys.readouterr().err == "error: nowhere: no bundle here\n"


def test_a_reader_that_stops_listening_is_no_traceback(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "pocketmood", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert "Traceback" not in done.stderr


def test_predicting_imports_nothing_heavy(tmp_path: Path) -> None:
    song = tone(tmp_path / "a.wav")
    script = f"""
import sys, types
import numpy as np
from pocketmood.spec import MelSpec
from pocketmood.emotion import Emotion
class Bundle:
    spec = MelSpec()
    warnings = ()
    @classmethod
    def open(cls, folder): return cls()
    def predictor(self, *how): return lambda wave: (Emotion(0.1, 0.2), Emotion(0.3, 0.3))
import pocketmood.bundle
pocketmood.bundle.Bundle = Bundle
import pocketmood.__main__, pocketmood.cli
assert pocketmood.cli.main(["predict", "--bundle", "x", {str(song)!r}]) == 0
print("heavy:", sorted({HEAVY!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy: []"
