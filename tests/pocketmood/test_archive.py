"""The zip of a run: what is in it, what is not, and the same bytes each time."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from pocketmood import archive, cli
from pocketmood.errors import RunError

KEPT = (
    "benchmarks/report.html", "benchmarks/results.json", "benchmarks/stage.json",
    "bundle/golden/waveform.f32", "bundle/model.fp32.mlpackage/Data/weight.bin", "bundle/model.int8.pte",
    "bundle/stage.json", "data/plots/ratings.png", "data/split.json", "data/stage.json", "student/model.safetensors",
    "student/stage.json", "teacher/gan/metrics.jsonl", "teacher/gan/plots/training.png", "teacher/metrics.json",
    "teacher/plots/plane.png", "teacher/report.html", "teacher/stage.json", "teacher/vit/metrics.jsonl",
)  # fmt: skip
LEFT_OUT = (
    "corpus/DEAM_audio/2.mp3", "corpus/truth.csv", "data/store/clips.i16", "data/store/index.csv",
    "teacher/model.safetensors", "teacher/vit/model.safetensors", "teacher/vit/checkpoints/step-00000120/state.json",
    "teacher/gan/checkpoints/step-00000004/state.json", "teacher/gan/generator.safetensors",
    "teacher/synthetic/mels.f16", "teacher/synthetic/synthetic.json", "teacher/soft_targets/soft_targets.safetensors",
    "teacher/listen/index.html", "teacher/listen/neutral-real.wav", "student.part/metrics.jsonl",
    "bundle.old/stage.json", "teacher/metrics.json.tmp",
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for name in (*KEPT, *LEFT_OUT):
        path = tmp_path / "runs" / "x.1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 100)
    return tmp_path / "runs" / "x.1"


def test_the_archive_holds_what_is_worth_keeping(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["archive", "--run", str(run)]) == 0
    path = run.parent / "x.1.zip"
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        assert file.namelist() == [f"x.1/{name}" for name in sorted(KEPT)]
        assert file.read("x.1/teacher/report.html") == b"teacher/report.html" * 100
    out = capsys.readouterr().out
    assert out == f"archive: {path}, 0.0 MB, {len(KEPT)} files of data, teacher, student, bundle, benchmarks\n"
    assert sorted(entry.name for entry in run.parent.iterdir()) == ["x.1", "x.1.zip"]


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    path, _ = archive.archive(run)
    first = path.read_bytes()
    for name in KEPT[:3]:
        os.utime(run / name, (1, 1))
        (run / name).chmod(0o600)
    assert archive.archive(run)[0].read_bytes() == first
    (run / KEPT[0]).write_bytes(b"changed")
    assert archive.archive(run)[0].read_bytes() != first


def test_music_behind_a_link_is_not_followed(run: Path, tmp_path: Path) -> None:
    (run / "student" / "music").symlink_to(run / "corpus", target_is_directory=True)
    assert archive.archive(run)[1] == sorted(KEPT)


def test_a_run_that_is_not_there_is_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"absent: no such run. Make one with `make demo`.*RUN="):
        archive.archive(tmp_path / "absent")
    (tmp_path / "empty" / "teacher.part").mkdir(parents=True)
    with pytest.raises(RunError, match="holds no finished stage"):
        archive.archive(tmp_path / "empty")
    assert list(tmp_path.glob("*.zip*")) == []
