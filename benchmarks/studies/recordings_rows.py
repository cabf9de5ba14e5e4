"""Rows of the table on real recordings: how each is fitted in a fold, and what it predicts for that fold's test songs.

Conventions: a row's predictions are [N, 2] for the test songs of a fold; signs are what is scored. Rows that learn in
the teacher's, student's or export's stage are made by those stages in the fold's own run folder, so that what is
measured is what users get; the others fit in seconds and are stages of the study.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketmood.errors import DataError
from pocketmood.runs import file_hash
from pocketmood.signs import auc
from pocketmood.standing_warnings import of_musicnn

if TYPE_CHECKING:
    from benchmarks.studies.recordings_config import RecordingsTableConfig
    from pocketmood.data.clips import ClipStore
    from pocketmood.training.weights import FirstWeights

Fit = Callable[[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]], Callable[[NDArray[Any]], NDArray[Any]]]
"""Training features and labels, validation features and labels -> what predicts [N, 2] from features [N, F]."""
PENALTIES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""C of the support vector machines; validation chooses."""
_SONG, _LABEL = "SongID", "Quadrant"
"""Columns of the published table that are no features."""


@dataclass(frozen=True)
class Row:
    """A row of the table that fits in seconds on features of its own."""

    title: str
    """What the table calls it."""
    features: Callable[[RecordingsTableConfig, ClipStore, Sequence[str]], NDArray[np.float64]]
    """Features [N, F] of clips."""
    fit: Fit
    """Fits it in a fold."""
    lacks: Callable[[RecordingsTableConfig], str]
    """What it needs and is not here, with what to type; empty where nothing is missing."""
    made_from: Callable[[RecordingsTableConfig], dict[str, str]] = lambda config: {}
    """Fingerprints of what its features come from beside the songs: others fit it anew."""
    doubts: tuple[str, ...] = ()
    """What stands beside its figures, in sentences without their full stop."""


def floor_features(config: RecordingsTableConfig, store: ClipStore, ids: Sequence[str]) -> NDArray[np.float64]:
    """Describe clips by the floor's band statistics."""
    from teacher.floor import store_features

    return store_features(store, ids)


def fit_ridge(
    train: NDArray[Any], labels: NDArray[Any], held: NDArray[Any], held_labels: NDArray[Any]
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Fit the floor's ridge regression; its penalty is the one with the best CCC on validation."""
    from teacher.floor import fit

    return fit(train, labels, held, held_labels).predict


def published_features(config: RecordingsTableConfig, store: ClipStore, ids: Sequence[str]) -> NDArray[np.float64]:
    """Read the 100 published features of the songs; DataError for a song that the file does not have."""
    path = config.features_file
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if _SONG not in header:
            raise DataError(
                f'{path}: no column "{_SONG}" (found: {", ".join(header[:5])}); is this the file of the 100 features?'
            )
        # The label stands in the same table: as a feature it would be the answer.
        columns = [place for place, name in enumerate(header) if name not in (_SONG, _LABEL)]
        song = header.index(_SONG)
        rows = {row[song]: [row[place] for place in columns] for row in reader if len(row) == len(header)}
    missing = [id_ for id_ in ids if _song(id_) not in rows]
    if missing:
        raise DataError(f"{path}: no features of {len(missing)} songs, {missing[0]} among them; leave out --rows svm")
    try:
        # A feature that could not be measured is empty or NaN there: no deviation from the mean, by `fit_svm`.
        return np.array([[float(value or "nan") for value in rows[_song(id_)]] for id_ in ids])
    except ValueError as error:
        raise DataError(f"{path}: a feature that is no number ({error})") from error


def fit_svm(
    train: NDArray[Any], labels: NDArray[Any], held: NDArray[Any], held_labels: NDArray[Any]
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Fit a support vector machine per sign (RBF kernel, standardised features); its C has the best validation AUC.

    What it gives is the signed distance to the border in units of the margin, squeezed by tanh into (-1, 1).
    """
    from sklearn.svm import SVC

    centre, scale = np.nanmean(train, 0), np.nanstd(train, 0)
    scale = np.where(scale > 1e-9, scale, 1.0)

    def standard(features: NDArray[Any]) -> NDArray[Any]:
        scaled: NDArray[Any] = np.nan_to_num((features - centre) / scale)
        return scaled

    machines = []
    for axis in range(2):
        fitted = [SVC(C=penalty).fit(standard(train), labels[:, axis] >= 0) for penalty in PENALTIES]
        scores = [auc(machine.decision_function(standard(held)), held_labels[:, axis]) for machine in fitted]
        machines.append(fitted[int(np.argmax(scores))])

    def predict(features: NDArray[Any]) -> NDArray[Any]:
        # A margin is no emotion; the table tells its signs and order, which no monotone squeeze changes.
        margins = np.stack([machine.decision_function(standard(features)) for machine in machines], 1)
        squeezed: NDArray[Any] = np.tanh(margins)
        return squeezed

    return predict


def musicnn_features(config: RecordingsTableConfig, store: ClipStore, ids: Sequence[str]) -> NDArray[np.float64]:
    """Describe whole clips by the features that the frozen musicnn teacher learns from."""
    from teacher.musicnn.config import FEATURES
    from teacher.musicnn.features import Listener, make_table

    # The teacher's own listener: what is told of the row must be what a frozen musicnn member learns from.
    whole = [(0.0, store.samples / store.sample_rate)]
    return make_table(store, ids, whole, Listener.open(_musicnn_weights()), FEATURES)[:, 0].astype(np.float64)


def _musicnn_weights() -> FirstWeights:
    from pocketmood.training.weights import find
    from teacher.musicnn.config import published

    return find(published())


def _lacks_musicnn(config: RecordingsTableConfig) -> str:
    return "" if _musicnn_weights().place else "no weights of MSD_musicnn here; type `make weights`"


def _lacks_features(config: RecordingsTableConfig) -> str:
    if not config.features_file.is_file():
        return f"no {config.features_file}; pass --features FILE"
    return "" if find_spec("sklearn") else "scikit-learn is not installed; type `make setup`"


def _song(id_: str) -> str:
    """Return a song's id as its own corpus writes it: a mixed run puts the corpus's name before it."""
    return id_.removeprefix("4q-")


ROWS = {
    "floor": Row("floor (ridge on band statistics)", floor_features, fit_ridge, lambda config: ""),
    "svm": Row(
        "SVM on 100 published features",
        published_features,
        fit_svm,
        _lacks_features,
        lambda config: {"published": file_hash(config.features_file)},
        ("these 100 features were selected on these very songs, test songs included, so its figures are too high",),
    ),
    "musicnn-ridge": Row(
        "ridge on frozen musicnn",
        musicnn_features,
        fit_ridge,
        _lacks_musicnn,
        lambda config: {"weights": _musicnn_weights().identity},
        of_musicnn(),
    ),
}
"""The rows that fit in seconds."""
