"""Fetching recorded music: packages made here, by the same tools, stand for those of Debian."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pocketmood.data import recordings, same_music
from pocketmood.data.recording_packages import FEW, PACKAGES, Package, PackageRecord, table
from pocketmood.data.recordings import RecordingsConfig
from pocketmood.errors import RunError

RATE = 8_000
ONE = Package("one-music", 3, "CC0", "music/", "_fast.ogg")
TWO = Package("two-music", 2, "GPL-2+")
needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb here: only Debian has packages")


def sound(path: Path, seed: int, seconds: float = 21.0, rate: int = RATE) -> Path:
    """Write music of a kind: noise that grows louder and softer at random, twice a second."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * rate)
    loudness = np.interp(
        np.arange(samples), np.arange(0, samples, rate // 2), rng.uniform(0, 0.3, -(-2 * samples // rate))
    )
    tone = np.sin(2 * np.pi * 220 * np.arange(samples) / rate)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, loudness * tone, rate)
    return path


def deb(folder: Path, package: str) -> Path:
    """Build a package of a folder's content."""
    (folder / "DEBIAN").mkdir()
    control = f"Package: {package}\nVersion: 1.2\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: test\n"
    (folder / "DEBIAN" / "control").write_text(control)
    note = folder / "usr/share/doc" / package / "copyright"
    note.parent.mkdir(parents=True)
    note.write_text(f"{package} may be copied")
    target = folder.parent / f"{package}_1.2_all.deb"
    subprocess.run(["dpkg-deb", "--build", "-Znone", folder, target], check=True, capture_output=True)
    return target


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two packages: pieces, what is none, an archive, and one piece in both."""
    folder = tmp_path_factory.mktemp("debs")
    music = folder / "one" / "usr/games/music"
    sound(music / "castle" / "theme.ogg", 0)
    sound(music / "forest" / "theme.ogg", 1)
    sound(music / "a song.wav", 2)
    sound(music / "a song_fast.ogg", 3)
    sound(music / "jingle.ogg", 4, seconds=5)
    (music / "damaged.ogg").write_bytes(b"OggS and nothing more")
    sound(folder / "one" / "usr/games/sfx/rain.ogg", 5)

    packed = sound(folder / "packed.ogg", 6)
    again = sound(folder / "again.flac", 2, rate=16_000)  # "a song" in another encoding and at another sample rate
    (folder / "two" / "usr").mkdir(parents=True)
    with zipfile.ZipFile(folder / "two" / "usr" / "0music.pk3", "w") as archive:
        archive.write(packed, "music/packed.ogg")
        archive.write(again, "music/again.flac")
    deb(folder / "one", ONE.name)
    deb(folder / "two", TWO.name)
    return folder


@pytest.fixture
def shop(debs: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let apt-get copy from the folder; return the list of what was asked for."""
    asked: list[str] = []
    real = recordings._call

    def call(*words: str, folder: Path) -> str:
        if words[0] != "apt-get":
            return real(*words, folder=folder)
        asked.append(words[-1])
        if not (source := debs / f"{words[-1]}_1.2_all.deb").is_file():
            raise RunError(f"apt-get: E: Unable to locate package {words[-1]}")
        shutil.copy(source, folder)
        return ""

    monkeypatch.setattr(recordings, "_call", call)
    monkeypatch.setattr(recordings, "_prepare", lambda out, packages: out.mkdir(exist_ok=True))
    monkeypatch.setattr(recordings, "PACKAGES", (ONE, TWO))
    return asked


@needs_dpkg
def test_music_is_fetched_once_and_kept_once(
    shop: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert recordings.run(RecordingsConfig(out)) == 0
    names = sorted(path.name for path in out.rglob("*") if path.is_file())
    assert names == sorted([
        "copyright", "one-music.a_song.wav", "one-music.castle_theme.ogg", "one-music.forest_theme.ogg", "package.json",
        "copyright", "two-music.packed.ogg", "package.json",
    ])  # fmt: skip
    record = PackageRecord.load(out / "two-music")
    assert (record.version, record.licence) == ("1.2", "GPL-2+")
    assert [(piece.file, piece.same_as) for piece in record.pieces] == [
        ("two-music.again.flac", "one-music.a_song.wav"),
        ("two-music.packed.ogg", ""),
    ]
    assert record.pieces[1].source.endswith("usr/0music.pk3!music/packed.ogg")
    assert record.pieces[1].seconds == pytest.approx(21, abs=0.1)
    assert (out / "one-music" / "copyright").read_text() == "one-music may be copied"
    printed = capsys.readouterr().out
    assert (
        "2 packages, 4 pieces, 0.02 h (1 more were the same music)" in printed
        and "licences: CC0 (3); GPL-2+ (1)" in printed
    )

    # A second call asks for nothing, and one package that a kill has cost is fetched again.
    assert recordings.run(RecordingsConfig(out)) == 0 and shop == ["one-music", "two-music"]
    shutil.rmtree(out / "one-music")
    assert recordings.run(RecordingsConfig(out)) == 0 and shop[2:] == ["one-music"]
    assert len(list(out.glob("*"))) == 2  # and no work folder stays


@needs_dpkg
def test_a_package_that_cannot_be_had_leaves_the_others(
    shop: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Package("one-music", 7, "CC0", "music/", "_fast.ogg")
    monkeypatch.setattr(recordings, "PACKAGES", (other, Package("gone", 3, "CC0"), TWO))
    assert recordings.run(RecordingsConfig(tmp_path / "out")) == 1
    printed = capsys.readouterr()
    assert "1 packages, 2 pieces" in printed.out
    assert "gone (apt-get: E: Unable to locate package gone)" in printed.err
    assert "one-music (holds 3 pieces where 7 were expected; has it changed?)" in printed.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["two-music"]


def test_without_apt_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(RunError, match=r"not Debian or Ubuntu\)\. Copy the folder"):
        recordings.run(RecordingsConfig(tmp_path / "out"))


def test_the_same_music_is_told_from_other_music(tmp_path: Path) -> None:
    first, other = sound(tmp_path / "a.flac", 7, 40), sound(tmp_path / "b.flac", 8, 40)
    wave, _ = soundfile.read(first)
    # Later by a twentieth of a second, softer, and in a lossy encoding: what an encoder does, and more.
    soundfile.write(tmp_path / "late.ogg", 0.9 * np.concatenate([np.zeros(RATE // 20), wave]), RATE)
    courses = [same_music.course(path) for path in (first, tmp_path / "late.ogg", other)]
    assert courses[0] is not None and len(courses[0]) in (121, 122)  # half a minute and its margins, four a second
    assert same_music.alike(courses[0], courses[1])
    assert not same_music.alike(courses[0], courses[2]) and not same_music.alike(courses[0], None)
    assert not same_music.alike(np.zeros(9), np.zeros(9))  # silence is not music that is there twice


def test_the_table_names_every_package_once() -> None:
    assert len({package.name for package in PACKAGES}) == len(PACKAGES) and len(FEW) == 4
    assert sum(package.pieces for package in PACKAGES) >= 500
    lines = table().splitlines()
    assert len(lines) == len(PACKAGES) + 3 and "| asc-music | 3 | GPL-2+ |" in lines


def test_a_damaged_record_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text(json.dumps({"package": "x"}))
    with pytest.raises(RunError, match="delete its folder and fetch it again"):
        PackageRecord.load(tmp_path)
