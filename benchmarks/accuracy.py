"""Predictions of each row for the same test songs, and how well they agree with the raters.

Artefacts predict song by song, waveform in, as on a phone; the predictions of the teacher and of the ridge floor exist
already; the perfect listener predicts the true score that a rendered corpus knows.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.record import Record
from pocketmood import signs
from pocketmood.bundle import Predictor
from pocketmood.data.clips import ClipStore
from pocketmood.errors import DataError
from pocketmood.label_kind import RATINGS, has_signs
from pocketmood.metrics import bootstrap, paired_difference, score
from pocketmood.predictions import Predictions, read_predictions, write_predictions

Array = NDArray[np.float64]


def predict_songs(
    predict: Predictor, store: ClipStore, ids: Sequence[str], show: bool = False, name: str = ""
) -> tuple[Array, Array]:
    """Return emotion [N, 2] and interval68 [N, 2] of songs; DataError names the first song without two numbers."""
    emotion, interval68 = np.empty((len(ids), 2)), np.empty((len(ids), 2))
    for row, id_ in enumerate(tqdm(ids, desc=f"accuracy of {name}", disable=not show, leave=False)):
        emotion[row], interval68[row] = predict(store.waveform(id_))
        # Only the emotion is judged: a row without intervals may say NaN there, as the alternatives do.
        if not np.isfinite(emotion[row]).all():
            raise DataError(f"{name}: the prediction for song {id_} is {emotion[row].tolist()}, not two numbers")
    return emotion, interval68


def predict_once(
    path: Path, predict: Predictor, store: ClipStore, ids: Sequence[str], show: bool = False, name: str = ""
) -> Array:
    """Return emotion [N, 2] like `predict_songs`, kept in `path`: a run that was killed does not predict again."""
    if path.exists():
        return stored(path, ids)
    emotion, interval68 = predict_songs(predict, store, ids, show, name)
    parts = ("test",) * len(ids)
    write_predictions(path, Predictions(tuple(ids), parts, emotion, store.labels(ids), interval68=interval68))
    # As read back, so that a continued run ends with the very same numbers.
    return stored(path, ids)


def stored(path: Path, ids: Sequence[str]) -> Array:
    """Return emotion [N, 2] of these songs from a prediction file, in this order."""
    predictions = read_predictions(path)
    return _in_order(path, dict(zip(predictions.ids, predictions.emotion, strict=True)), ids)


def truth(path: Path, ids: Sequence[str]) -> Array:
    """Return the true score [N, 2] of rendered songs from `truth.csv`, in this order."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for column in ("song_id", "true_valence", "true_arousal"):
        if rows and column not in rows[0]:
            raise DataError(f"{path}: no column {column!r} (found: {', '.join(rows[0])})")
    known = {row["song_id"]: np.array([float(row["true_valence"]), float(row["true_arousal"])]) for row in rows}
    return _in_order(path, known, ids)


def judge(record: Record, emotion: Array, labels: NDArray[Any], repeats: int, seed: int, kind: str = RATINGS) -> None:
    """Fill in a row's CCC per axis and mean, with the 95 % interval over songs; first the metrics of signs, if any.

    kind: of the labels, of `pocketmood.label_kind`.
    """
    if has_signs(kind):
        ends = signs.score_intervals(emotion, labels, repeats=repeats, seed=seed)
        for name, value in signs.score(emotion, labels).items():
            setattr(record, name, value)
            setattr(record, f"{name}_low", ends[name].low)
            setattr(record, f"{name}_high", ends[name].high)
    scores = score(emotion, labels)
    record.ccc_valence, record.ccc_arousal = scores["ccc_valence"], scores["ccc_arousal"]
    record.ccc_mean = scores["ccc_mean"]
    # Songs are what is drawn anew: others would have been in the test part, with their raters.
    record.ccc_mean_low, record.ccc_mean_high = bootstrap(emotion, labels, repeats=repeats, seed=seed)


def drops(
    records: Sequence[Record],
    predictions: dict[str, Array],
    labels: NDArray[Any],
    reference: str,
    repeats: int,
    seed: int,
) -> None:
    """Fill in every scored row's drop against `reference` (its mean CCC minus the row's), with the paired interval."""
    for record in records:
        if record.name not in predictions:
            continue
        if reference not in predictions:
            record.note(f"no drop: row {reference!r} has no predictions")
            continue
        # The same resampled songs for both: what makes a song hard for one does so for the other, so that a drop is
        # surer than the two rows' own intervals let one think.
        paired = paired_difference(predictions[reference], predictions[record.name], labels, repeats=repeats, seed=seed)
        record.ccc_drop, record.ccc_drop_low, record.ccc_drop_high = paired


def _in_order(path: Path, known: dict[str, Array], ids: Sequence[str]) -> Array:
    missing = [id_ for id_ in ids if id_ not in known]
    if missing:
        raise DataError(f"{path}: no row for {len(missing)} of {len(ids)} test songs (first: {missing[0]})")
    return np.stack([known[id_] for id_ in ids])
