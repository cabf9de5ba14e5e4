"""Scores of several models: intervals against their slow twin, differences, the table and its sentence."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from pocketmood import metrics
from pocketmood.errors import DataError
from pocketmood.predictions import Predictions
from pocketmood.records import from_json
from teacher import evaluate

PARTS = ("train", "validation", "test")


def predicted(noise: float, seed: int = 0, songs: int = 90, shrink: float = 1.0) -> Predictions:
    """Predictions for the same songs each time, as far from the ratings as asked."""
    labels = np.random.default_rng(99).uniform(-0.8, 0.8, (songs, 2))
    emotion = shrink * labels + noise * np.random.default_rng(seed).standard_normal(labels.shape)
    ids = tuple(str(song) for song in range(songs))
    parts = tuple(PARTS[song % 3] for song in range(songs))
    return Predictions(ids, parts, emotion, labels)


def models() -> dict[str, Predictions]:
    return {"floor": predicted(0.5, 1), "ast": predicted(0.25, 2), "teacher": predicted(0.1, 3)}


@pytest.mark.parametrize("clips_per_song", [1, 3, 0])
def test_intervals_of_every_metric_equal_their_slow_twin(clips_per_song: int) -> None:
    rng = np.random.default_rng(4)
    label = rng.uniform(-1, 1, (12, 2))
    pred = 0.6 * label + 0.2 * rng.standard_normal((12, 2)) + 0.1
    # One clip per song; three clips; and, at 0, songs of different lengths, which cannot be drawn as a matrix.
    songs = [str(row // clips_per_song) if clips_per_song else str(int(row > 4) + int(row > 9)) for row in range(12)]
    found = metrics.score_intervals(pred, label, songs, repeats=40, seed=5)
    names = list(dict.fromkeys(songs))
    draws = np.random.default_rng(5).integers(0, len(names), (40, len(names)))
    sampled: dict[str, list[float]] = {}
    for draw in draws:
        rows = [row for song in draw for row in range(12) if songs[row] == names[song]]
        for name, value in metrics.score(pred[rows], label[rows]).items():
            sampled.setdefault(name, []).append(value)
    assert set(found) == set(sampled) and len(found) == 8 * 3
    for name, values in sampled.items():
        wanted = np.percentile(values, [2.5, 97.5])
        np.testing.assert_allclose(found[name], wanted, rtol=1e-9, atol=1e-9, err_msg=name)


def test_intervals_of_mean_ccc_are_those_of_bootstrap() -> None:
    one = predicted(0.3).only("test")
    found = metrics.score_intervals(one.emotion, one.labels, one.ids)["ccc_mean"]
    wanted = metrics.bootstrap(one.emotion, one.labels, one.ids)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_constant_predictions_have_intervals_of_zero_and_not_nan() -> None:
    label = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    found = metrics.score_intervals(np.full((20, 2), 0.25), label, repeats=30)
    for name in ("ccc", "pearson", "range_ratio"):
        np.testing.assert_allclose(found[f"{name}_mean"], (0, 0), rtol=0, atol=1e-9)
    assert all(math.isfinite(bound) for interval in found.values() for bound in interval)
    assert found["r2_mean"].high < 0  # worse than the labels' own mean


def test_compare_holds_every_metric_with_its_interval() -> None:
    found = evaluate.compare(models())
    assert found.main == "teacher"
    for part in ("validation", "test"):
        row = found.part(part)
        assert row is getattr(found, part)
        assert row.songs == 30 and list(row.models) == ["floor", "ast", "teacher"]
        assert set(row.differences) == {"floor", "ast"}
        for name, model in models().items():
            here, values = model.only(part), row.models[name]
            plain = metrics.score(here.emotion, here.labels)
            assert set(values) == set(plain)
            for key, value in plain.items():
                np.testing.assert_allclose(values[key].value, value, rtol=1e-12, atol=1e-12)
                assert values[key].low < value < values[key].high, (part, name, key)
        gain = row.differences["floor"]
        both = [row.models[name]["ccc_mean"].value for name in ("teacher", "floor")]
        np.testing.assert_allclose(gain.value, both[0] - both[1], rtol=1e-9, atol=1e-12)
        assert gain.low < gain.value < gain.high


def test_a_comparison_survives_its_file() -> None:
    found = evaluate.compare(models())
    assert from_json(evaluate.Comparison, json.loads(json.dumps(asdict(found))), "metrics.json") == found


def test_another_model_can_be_the_one_that_is_compared() -> None:
    one, two = evaluate.compare(models()), evaluate.compare(models(), main="ast")
    forth, back = (found.test.differences for found in (one, two))
    assert set(back) == {"floor", "teacher"}
    np.testing.assert_allclose(back["teacher"].value, -forth["ast"].value, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(back["teacher"].low, -forth["ast"].high, rtol=1e-9, atol=1e-12)


def test_models_of_other_songs_are_refused() -> None:
    other = models()["floor"]
    turned = replace(other, ids=tuple(reversed(other.ids)))
    with pytest.raises(DataError, match=r"floor predicts for 30 songs, teacher for 30.*same order"):
        evaluate.compare(models() | {"floor": turned})
    with pytest.raises(DataError, match="no predictions of 'teacher'"):
        evaluate.compare({"floor": other})


def test_table_has_a_line_per_model_and_ends_with_the_sentence() -> None:
    found = evaluate.compare(models())
    lines = evaluate.table(found).splitlines()
    assert len(lines) == 2 * (1 + 3) + 1 and lines[-1] == evaluate.sentence(found)
    assert lines[0].startswith("CCC, 30 validation songs") and lines[0].endswith("teacher - model")
    floor, _, teacher = (line.split() for line in lines[5:8])
    assert floor[:2] == ["floor", f"{found.test.models['floor']['ccc_valence'].value:.3f}"] and teacher[0] == "teacher"
    assert lines[5].endswith(evaluate.difference_text(found.test.differences["floor"]))
    assert lines[7].endswith("]") and "+" not in lines[7]  # the teacher is not compared with itself
    starts = {line.index("[") for line in lines[1:4]}
    assert len(starts) == 1 and max(map(len, lines)) <= 120


@pytest.mark.parametrize(
    ("teacher", "words"),
    [(0.05, "teacher beats the ridge floor"), (0.5, "cannot be told apart"), (3.0, "STAYS BELOW THE RIDGE FLOOR")],
)
def test_sentence_follows_the_interval(teacher: float, words: str) -> None:
    found = evaluate.compare({"floor": predicted(0.5, 1), "teacher": predicted(teacher, 7)})
    assert words in evaluate.sentence(found)


def test_of_signs_auc_comes_first_and_no_error_is_told() -> None:
    found = evaluate.compare(models(), kind="quadrants")
    assert found.test.sign_differences.keys() == {"floor", "ast"}
    assert found.test.sign_differences["floor"]["auc_valence"].value > 0
    assert "rmse_mean" not in found.test.models["teacher"]
    text = evaluate.table(found)
    assert text.index("AUC V") < text.index("CCC of signs")
    assert "RMSE" not in text and max(map(len, text.splitlines())) <= 120
    assert from_json(evaluate.Comparison, json.loads(json.dumps(asdict(found))), "x") == found
    # Of ratings there is nothing new.
    assert evaluate.compare(models()).test.sign_differences == {}
