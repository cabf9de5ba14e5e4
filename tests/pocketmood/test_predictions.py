"""Prediction tables survive the disk, and say what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketmood.errors import DataError
from pocketmood.predictions import read_predictions, write_predictions


def test_a_table_survives_the_disk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    emotion, labels = (rng.uniform(-1, 1, (3, 2)).astype(np.float32) for _ in range(2))
    write_predictions(tmp_path / "p.csv", ["2", "3", "a b"], ["train", "test", "test"], emotion, None, labels)
    back = read_predictions(tmp_path / "p.csv")
    assert back.ids == ("2", "3", "a b")
    np.testing.assert_array_equal(back.emotion.astype(np.float32), emotion)
    np.testing.assert_array_equal(back.labels.astype(np.float32), labels)
    assert np.isnan(back.spread).all()
    assert back.only("test").ids == ("3", "a b")
    with pytest.raises(DataError, match="no predictions for the validation part"):
        back.only("validation")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,valence\n", "header"),
        ("", "header"),
        (
            "id,split,valence,arousal,spread_valence,spread_arousal,label_valence,label_arousal\n2,test,x,0,0,0,0,0\n",
            "no number",
        ),
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
        write_predictions(tmp_path / "p.csv", ["1"], [], np.zeros((1, 2)), None, np.zeros((1, 2)))
