"""Decoding into a store: right rows, the same for any number of workers, and nothing lost by kills and full disks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from pocketmood import audio
from pocketmood.data import decode
from pocketmood.data.clips import Clip, ClipStore, to_int16
from pocketmood.emotion import Emotion
from pocketmood.errors import DataError
from pocketmood.spec import MelSpec
from tests.helpers import ROOT

SPEC = MelSpec(seconds=1.0)
SONGS = 20
BAD = (4, 11)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Return twenty songs of noise, two of them damaged."""
    folder = tmp_path_factory.mktemp("songs")
    found = []
    for n in range(SONGS):
        path = folder / f"{n}.wav"
        soundfile.write(path, 0.2 * np.random.default_rng(n).standard_normal((24_000, 2)), 16_000)
        if n in BAD:
            path.write_bytes(path.read_bytes()[:2000])
        found.append(Clip(str(n), path, Emotion(n / 100, -n / 100), Emotion(0.3, 0.4), f"artist {n // 2}"))
    return found


def same(one: ClipStore, other: ClipStore) -> bool:
    return one.clips == other.clips and bool(np.array_equal(one.raw, other.raw))


@pytest.fixture(scope="module")
def reference(clips: list[Clip], tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return decode.build(clips, SPEC, tmp_path_factory.mktemp("reference"), workers=1)[0]


def test_rows_are_the_files_in_order_and_the_bad_ones_are_reported(
    clips: list[Clip], tmp_path: Path, reference: ClipStore
) -> None:
    _, failures = decode.build(clips, SPEC, tmp_path, workers=1)
    good = [clip for n, clip in enumerate(clips) if n not in BAD]
    assert reference.clips == good
    for clip in good:
        assert clip.path
        np.testing.assert_array_equal(reference.raw[reference.index(clip.id)], to_int16(audio.load(clip.path, SPEC)))
    assert [failure.id for failure in failures] == [str(n) for n in BAD]
    assert all("cut short" in failure.reason for failure in failures)
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == [
        "clips.i16", "index.csv", "stage.json", "store.json",
    ]  # fmt: skip


def test_a_finished_store_is_not_made_again(clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, failures = decode.build(clips, SPEC, tmp_path, workers=1)
    monkeypatch.setattr(decode, "_decode", pytest.fail)
    again, same_failures = decode.build(clips, SPEC, tmp_path, workers=1)
    assert same(store, again) and failures == same_failures


@pytest.mark.slow
def test_the_result_does_not_depend_on_workers(clips: list[Clip], tmp_path: Path, reference: ClipStore) -> None:
    store, failures = decode.build(clips, SPEC, tmp_path, workers=2)
    assert same(store, reference)
    assert [failure.id for failure in failures] == [str(n) for n in BAD]


class Stopped(BaseException):
    """Stands for a kill: nothing in the product may catch it."""


@pytest.mark.parametrize("after", [0, 1, 5, 19])
def test_a_stopped_build_continues_and_decodes_nothing_twice(
    clips: list[Clip], tmp_path: Path, reference: ClipStore, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    real = decode._decode
    seen: list[Path] = []

    def stopping(path: Path, spec: MelSpec, start_s: float | None) -> tuple[decode.Row | None, str]:
        if len(seen) == after:
            raise Stopped
        seen.append(path)
        return real(path, spec, start_s)

    monkeypatch.setattr(decode, "_decode", stopping)
    with pytest.raises(Stopped):
        decode.build(clips, SPEC, tmp_path, workers=1)
    assert not (tmp_path / "store").exists()
    monkeypatch.setattr(decode, "_decode", lambda path, *rest: (seen.append(path), real(path, *rest))[1])
    store, failures = decode.build(clips, SPEC, tmp_path, workers=1)
    assert same(store, reference)
    assert [failure.id for failure in failures] == [str(n) for n in BAD]
    assert seen == [clip.path for clip in clips]


class Torn(NamedTuple):
    """What a kill or a power cut may leave: bytes too many or too few at the ends of map and journal."""

    map_bytes: int
    journal_bytes: int


@pytest.mark.parametrize("torn", [Torn(1000, 0), Torn(0, -7), Torn(3 * SPEC.samples, 0), Torn(-5, 0), Torn(0, 1)])
def test_torn_ends_are_mended(
    clips: list[Clip], tmp_path: Path, reference: ClipStore, monkeypatch: pytest.MonkeyPatch, torn: Torn
) -> None:
    def stop(*_: object) -> None:
        raise Stopped

    monkeypatch.setattr(decode, "finish", stop)
    with pytest.raises(Stopped):
        decode.build(clips, SPEC, tmp_path, workers=1)
    for name, change in (("clips.i16", torn.map_bytes), (decode.JOURNAL_FILE, torn.journal_bytes)):
        path = tmp_path / "store.part" / name
        data = path.read_bytes()
        path.write_bytes(data[:change] if change < 0 else data + b"\x01" * change)
    monkeypatch.undo()
    assert same(decode.build(clips, SPEC, tmp_path, workers=1)[0], reference)


def test_other_audio_under_the_same_name_starts_over(clips: list[Clip], tmp_path: Path) -> None:
    path = tmp_path / "0.wav"
    shutil.copy(str(clips[0].path), path)
    mine = [replace(clips[0], path=path), *clips[1:3]]
    before, _ = decode.build(mine, SPEC, tmp_path, workers=1)
    old = before.waveform("0").copy()
    soundfile.write(path, 0.1 * np.random.default_rng(77).standard_normal((24_000, 2)), 16_000)
    after, _ = decode.build(mine, SPEC, tmp_path, workers=1)
    assert not np.array_equal(after.waveform("0"), old)


def test_the_same_sound_under_two_ids_is_used_once(clips: list[Clip], tmp_path: Path) -> None:
    twin = tmp_path / "twin.wav"
    shutil.copy(str(clips[1].path), twin)
    store, failures = decode.build([*clips[:3], Clip("twin", twin, None, None)], SPEC, tmp_path, workers=1)
    assert store.ids == ["0", "1", "2"]
    assert failures == [("twin", f"{twin}: sounds exactly like clip 1, which is used")]


def test_nothing_but_bad_files_is_an_error(clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of 2 audio files could be used\. First: .*4\.wav: cut short"):
        decode.build([clips[n] for n in BAD], SPEC, tmp_path, workers=1)
    with pytest.raises(DataError, match="clip x: has no audio file to decode"):
        decode.build([Clip("x", None, None, None)], SPEC, tmp_path, workers=1)


def test_a_disk_that_is_too_small_is_told_before_work(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 1000, 1000))
    with pytest.raises(DataError, match=r"20 clips need 0\.0 GB more, 0\.0 GB are free\. Make room"):
        decode.build(clips, SPEC, tmp_path, workers=1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full: only Linux has a disk that is always full")
@pytest.mark.parametrize("name", ["clips.i16", decode.JOURNAL_FILE])
def test_a_disk_that_fills_up_loses_nothing_and_says_so(
    clips: list[Clip], tmp_path: Path, reference: ClipStore, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = decode._append
    sizes: list[int] = []

    def filling(file: object, data: bytes) -> None:
        sizes.append(len(data))
        # 14 writes are rows and journal lines of seven clips, less those of a bad one.
        if len(sizes) < 14 or (len(data) > 1000) != (name == "clips.i16"):
            return real(file, data)
        with Path("/dev/full").open("ab", buffering=0) as full:
            return real(full, data)

    monkeypatch.setattr(decode, "_append", filling)
    with pytest.raises(DataError, match=r"the disk is full after 7 of 20 clips\. Make 0\.0 GB of room and run"):
        decode.build(clips, SPEC, tmp_path, workers=1)
    monkeypatch.undo()
    assert same(decode.build(clips, SPEC, tmp_path, workers=1)[0], reference)


@pytest.mark.slow
def test_killed_with_workers_running_it_continues_and_leaves_no_process_behind(
    clips: list[Clip], tmp_path: Path, reference: ClipStore
) -> None:
    rows = [(clip.id, str(clip.path), clip.label, clip.deviation, clip.artist) for clip in clips]
    script = tmp_path / "build.py"
    script.write_text(
        "import json, sys, time\nfrom pathlib import Path\n"
        "from pocketmood.data import decode\nfrom pocketmood.data.clips import Clip\n"
        "from pocketmood.emotion import Emotion\n"
        "from pocketmood.spec import MelSpec\n"
        "if __name__ == '__main__':\n"
        "    real = decode._append\n"
        "    decode._append = lambda file, data: (time.sleep(0.05), real(file, data))\n"
        f"    rows = json.loads({json.dumps(rows)!r})\n"
        "    clips = [Clip(i, Path(p), Emotion(*v), Emotion(*d), a) for i, p, v, d, a in rows]\n"
        f"    decode.build(clips, MelSpec(seconds=1.0), Path({str(tmp_path)!r}), workers=2)\n"
    )
    journal = tmp_path / "store.part" / decode.JOURNAL_FILE
    where = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, str(script)], env=where, start_new_session=True)
    patience = time.monotonic() + 60
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 5):
        assert process.poll() is None and time.monotonic() < patience
        time.sleep(0.02)
    process.kill()
    process.wait()
    done = journal.read_bytes().count(b"\n")
    assert 5 < done < SONGS
    while _members(process.pid) and time.monotonic() < patience:
        time.sleep(0.1)
    assert not _members(process.pid)
    assert same(decode.build(clips, SPEC, tmp_path, workers=1)[0], reference)


def _members(group: int) -> bool:
    """Tell whether a process group still has members."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
