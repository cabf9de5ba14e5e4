"""Predictions per row, agreement with raters, drops against the teacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import accuracy
from benchmarks.record import Record
from pocketmood.data.clips import ClipStore
from pocketmood.errors import DataError
from tests.helpers import benchmark_runs


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return benchmark_runs.make_run(tmp_path / "run", songs=16)


@pytest.fixture
def store(run: Path) -> ClipStore:
    return ClipStore.open(run / "data" / "store")


def loudness(wave):
    return (float(wave.mean()), float(wave.std())), (0.1, 0.2)


def test_every_song_is_predicted_from_its_own_waveform(store):
    ids = [store.ids[3], store.ids[0]]
    emotion, interval68 = accuracy.predict_songs(loudness, store, ids)
    wanted = [[store.waveform(id_).mean(), store.waveform(id_).std()] for id_ in ids]
    np.testing.assert_allclose(emotion, wanted, rtol=0, atol=1e-7)
    np.testing.assert_allclose(interval68, [[0.1, 0.2]] * 2, rtol=0, atol=1e-12)


def test_a_prediction_that_is_no_number_names_the_song(store):
    def broken(wave):
        return (float("nan"), 0.0), (0.0, 0.0)

    with pytest.raises(DataError, match=f"model.x: the prediction for song {store.ids[0]} is"):
        accuracy.predict_songs(broken, store, store.ids[:2], name="model.x")


def test_a_continued_run_does_not_predict_again(store, tmp_path):
    calls = []

    def counted(wave):
        calls.append(1)
        return loudness(wave)

    path = tmp_path / "predictions.csv"
    first = accuracy.predict_once(path, counted, store, store.ids)
    again = accuracy.predict_once(path, counted, store, store.ids)
    assert len(calls) == len(store)
    np.testing.assert_array_equal(first, again)


def test_stored_predictions_come_in_the_order_asked_for(run, store):
    path = run / "teacher" / "predictions.csv"
    forward = accuracy.stored(path, store.ids)
    backward = accuracy.stored(path, store.ids[::-1])
    np.testing.assert_array_equal(forward, backward[::-1])


def test_a_test_song_without_a_prediction_is_named(run):
    with pytest.raises(DataError, match="no row for 1 of 2 test songs \\(first: nobody\\)"):
        accuracy.stored(run / "teacher" / "predictions.csv", ["2", "nobody"])


def test_truth_reads_the_true_score_and_names_a_missing_column(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text("song_id,true_valence,true_arousal,cue_valence\n7,0.25,-0.5,9\n8,0,1,9\n")
    np.testing.assert_allclose(accuracy.truth(path, ["8", "7"]), [[0, 1], [0.25, -0.5]], rtol=0, atol=1e-12)
    path.write_text("song_id,valence,arousal\n7,0.25,-0.5\n")
    with pytest.raises(DataError, match="no column 'true_valence'"):
        accuracy.truth(path, ["7"])


def test_ccc_by_hand():
    # labels 0, 1 (mean .5, variance .25); predictions 0, .5 (mean .25, variance .0625); covariance .125
    # ccc = 2 * .125 / (.25 + .0625 + .0625) = 2/3 for valence, 1 for a perfect arousal
    labels = np.array([[0.0, 0.0], [1.0, 1.0]])
    record = Record("x")
    accuracy.judge(record, np.array([[0.0, 0.0], [0.5, 1.0]]), labels, repeats=50, seed=0)
    assert record.ccc_valence == pytest.approx(2 / 3, abs=1e-12)
    assert record.ccc_arousal == pytest.approx(1.0, abs=1e-12)
    assert record.ccc_mean == pytest.approx(5 / 6, abs=1e-12)
    assert record.ccc_mean_low is not None and record.ccc_mean_low <= 5 / 6


def test_drop_is_teacher_minus_row_with_a_paired_interval():
    rng = np.random.default_rng(0)
    labels = rng.uniform(-0.8, 0.8, (60, 2))
    predictions = {"teacher": labels * 0.9, "student": labels * 0.9 + rng.normal(0, 0.3, labels.shape)}
    rows = [Record("teacher"), Record("student"), Record("not scored")]
    for row in rows[:2]:
        accuracy.judge(row, predictions[row.name], labels, 50, 0)
    accuracy.drops(rows, predictions, labels, "teacher", 200, 0)
    assert rows[0].ccc_drop == pytest.approx(0, abs=1e-12)
    assert rows[1].ccc_drop == pytest.approx(rows[0].ccc_mean - rows[1].ccc_mean, abs=1e-9)
    assert rows[2].ccc_drop is None
    assert 0 < rows[1].ccc_drop_low < rows[1].ccc_drop < rows[1].ccc_drop_high


def test_without_a_teacher_there_is_no_drop_and_the_row_says_so():
    record, labels = Record("student"), np.array([[0.0, 0.1], [0.5, 0.2]])
    accuracy.drops([record], {"student": labels}, labels, "teacher", 10, 0)
    assert record.ccc_drop is None and "no drop" in record.reason
