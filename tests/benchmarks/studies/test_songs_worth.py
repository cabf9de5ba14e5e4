"""What unrated music is worth: the learning curve read backwards, and intervals over folds, seeds and songs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.studies import songs_worth
from benchmarks.studies.songs_worth import Draw, Outcome, Point, Worth, rising, songs_needed
from pocketmood.errors import DataError
from pocketmood.metrics import ccc

SONGS, FOLDS = 60, 3


def outcome(noises: dict[str, float], seeds: int = 2) -> Outcome:
    """Predictions that are the labels and so much noise."""
    rng = np.random.default_rng(5)
    label = rng.uniform(-0.8, 0.8, (SONGS, 2))
    shape = (seeds, SONGS, 2)
    emotion = {name: label + noise * rng.standard_normal(shape) for name, noise in noises.items()}
    return Outcome(emotion, label, np.arange(SONGS) % FOLDS)


def test_songs_needed_by_hand() -> None:
    songs, reached = [50.0, 100.0, 200.0, 400.0], [0.2, 0.3, 0.5, 0.6]
    # Halfway between two points in CCC is halfway between the logarithms of their songs: the geometric mean.
    assert songs_needed(songs, reached, 0.4)[0] == pytest.approx(math.sqrt(100 * 200))
    assert songs_needed(songs, reached, 0.525)[0] == pytest.approx(200 * 2**0.25)
    assert songs_needed(songs, reached, 0.3) == (100, "") and songs_needed(songs, reached, 0.2) == (50, "")
    assert songs_needed(songs, reached, 0.61) == (400, "at least")
    assert songs_needed(songs, reached, 0.19) == (50, "at most")
    # A dip is pooled: .5 and .3 become .4 twice, and what reaches .4 needs the smaller of both.
    assert songs_needed(songs, [0.2, 0.5, 0.3, 0.6], 0.4) == (100, "")
    assert songs_needed(songs, [0.2, 0.5, 0.3, 0.6], 0.5)[0] == pytest.approx(math.sqrt(200 * 400))


def test_rising_by_hand_and_by_a_slow_twin() -> None:
    assert rising([0.3, 0.5, 0.4, 0.6]) == [0.3, pytest.approx(0.45), pytest.approx(0.45), 0.6]
    assert rising([3, 2, 1]) == [2, 2, 2] and rising([1, 2, 3]) == [1, 2, 3] and rising([]) == []
    values = np.random.default_rng(1).normal(size=9)
    # The isotonic fit is the largest, over starts, of the smallest, over ends, mean of a stretch around the point.
    slow = [max(min(values[a : b + 1].mean() for b in range(k, 9)) for a in range(k + 1)) for k in range(9)]
    np.testing.assert_allclose(rising(values.tolist()), slow, rtol=0, atol=1e-12)


def test_a_draw_scores_the_answers_it_holds() -> None:
    found = outcome({"a": 0.5})
    draw = Draw(np.array([0, 1, 1, 0]), np.array([4, 4, 7, 9]))
    predicted = np.stack([found.emotion["a"][k, n] for k, n in ((0, 4), (1, 4), (1, 7), (0, 9))])
    label = found.label[[4, 4, 7, 9]]
    by_hand = (ccc(predicted[:, 0], label[:, 0]) + ccc(predicted[:, 1], label[:, 1])) / 2
    assert draw.ccc(found, "a") == pytest.approx(by_hand, rel=0, abs=1e-12)
    whole = songs_worth.everything(found)
    assert sorted(zip(whole.seed.tolist(), whole.song.tolist(), strict=True)) == [
        (k, n) for k in range(2) for n in range(SONGS)
    ]


def test_draws_keep_folds_and_their_trainings_together() -> None:
    found = outcome({"a": 0.5})
    for draw in songs_worth.draws(found, repeats=30, seed=2):
        assert len(draw.song) == SONGS  # folds of one size here
        folds = found.fold[draw.song].reshape(FOLDS, -1)
        assert (folds == folds[:, :1]).all()  # whole folds, each as large as it is
        seeds = draw.seed.reshape(FOLDS, -1)
        assert (seeds == seeds[:, :1]).all()  # and one training answers for all songs of a drawn fold


def test_arms_are_compared_on_the_same_draws() -> None:
    found = outcome({"labels": 0.5, "same": 0.5, "better": 0.2})
    found = Outcome({**found.emotion, "same": found.emotion["labels"]}, found.label, found.fold)
    drawn = songs_worth.draws(found, repeats=200)
    rows = songs_worth.compare(found, ["labels", "same", "better"], {"better": {"steps": 7}}, drawn)
    assert (rows[1].difference, rows[1].difference_low, rows[1].difference_high) == (0, 0, 0)
    assert rows[2].difference_low is not None and rows[2].difference_low > 0
    assert rows[0].difference is None and rows[0].seeds == 2 * FOLDS and rows[0].seed_deviation is not None
    assert rows[0].low < rows[0].ccc < rows[0].high
    assert rows[2].facts["steps"] == 7 and set(rows[2].facts) == {"steps", "AUC V", "AUC A", "quadrants"}


def test_worth_is_found_on_the_curve() -> None:
    noises = {"100": 0.8, "200": 0.5, "400": 0.3, "wanted": 0.5}
    found = outcome(noises, seeds=8)
    curve = [Point(name, float(name)) for name in ("100", "200", "400")]
    drawn = songs_worth.draws(found, repeats=100)
    worth = songs_worth.worth(found, curve, "wanted", 100, drawn)
    assert worth.beyond == "" and worth.songs == pytest.approx(100, abs=40)  # as good as 200 songs, with 100
    assert worth.low < worth.songs < worth.high and worth.low >= 0 and worth.high <= 300
    itself = songs_worth.worth(found, curve, "100", 100, drawn)
    assert (itself.songs, itself.low, itself.high) == (0, 0, 0)
    with pytest.raises(DataError, match="a learning curve of 1 points"):
        songs_worth.worth(found, curve[:1], "wanted", 100, drawn)


def test_the_sentence_says_it_in_songs() -> None:
    text = songs_worth.sentence(Worth(61.6, -3.2, 120.4, ""), 96, 1400)
    assert text.startswith(
        "With 96 rated songs, 1400 clips of music that nobody rated are worth 62 further rated songs"
    )
    assert "[-3, 120]" in text
    assert "are worth at least 270 further" in songs_worth.sentence(Worth(270, 90, 270, "at least"), 90, 9)


def test_where_labels_are_signs_their_auc_counts() -> None:
    found = outcome({"labels": 1.0, "better": 0.2})
    signs = Outcome(found.emotion, np.sign(found.label) / 2, found.fold, of_signs=True)
    drawn = songs_worth.draws(signs, repeats=50)
    first, second = songs_worth.compare(signs, ["labels", "better"], {}, drawn)
    whole = songs_worth.everything(signs)
    # By hand: pairs of answers, one of each sign, in the right order.
    wanted = []
    for axis in range(2):
        predicted, label = signs.emotion["labels"][whole.seed, whole.song, axis], signs.label[whole.song, axis]
        pairs = [(a > b) + (a == b) / 2 for a in predicted[label > 0] for b in predicted[label < 0]]
        wanted.append(np.mean(pairs))
    assert (
        whole.auc(signs, "labels") == whole.score(signs, "labels") == pytest.approx(np.mean(wanted), rel=0, abs=1e-12)
    )
    assert first.facts["AUC"] == f"{np.mean(wanted):.3f}" and "AUC, difference" not in first.facts
    gain, low = second.facts["AUC, difference"].split()[0], second.facts["AUC, difference"].split("[")[1].split()[0]
    assert float(gain) > 0 and float(low.rstrip(",")) > 0
    assert whole.score(found, "labels") == whole.ccc(found, "labels")
    assert "give the same AUC without them" in songs_worth.sentence(Worth(1, 0, 2, ""), 96, 9, "AUC")
