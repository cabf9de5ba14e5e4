"""Clips of music without ratings: several of a long piece, evenly, none over another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pocketmood.audio import MARGIN_S, load
from pocketmood.data import decode, unlabelled
from pocketmood.data.clips import ClipStore
from pocketmood.data.stage import DataConfig
from pocketmood.data.unlabelled import even_starts
from pocketmood.errors import ConfigError
from pocketmood.spec import MelSpec

SPEC = MelSpec()


def ramp(path: Path, seconds: float) -> Path:
    """Write a file in which each sample tells its second: .1 in the first second, and .01 more in each that follows."""
    samples = np.arange(round(seconds * SPEC.sample_rate)) // SPEC.sample_rate
    soundfile.write(path, 0.1 + 0.01 * samples, SPEC.sample_rate, subtype="FLOAT")
    return path


def test_starts_by_hand() -> None:
    # 240 s hold seven clips of 30 s, for a quarter of a second is kept at either end: eight gaps share 29.5 s.
    gap_s = 29.5 / 8
    assert even_starts(240, 30, 8) == pytest.approx([0.25 + gap_s + k * (30 + gap_s) for k in range(7)])
    # Two of them: three gaps share 179.5 s.
    assert even_starts(240, 30, 2) == pytest.approx([0.25 + 179.5 / 3, 0.25 + 2 * 179.5 / 3 + 30])
    assert even_starts(240, 30, 1) == [105]  # the middle
    assert even_starts(60.4, 30, 4) == [pytest.approx(15.2)]  # two would need 60.5 s
    assert even_starts(60.5, 30, 4) == [0.25, 30.25]
    assert even_starts(30.2, 30, 4) == [pytest.approx(0.1)] and even_starts(12, 30, 4) == [0]


@pytest.mark.parametrize("whole_s", np.random.default_rng(0).uniform(61, 900, 20).tolist())
def test_clips_lie_inside_and_apart(whole_s: float) -> None:
    starts = even_starts(whole_s, 30, 9)
    edges = [MARGIN_S, *(edge for start in starts for edge in (start, start + 30)), whole_s - MARGIN_S]
    assert 2 <= len(starts) <= 9 and (np.diff(edges) > -1e-9).all()
    gaps = np.diff(edges)[::2]
    np.testing.assert_allclose(gaps, gaps[0], rtol=0, atol=1e-9)


def test_a_clip_holds_the_seconds_it_says(tmp_path: Path) -> None:
    path = ramp(tmp_path / "ramp.wav", 70)
    for start_s in (0.25, 17.0, 20.0, 39.75):
        wave = load(path, SPEC, start_s)
        seconds = (start_s * SPEC.sample_rate + np.arange(SPEC.samples)) // SPEC.sample_rate
        # Half a second of margins is an odd number of samples: each of up to 31 steps may come one sample early.
        assert (np.abs(wave - (0.1 + 0.01 * seconds)) > 1e-6).sum() <= 31
    assert (load(path, SPEC, 20.0) != load(path, SPEC)).sum() <= 31  # the middle of 70 s


def test_long_pieces_give_several_clips_and_bad_ones_a_reason(tmp_path: Path) -> None:
    long, short, bad = ramp(tmp_path / "long.wav", 100), ramp(tmp_path / "short.wav", 40), tmp_path / "bad.ogg"
    bad.write_bytes(b"OggS and nothing more")
    (tmp_path / "sub").mkdir()
    again = ramp(tmp_path / "sub" / "long.wav", 50)

    clips, rejects = unlabelled.clips([long, short, bad, again], SPEC.seconds, 2)
    assert [clip.id for clip in clips] == [f"unlabelled-{name}" for name in ("long-1", "long-2", "short-1", "bad-1")]
    assert [(reject.id, reject.file) for reject in rejects] == [("unlabelled-long", str(again))]

    store, failures = decode.build(clips, SPEC, tmp_path, workers=1)
    assert [failure.id for failure in failures] == ["unlabelled-bad-1"] and "cut short" in failures[0].reason
    # 99.5 s less 60 s are three gaps of 13.17 s: the clips begin in the fourteenth and the fifty-seventh second.
    assert store.raw[:, 0] / 2**15 == pytest.approx([0.1 + 0.13, 0.1 + 0.56, 0.1 + 0.05], rel=0, abs=1e-4)
    assert [clip.start_s for clip in ClipStore.open(tmp_path / "store").clips] == [clip.start_s for clip in clips[:3]]


def test_one_clip_per_piece_is_its_middle_under_the_plain_name(tmp_path: Path) -> None:
    (clip,), _ = unlabelled.clips([ramp(tmp_path / "piece.wav", 70)], SPEC.seconds)
    assert (clip.id, clip.start_s) == ("unlabelled-piece", None)
    with pytest.raises(ConfigError, match="--unlabelled-clips 0 must be at least 1"):
        DataConfig(Path("run"), (Path("deam"),), unlabelled_clips=0)
