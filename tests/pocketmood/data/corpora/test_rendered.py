"""The stand-in corpus on disk: DEAM's layout, sound at its own loudness, stops and goes on, same bytes in any pool."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pocketmood.data.corpora import deam, synthesis
from pocketmood.data.corpora.composer import DRUMS, Note, compose
from pocketmood.data.corpora.raters import rate
from pocketmood.data.corpora.rendered import RenderConfig, main, plan, render, run, song_id, sound_format
from pocketmood.data.corpora.rendered_tables import FIRST_HEADER, SECOND_HEADER, write_tables
from pocketmood.errors import ConfigError, DataError
from tests.helpers import ROOT

symusic = pytest.importorskip("symusic", reason="the extra `demo` is not installed")
soundfile = pytest.importorskip("soundfile")

SONGS = 40


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The tables of forty songs, with empty files where audio would be."""
    root = tmp_path_factory.mktemp("corpus")
    config = RenderConfig(out=root, songs=SONGS)
    for task in plan(config):
        task.path.parent.mkdir(parents=True, exist_ok=True)
        task.path.touch()
    statistics = write_tables(root, 0, {song_id(song): song for song in range(SONGS)})
    assert f"{SONGS} songs" in statistics
    return root


@pytest.fixture(scope="module")
def piece():
    return compose(0, 2)


def test_unrated_music_has_no_name_of_a_song() -> None:
    tasks = plan(RenderConfig(out=Path("c"), songs=20, unlabelled=3))
    assert [task.path.stem.isdigit() for task in tasks] == [True] * 20 + [False] * 3


def test_ids_are_deams_and_do_not_depend_on_the_size():
    ids = [song_id(song) for song in range(2000)]
    assert len(set(ids)) == 2000
    assert ids[:4] == [2, 1001, 3, 1002]
    assert ids[9] == 2001
    assert sum(id_ > 2000 for id_ in ids) == 200
    assert max(id_ for id_ in ids if id_ <= 2000) <= 2000
    small, large = (plan(RenderConfig(out=Path("c"), songs=songs, unlabelled=3)) for songs in (20, 50))
    assert small[:20] == large[:20]
    assert small[20:] == large[50:]


def test_tables_have_deams_headers_and_folders(tables):
    level = tables / "DEAM_Annotations/annotations/annotations averaged per song/song_level"
    first = (level / "static_annotations_averaged_songs_1_2000.csv").read_text().splitlines()
    second = (level / "static_annotations_averaged_songs_2000_2058.csv").read_text().splitlines()
    assert first[0] == FIRST_HEADER == "song_id, valence_mean, valence_std, arousal_mean, arousal_std"
    assert second[0] == SECOND_HEADER
    assert second[0].startswith("song_id, valence_mean, valence_std, valence_ max_mean, valence_max_std, ")
    assert len(first) - 1 == 36
    assert [line.split(",")[0] for line in second[1:]] == ["2001", "2002", "2003", "2004"]
    for line in second[1:]:
        values = [float(value) for value in line.split(",")[1:]]
        assert len(values) == 12
        assert values[4] <= values[0] <= values[2]  # lowest, overall, highest valence
        assert values[10] <= values[6] <= values[8]


def test_dynamic_files_are_at_two_hertz_and_differ_in_columns(tables):
    folder = tables / "DEAM_Annotations/annotations/annotations averaged per song/dynamic (per second annotations)"
    rows = {name: list(csv.reader((folder / f"{name}.csv").open())) for name in ("valence", "arousal")}
    assert [name.strip() for name in rows["valence"][0][:3]] == ["song_id", "sample_15000ms", "sample_15500ms"]
    assert rows["valence"][0][-1].strip() == "sample_30500ms"
    assert len(rows["arousal"][0]) == len(rows["valence"][0]) - 1
    values = np.array([[float(cell) for cell in row[1:]] for row in rows["valence"][1:]])
    assert values.shape == (SONGS, 32)
    assert np.abs(values).max() <= 1


def test_metadata_has_three_headers_tabs_and_ragged_rows(tables):
    folder = tables / "metadata/metadata"
    texts = {year: (folder / f"metadata_{year}.csv").read_text() for year in (2013, 2014, 2015)}
    assert [texts[year].split(",")[0] for year in texts] == ["song_id", "Id", "id"]
    assert '"\t' in texts[2013]
    lengths = {len(row) for row in csv.reader(io.StringIO(texts[2014]))}
    assert len(lengths) > 1


def test_the_deam_loader_reads_it_back_without_a_single_reject(tables):
    clips, rejects = deam.clips(deam.find(tables))
    assert rejects == []
    assert len(clips) == SONGS
    for clip in clips:
        song = next(song for song in range(SONGS) if str(song_id(song)) == clip.id)
        rating = rate(compose(0, song).cues, 0, song)
        np.testing.assert_allclose(clip.label, (rating.mean - 5) / 4, rtol=0, atol=1e-4)
        np.testing.assert_allclose(clip.deviation, rating.deviation / 4, rtol=0, atol=1e-4)
        assert clip.artist == compose(0, song).parameters.artist.name
    assert 2 < len({clip.artist for clip in clips}) <= SONGS // 4


def test_truth_and_readme_say_what_they_are(tables):
    rows = list(csv.DictReader((tables / "truth.csv").open()))
    assert [int(row["song_id"]) for row in rows] == sorted(song_id(song) for song in range(SONGS))
    rating = rate(compose(0, 0).cues, 0, 0)
    found = [float(rows[0][name]) for name in ("true_valence", "true_arousal", "cue_valence", "cue_arousal")]
    np.testing.assert_allclose(found, ([*rating.true, *rating.cue] - np.float64(5)) / 4, rtol=0, atol=1e-6)
    readme = (tables / "README.txt").read_text()
    assert "SYNTHETIC" in readme
    assert "GNU General Public License" in readme


def test_loudness_of_the_notes_is_loudness_of_the_sound(piece):
    quieter = [note._replace(velocity=note.velocity - 32) for note in piece.notes]  # 10 dB, four layers
    loud = synthesis.play(piece, 22_050, 1)
    quiet = synthesis.play(dataclasses.replace(piece, notes=tuple(quieter)), 22_050, 1)
    np.testing.assert_allclose(20 * np.log10(loud.std() / quiet.std()), 10, rtol=0, atol=0.05)


def test_velocity_makes_every_note_as_loud_as_it_says(piece):
    notes = (Note(0.5, 1.0, 0, 60, 110), Note(4.5, 5.0, 0, 60, 78))
    sound = synthesis.play(dataclasses.replace(piece, notes=notes), 22_050, 1, seconds=8.0)[:, 0]
    first, second = np.abs(sound[: 4 * 22_050]).max(), np.abs(sound[4 * 22_050 :]).max()
    np.testing.assert_allclose(20 * np.log10(first / second), 10, rtol=0, atol=synthesis.LAYER_DB)


def test_mono_is_the_mean_of_stereo_and_has_the_piece_s_length(piece):
    stereo, mono = synthesis.play(piece, 22_050, 2), synthesis.play(piece, 22_050, 1)
    assert stereo.shape == (31 * 22_050, 2)
    assert np.abs(stereo).max() < synthesis.KNEE
    np.testing.assert_allclose(mono[:, 0], stereo.mean(axis=1), rtol=0, atol=1e-5)


def test_synthesizers_keep_no_memory_of_earlier_pieces(piece):
    before = synthesis.play(piece, 22_050, 1)
    synthesis.play(compose(0, 3), 22_050, 1)
    np.testing.assert_array_equal(synthesis.play(piece, 22_050, 1), before)


def test_peaks_bend_smoothly_and_never_reach_full_scale():
    wave = np.linspace(-3, 3, 601, dtype=np.float32)[:, None]
    bent = synthesis.soften(wave)
    assert np.abs(bent).max() <= 1
    below = np.abs(wave) <= synthesis.KNEE
    np.testing.assert_array_equal(bent[below], wave[below])
    assert (np.diff(bent[:, 0]) >= 0).all()


def test_colour_tilts_and_keeps_the_bass():
    time_s = np.arange(22_050) / 22_050
    for brightness, wanted in ((1.0, 1), (-1.0, -1), (0.0, 0)):
        gains = []
        for hertz in (20, 9000):
            tone = np.sin(2 * np.pi * hertz * time_s).astype(np.float32)[:, None]
            gains.append(20 * np.log10(synthesis.colour(tone, brightness)[10:].std() / tone[10:].std()))
        assert abs(gains[0]) < 0.1
        assert np.sign(round(gains[1], 3)) == wanted


def test_mp3_keeps_length_and_the_range_of_the_spectrogram():
    noise = (0.1 * np.random.default_rng(0).standard_normal((3 * 44_100, 1))).astype(np.float32)
    data = synthesis.mp3(noise, 44_100)
    assert data == synthesis.mp3(noise, 44_100)
    decoded, rate_hz = soundfile.read(io.BytesIO(data))
    assert (rate_hz, len(decoded)) == (44_100, len(noise))
    power = np.abs(np.fft.rfft(decoded)) ** 2
    hertz = np.fft.rfftfreq(len(decoded), 1 / 44_100)
    high, middle = (power[(hertz > low) & (hertz < low + 1000)].mean() for low in (9800, 2000))
    assert 10 * np.log10(high / middle) > -6


def test_formats_are_mostly_mono_at_22050():
    formats = [sound_format(song) for song in range(200)]
    assert formats.count((22_050, 1)) > 160
    assert {rate_hz for rate_hz, _ in formats} == {22_050, 44_100, 48_000}
    assert {channels for _, channels in formats} == {1, 2}


def test_another_corpus_in_the_folder_is_refused_with_what_to_do(tmp_path):
    out = tmp_path / "corpus"
    assert run(RenderConfig(out=out, songs=2, workers=1)) == 0
    with pytest.raises(DataError, match=r"seed 0, not 1.*another --out"):
        run(RenderConfig(out=out, songs=2, seed=1, workers=1))
    (tmp_path / "music").mkdir()
    (tmp_path / "music/mine.mp3").touch()
    with pytest.raises(DataError, match=r"no rendered corpus.*another --out"):
        run(RenderConfig(out=tmp_path / "music", songs=2))


@pytest.mark.parametrize("wrong", [{"songs": 1}, {"songs": 2001}, {"seed": -1}, {"unlabelled": -1}, {"workers": -1}])
def test_impossible_wishes_are_refused(wrong):
    with pytest.raises(ConfigError, match=re.escape(f"{next(iter(wrong))} is {next(iter(wrong.values()))}")):
        RenderConfig(out=Path("corpus"), **wrong)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(synthesis, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"symusic.*pip install 'pocketmood\[demo\]' .*'\.\[demo\]'"):
        synthesis.check_tools()


def test_a_symusic_that_returns_nothing_is_named(monkeypatch):
    monkeypatch.setattr(synthesis, "version", lambda name: "0.6.0")
    with pytest.raises(DataError, match=r"symusic 0\.6\.0.*symusic==0\.5\.9"):
        synthesis.check_tools()


def hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_a_killed_render_goes_on_and_ends_with_the_same_bytes(tmp_path, capsys):
    alone = RenderConfig(out=tmp_path / "alone", songs=4, unlabelled=1, workers=1)
    assert run(alone) == 0
    words = ["--out", str(tmp_path / "pool"), "--songs", "4", "--unlabelled", "1", "--workers", "2"]
    module = [sys.executable, "-m", "pocketmood.data.corpora.rendered", *words]
    process = subprocess.Popen(module, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    audio = tmp_path / "pool/DEAM_audio/MEMD_audio"
    deadline = time.monotonic() + 60
    while process.poll() is None and len(list(audio.glob("*.mp3"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in audio.glob("*.mp3")}
    assert len(kept) >= 2
    assert not (tmp_path / "pool/truth.csv").exists()
    assert subprocess.run(module, cwd=ROOT, check=False, capture_output=True).returncode == 0
    assert hashes(tmp_path / "pool") == hashes(tmp_path / "alone")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    capsys.readouterr()
    assert main(words) == 0
    assert "up to date" in capsys.readouterr().out
    # One lost file is one file to make.
    lost = next(iter(kept))
    lost.unlink()
    assert main(words) == 0
    assert hashes(tmp_path / "pool") == hashes(tmp_path / "alone")
    shutil.rmtree(tmp_path / "pool")


def test_a_file_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    task = plan(RenderConfig(out=tmp_path, songs=2))[0]

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pocketmood.runs.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        render(task)
    assert not task.path.exists()


def test_drums_are_rendered_as_drums(piece):
    notes = (Note(0.5, 0.6, DRUMS, 38, 100),)
    sound = synthesis.play(dataclasses.replace(piece, notes=notes), 22_050, 1, seconds=2.0)[:, 0]
    spectrum = np.abs(np.fft.rfft(sound)) ** 2
    flatness = np.exp(np.mean(np.log(spectrum[200:8_000] + 1e-12))) / np.mean(spectrum[200:8_000] + 1e-12)
    assert flatness > 0.05  # a snare is noise; a note of pitch 38 would be lines
