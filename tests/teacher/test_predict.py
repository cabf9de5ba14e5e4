"""`python -m teacher.predict`: any audio files, a trained teacher's predictions, one line each and a picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pocketmood.data.clips import Clip, ClipStore
from pocketmood.emotion import Emotion
from pocketmood.errors import PocketmoodError, RunError
from pocketmood.spec import MelSpec
from teacher import finetune, plots, predict
from teacher.config import VitConfig
from teacher.predict import Prediction, line
from teacher.vit import build_teacher, load_teacher, save_teacher
from tests.helpers.fine_tuned import fine_tuned

SPEC = MelSpec()
TINY = VitConfig(width=16, layers=1, heads=2, period_frames=64, frames=128, stride=10)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose teacher has random weights."""
    made = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    save_teacher(made / "teacher", build_teacher(TINY), TINY, fine_tuned())
    return made


def tone(path: Path, hz: float = 440.0, seconds: float = 30.0) -> Path:
    time_s = np.arange(round(seconds * SPEC.sample_rate)) / SPEC.sample_rate
    soundfile.write(path, 0.4 * np.sin(2 * np.pi * hz * time_s), SPEC.sample_rate)
    return path


def test_a_line_by_hand() -> None:
    prediction = Prediction(Path("a b.mp3"), Emotion(0.5, -0.25), Emotion(0.4, 0.35))
    assert line(prediction, 9) == (
        "a b.mp3    valence +0.50 ± 0.40 (7.0 on 1-9)  arousal -0.25 ± 0.35 (4.0 on 1-9)  relaxed (content-relaxed)"
    )


def test_predictions_are_those_of_the_stage(run: Path, tmp_path: Path) -> None:
    song = tone(tmp_path / "song.wav")
    found = predict.predict_files([song], *predict.open_teacher(run / "teacher"))[0]
    sound, _ = soundfile.read(song, dtype="float32")
    store = ClipStore.write(tmp_path / "store", [Clip("1", song, None, None)], [sound], SPEC)
    teacher, _ = load_teacher(run / "teacher")
    emotion, rater_sd = finetune.predict(teacher, store, ["1"], TINY)
    # The store holds 16 bits of each sample, the file as read 24 of float32: below a thousandth of the scale.
    np.testing.assert_allclose(found.emotion, emotion[0], rtol=0, atol=1e-3)
    np.testing.assert_allclose(found.rater_sd, rater_sd[0], rtol=0, atol=1e-3)


def test_a_bad_file_gets_a_line_and_the_others_a_prediction(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [tone(tmp_path / "a.wav"), tone(tmp_path / "a longer $name$.wav", 880.0, 3.0)]
    bad = tmp_path / "text.mp3"
    bad.write_text("This is a shopping list. " * 99)
    out = tmp_path / "plane.png"
    words = [str(good[0]), str(bad), str(tmp_path / "absent.wav"), str(good[1]), "--run", str(run), "--out", str(out)]
    assert predict.main(words) == 1
    printed, complained = capsys.readouterr()
    lines = printed.splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == [str(path) for path in good]
    assert lines[0].index("valence") == lines[1].index("valence") and lines[2:] == [
        f"drawn: {out}",
        f"drawn: {tmp_path / 'plane-attention.png'}",
    ]
    assert out.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "plane-attention.png").read_bytes().startswith(b"\x89PNG")
    complaints = complained.splitlines()
    assert len(complaints) == 2 and complaints[0].startswith(f"error: {bad}: is not audio")
    assert complaints[1] == f"error: {tmp_path / 'absent.wav'}: does not exist"


def test_good_files_exit_0_and_only_bad_ones_draw_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[tuple[object, ...]] = []
    monkeypatch.setattr(plots, "predictions_on_plane", lambda *what: drawn.append(what))
    assert predict.main([str(tmp_path / "absent.wav"), "--run", str(run)]) == 1 and drawn == []
    name = "a name of many more characters than fit beside a picture.wav"
    assert predict.main([str(tone(tmp_path / name)), "--run", str(run), "--attention", "0"]) == 0
    assert not list(run.glob("*.png"))
    names, emotion, rater_sd, path = drawn[0]
    assert names == ["a name of many …eside a picture"] and path == run / "predict.png"
    assert np.shape(emotion) == np.shape(rater_sd) == (1, 2) and np.all(np.abs(emotion) < 1) and np.min(rater_sd) > 0


def test_a_run_without_a_teacher_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no trained teacher here; run: python -m teacher --run"):
        predict.main(["a.wav", "--run", str(tmp_path)])


@pytest.mark.parametrize("songs", [1, 40])
def test_names_never_lie_upon_each_other(songs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: figures.append(figure))
    emotion = np.random.default_rng(0).uniform(-0.1, 0.1, (songs, 2)) + np.array([0, -0.9])
    plots.predictions_on_plane([f"{n}" for n in range(songs)], emotion, np.full((songs, 2), 0.4), tmp_path / "a.png")
    heights = sorted(text.xyann[1] for text in figures[0].axes[0].texts if hasattr(text, "xyann"))
    assert len(heights) == songs and heights[0] >= -1 - 1e-9 and heights[-1] <= 1
    assert songs == 1 or np.diff(heights).min() > min(0.09, 2 / songs) - 1e-9


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import contextlib, sys\nfrom teacher import predict\n"
        "with contextlib.suppress(SystemExit):\n    predict.main(['--help'])\n"
        "print(sorted({'torch', 'numpy', 'matplotlib', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    *shown, heavy = done.stdout.splitlines()
    assert (done.returncode, heavy) == (0, "[]"), done.stderr
    assert all(any(word in text for text in shown) for word in ("Audio files", "--run", "--out"))


def test_a_command_line_without_songs_is_refused() -> None:
    with pytest.raises(PocketmoodError, match="no song was named"):
        predict.main([])
    with pytest.raises(PocketmoodError, match="attention -1 must not be negative"):
        predict.main(["a.wav", "--attention", "-1"])
