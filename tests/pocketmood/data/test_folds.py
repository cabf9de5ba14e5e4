"""Folds by artist: each song tested once, no artist in two parts, quadrants in equal shares, runs that share clips."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketmood.data.clips import Clip
from pocketmood.data.folds import QUADRANTS, artist_folds, deal, make_fold
from pocketmood.data.run_folder import RunFolder
from pocketmood.data.split import PARTS, Split, artist_key
from pocketmood.emotion import Emotion, quadrant
from pocketmood.errors import ConfigError, DataError

CORNERS = {
    "happy-energetic": Emotion(0.5, 0.5),
    "angry-tense": Emotion(-0.5, 0.5),
    "sad-calm": Emotion(-0.5, -0.5),
    "content-relaxed": Emotion(0.5, -0.5),
}


def song(id_: str, where: str, artist: str | None = None) -> Clip:
    return Clip(id_, None, CORNERS[where], None, artist)


def corpus(songs: int = 566, seed: int = 3) -> list[Clip]:
    """Songs by artists of very different sizes, who lean to one quadrant."""
    rng = np.random.default_rng(seed)
    clips: list[Clip] = []
    while len(clips) < songs:
        artist, home = f"Artist {len(clips)}", QUADRANTS[rng.integers(4)]
        for _ in range(min(int(rng.geometric(0.6)), songs - len(clips))):
            where = home if rng.random() < 0.7 else QUADRANTS[rng.integers(4)]
            clips.append(song(f"S{len(clips):03}", where, artist))
    return clips


def shares(ids: tuple[str, ...], clips: list[Clip]) -> np.ndarray:
    where = {clip.id: quadrant(clip.label) for clip in clips if clip.label}
    counts = Counter(where[id_] for id_ in ids)
    return np.array([counts[name] for name in QUADRANTS]) / len(ids)


def test_every_song_is_tested_once_and_no_artist_is_in_two_parts() -> None:
    clips = corpus()
    artist = {clip.id: artist_key(clip) for clip in clips}
    splits = artist_folds(clips)
    assert sorted(id_ for split in splits for id_ in split.test) == sorted(artist)
    for split in splits:
        parts = [getattr(split, part) for part in PARTS]
        assert sorted(id_ for part in parts for id_ in part) == sorted(artist)
        artists = [{artist[id_] for id_ in part} for part in parts]
        assert not (artists[0] & artists[1] or artists[0] & artists[2] or artists[1] & artists[2])
        assert split.by == "artist"


def test_parts_have_their_share_of_songs_and_of_every_quadrant() -> None:
    clips = corpus()
    whole = shares(tuple(clip.id for clip in clips), clips)
    for split in artist_folds(clips):
        # 566 / 5 = 113.2; 15 % of the other 453 are 68. Artists of one song come last, so a part misses by one or two.
        assert abs(len(split.test) - 113.2) <= 2 and abs(len(split.validation) - 68) <= 2
        assert np.abs(shares(split.test, clips) - whole).max() <= 0.02
        assert np.abs(shares(split.validation, clips) - whole).max() <= 0.03


def test_every_part_has_its_share_of_every_corpus() -> None:
    """300 songs beside 40: dealt by quadrants alone, 40 songs fall anyhow."""
    small = [replace(clip, id=f"b-{clip.id}", corpus="b", artist=f"B {clip.artist}") for clip in corpus(40, seed=5)]
    clips = [*(replace(clip, id=f"a-{clip.id}", corpus="a") for clip in corpus(300)), *small]
    for split in artist_folds(clips):
        # 8 of 40 are tested in each fold, and 15 % of the other 32 are 4.8.
        assert abs(sum(id_.startswith("b-") for id_ in split.test) - 8) <= 3
        assert abs(sum(id_.startswith("b-") for id_ in split.validation) - 4.8) <= 2


def test_seed_decides_and_order_does_not() -> None:
    clips = corpus(80)
    assert artist_folds(clips, 4, seed=1) == artist_folds(clips[::-1], 4, seed=1)
    assert artist_folds(clips, 4, seed=1) != artist_folds(clips, 4, seed=2)


def test_dealing_by_hand() -> None:
    """Two artists of two songs each in one quadrant go to different halves, and so do two in another."""
    groups = [
        tuple(song(f"{where}{artist}{n}", where, f"{where}{artist}") for n in range(2))
        for where in ("sad-calm", "angry-tense")
        for artist in "ab"
    ]
    parts = deal(groups, [0.5, 0.5], np.random.default_rng(0))
    for part in parts:
        assert sorted(quadrant(clip.label) for group in part for clip in group if clip.label) == [
            "angry-tense", "angry-tense", "sad-calm", "sad-calm",
        ]  # fmt: skip


def test_no_part_stays_empty() -> None:
    """One artist has 30 of 34 songs: the others still fill the remaining folds, and every validation part."""
    clips = [song(f"big{n}", QUADRANTS[n % 4], "Big") for n in range(30)]
    clips += [song(f"s{n}", "sad-calm") for n in range(4)]
    splits = artist_folds(clips, 5)
    assert all(split.train and split.validation and split.test for split in splits)
    assert max(len(split.test) for split in splits) == 30


def test_what_cannot_be_folded_is_refused() -> None:
    clips = corpus(40)
    with pytest.raises(ConfigError, match="--folds 1 must be at least 2"):
        artist_folds(clips, 1)
    with pytest.raises(ConfigError, match="validation share 1 must lie between 0 and 1"):
        artist_folds(clips, 5, validation=1.0)
    with pytest.raises(DataError, match=r"3 rated songs by 2 artists cannot make 2 folds"):
        artist_folds([song("1", "sad-calm", "A"), song("2", "sad-calm", "a "), song("3", "sad-calm", "B")], 2)


def test_a_folds_run_shares_the_clips_and_has_its_own_split(tiny_data: Path, tmp_path: Path) -> None:
    run = RunFolder(tiny_data)
    split = artist_folds(run.store.clips, 3)[1]
    fold = make_fold(run, split, tmp_path / "folds" / "1")
    assert fold.split == Split.load(tmp_path / "folds" / "1" / "data" / "split.json") == split
    assert np.array_equal(fold.store.raw, run.store.raw) and fold.store.clips == run.store.clips
    assert fold.data_record.split.test == len(split.test)
    assert fold.data_record.corpus == run.data_record.corpus
    # A stage that reads it must notice another split.
    assert fold.fingerprint("data") != run.fingerprint("data")


def test_a_finished_fold_is_left_alone_and_another_split_makes_it_anew(tiny_data: Path, tmp_path: Path) -> None:
    run = RunFolder(tiny_data)
    first, second, _ = artist_folds(run.store.clips, 3)
    made = make_fold(run, first, tmp_path / "0").made("data") / "stage.json"
    written = made.stat().st_mtime_ns
    make_fold(run, first, tmp_path / "0")
    assert made.stat().st_mtime_ns == written
    assert make_fold(run, second, tmp_path / "0").split == second
