"""Splits: shares, artists kept together, the same for the same seed, and no leak that goes unnoticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketmood.data.clips import Clip
from pocketmood.data.split import PARTS, Shares, Split, refuse_leaks, split_clips
from pocketmood.emotion import Emotion
from pocketmood.errors import ConfigError, DataError
from pocketmood.runs import write_json


def song(id_: str, artist: str | None = None, **other: object) -> Clip:
    return replace(Clip(id_, None, Emotion(0, 0), Emotion(0.3, 0.3), artist), **other)


def songs(count: int, artists: int = 0) -> list[Clip]:
    rng = np.random.default_rng(5)
    return [song(str(n), f"Artist {rng.integers(artists)}" if artists else None) for n in range(2, count + 2)]


def sizes(split: Split) -> list[int]:
    return [len(getattr(split, part)) for part in PARTS]


def test_shares_are_70_15_15() -> None:
    assert sizes(split_clips(songs(100))) == [70, 15, 15]
    assert np.allclose(sizes(split_clips(songs(1802))), [1261.4, 270.3, 270.3], rtol=0, atol=1)
    by_artist = sizes(split_clips(songs(1000, artists=300)))
    assert np.allclose(by_artist, [700, 150, 150], rtol=0, atol=6)
    assert min(sizes(split_clips(songs(3)))) == 1


def test_an_artists_songs_stay_together_however_the_name_is_spelled() -> None:
    clips = songs(200, artists=40)
    clips += [song("a", "The  Band"), song("b", "the band"), song("c", "THE BAND ")]
    split = split_clips(clips)
    assert split.by == "artist"
    part_of = split.part_of()
    parts: dict[str, set[str]] = {}
    for clip in clips:
        parts.setdefault(" ".join(str(clip.artist).lower().split()), set()).add(part_of[clip.id])
    assert {len(found) for found in parts.values()} == {1}
    assert len({part_of[id_] for id_ in "abc"}) == 1


def test_seed_decides_and_order_does_not() -> None:
    clips = songs(60, artists=30)
    assert split_clips(clips, seed=1) == split_clips(clips[::-1], seed=1)
    assert split_clips(clips, seed=1) != split_clips(clips, seed=2)


def test_artists_with_several_songs_are_held_out_as_often_as_others() -> None:
    clips = [song(f"big{n}", "Big") for n in range(3)] + songs(57)
    held = sum(split_clips(clips, seed).part_of()["big0"] != "train" for seed in range(200))
    # 3 in 10 by chance; four standard errors of 200 draws on either side.
    assert 0.17 < held / 200 < 0.43


def test_only_real_labelled_clips_are_split() -> None:
    clips = [*songs(20), song("free", label=None), song("gan-1", synthetic=True)]
    assert set(split_clips(clips).part_of()) == {str(n) for n in range(2, 22)}
    assert split_clips(clips).by == "song"


def test_other_shares_are_kept_to() -> None:
    assert sizes(split_clips(songs(100), shares=Shares(0.8, 0.1))) == [80, 10, 10]
    by_artist = sizes(split_clips(songs(1000, artists=300), shares=Shares(0.5, 0.2)))
    assert np.allclose(by_artist, [500, 200, 300], rtol=0, atol=6)


def test_every_part_has_songs_of_every_corpus() -> None:
    large = [replace(clip, id=f"a-{clip.id}", corpus="a") for clip in songs(400, artists=200)]
    small = [replace(clip, id=f"b-{clip.id}", corpus="b", artist=f"B {clip.artist}") for clip in songs(20, artists=12)]
    # A band in both, with most songs in the large one: it stays together, wherever it goes.
    both = [song(f"{corpus}-both{n}", "Both", corpus=corpus) for corpus, n in (("a", 1), ("a", 2), ("b", 1))]
    for seed in range(20):
        split = split_clips([*large, *small, *both], seed)
        of_small = [sum(id_.startswith("b-") for id_ in getattr(split, part)) for part in PARTS]
        # 14, 3 and 3 of 20, to within an artist of three songs and the band's one.
        assert np.allclose(of_small, [14.7, 3.15, 3.15], rtol=0, atol=4) and min(of_small) >= 1
        part_of = split.part_of()
        assert len({part_of[clip.id] for clip in both}) == 1


def test_two_artists_of_a_corpus_cannot_fill_three_parts() -> None:
    clips = [*songs(20), song("b-1", "X", corpus="b"), song("b-2", "Y", corpus="b")]
    part_of = split_clips(clips).part_of()
    assert part_of["b-1"] != part_of["b-2"]
    # Nor can one artist of each of three leave a part empty.
    assert sizes(split_clips([song(name, corpus=name) for name in "abc"])) == [1, 1, 1]


def test_too_little_music_is_refused() -> None:
    with pytest.raises(DataError, match="5 labelled songs by 2 artists cannot be split three ways"):
        split_clips([song(str(n), f"artist {n % 2}") for n in range(5)])


@pytest.mark.parametrize(
    ("train", "validation", "left"), [(0.8, 0.2, "0"), (0.9, 0.2, "-0.1"), (0, 0.5, "0.5"), (0.5, float("nan"), "nan")]
)
def test_shares_that_leave_a_part_empty_are_refused(train: float, validation: float, left: str) -> None:
    with pytest.raises(ConfigError, match=rf"leave {left}\S* for the test part; .* --split.train .8"):
        Shares(train, validation)


def test_a_split_survives_the_disk(tmp_path: Path) -> None:
    split = split_clips(songs(30), seed=4)
    split.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == split
    write_json(tmp_path / "other.json", {"train": []})
    with pytest.raises(DataError, match=r"other\.json: no split"):
        Split.load(tmp_path / "other.json")


CLIPS = [song(str(n), f"artist {n}") for n in range(6)]
HONEST = Split(("0", "1", "2", "3"), ("4",), ("5",), 0, "artist")


def test_an_honest_split_passes() -> None:
    refuse_leaks(HONEST, [*CLIPS, song("gan-1", synthetic=True), song("free", label=None)])


@pytest.mark.parametrize(
    ("split", "clips", "message"),
    [
        (replace(HONEST, test=("5", "4")), CLIPS, "4 in two parts"),
        (replace(HONEST, test=("5", "5")), CLIPS, "5 twice in test"),
        (replace(HONEST, train=("0", "0")), CLIPS, "0 twice in train"),
        (replace(HONEST, validation=("99",)), CLIPS, "99 in validation, but there is no such clip"),
        (replace(HONEST, train=("98",)), CLIPS, "98 in train, but there is no such clip"),
        (replace(HONEST, test=()), CLIPS, "test is empty"),
        (replace(HONEST, test=("gan-1",)), [*CLIPS, song("gan-1", synthetic=True)], "gan-1 synthetic, yet in test"),
        (
            replace(HONEST, validation=("gan-1", "4")),
            [*CLIPS, song("gan-1", synthetic=True)],
            "gan-1 synthetic, yet in validation",
        ),
        (replace(HONEST, test=("5", "free")), [*CLIPS, song("free", label=None)], "free without a rating, yet in test"),
        (HONEST, [*CLIPS[:5], song("5", "ARTIST  4")], 'artist "artist 4" is in two parts'),
        (HONEST, [*CLIPS, song("5", "artist 5", synthetic=True)], "5 in two clips"),
    ],
)
def test_leaks_are_refused(split: Split, clips: list[Clip], message: str) -> None:
    with pytest.raises(DataError, match=message):
        refuse_leaks(split, clips)
