"""Prediction tables survive the disk, and say what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketmood.errors import DataError
from pocketmood.predictions import Predictions, read_predictions, write_predictions

HEADER = "id,split,valence,arousal,label_valence,label_arousal"


def arrays(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, (3, 2)).astype(np.float32) for _ in range(count)]


def test_a_table_survives_the_disk(tmp_path: Path) -> None:
    emotion, labels = arrays(2)
    wanted = Predictions(("2", "3", "a b"), ("train", "test", "test"), emotion, labels)
    write_predictions(tmp_path / "p.csv", wanted)
    back = read_predictions(tmp_path / "p.csv")
    assert back.ids == ("2", "3", "a b")
    np.testing.assert_array_equal(back.emotion.astype(np.float32), emotion)
    np.testing.assert_array_equal(back.labels.astype(np.float32), labels)
    assert back.rater_sd is None and back.interval68 is None
    assert (tmp_path / "p.csv").read_text().splitlines()[0] == HEADER
    assert back.only("test").ids == ("3", "a b")
    with pytest.raises(DataError, match="no predictions for the validation part"):
        back.only("validation")


@pytest.mark.parametrize("widths", [("rater_sd",), ("interval68",), ("rater_sd", "interval68")])
def test_a_table_holds_the_widths_it_was_given(widths: tuple[str, ...], tmp_path: Path) -> None:
    emotion, labels, *more = arrays(2 + len(widths))
    given = dict(zip(widths, more, strict=True))
    write_predictions(tmp_path / "p.csv", Predictions(("1", "2", "3"), ("test",) * 3, emotion, labels, **given))
    columns = [f"{name}_{axis}" for name in widths for axis in ("valence", "arousal")]
    assert (tmp_path / "p.csv").read_text().splitlines()[0] == ",".join([HEADER, *columns])
    back = read_predictions(tmp_path / "p.csv")
    for name in ("rater_sd", "interval68"):
        if name in given:
            np.testing.assert_array_equal(getattr(back, name).astype(np.float32), given[name])
        else:
            assert getattr(back, name) is None


def test_rows_are_taken_in_the_order_asked_for() -> None:
    emotion, labels, sd = arrays(3)
    taken = Predictions(("1", "2", "3"), ("train", "test", "test"), emotion, labels, rater_sd=sd).take([2, 0])
    assert taken.ids == ("3", "1") and taken.splits == ("test", "train") and taken.interval68 is None
    np.testing.assert_array_equal(taken.emotion, [emotion[2], emotion[0]])
    np.testing.assert_array_equal(taken.rater_sd, [sd[2], sd[0]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,valence\n", "header"),
        ("", "header"),
        ("id,split,valence,arousal,spread_valence,spread_arousal,label_valence,label_arousal\n", "header"),
        (f"{HEADER},rater_sd_valence\n", "expected .*rater_sd_valence,rater_sd_arousal; run its stage again"),
        (f"{HEADER},interval68_valence,interval68_arousal,mood\n", "header"),
        (f"{HEADER}\n2,test,x,0,0,0\n", "no number"),
        (f"{HEADER}\n2,test,0,0,0\n", "does not have 6 values"),
    ],
)
def test_another_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_predictions(tmp_path / "p.csv")


def test_a_missing_table_and_odd_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no predictions here"):
        read_predictions(tmp_path / "p.csv")
    with pytest.raises(DataError, match="do not fit"):
        Predictions(("1",), (), np.zeros((1, 2)), np.zeros((1, 2)))
    with pytest.raises(DataError, match="do not fit"):
        Predictions(("1",), ("test",), np.zeros((1, 2)), np.zeros((1, 2)), interval68=np.zeros((2, 2)))
