"""Errors by part of the test songs: by quadrant, by block of song ids, against the ceiling, and song by song.

Conventions: labels and predictions [N, 2] in [-1, 1]. Inside a quadrant labels hardly vary, so that a CCC says little:
errors and signed errors are told instead. Blocks of ids are DEAM's: they were collected in different years.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import Record
from pocketmood.data.corpora.deam_audit import BLOCKS
from pocketmood.emotion import Emotion, quadrant
from pocketmood.metrics import bootstrap, score

Array = NDArray[np.float64]
QUADRANTS = ("happy-energetic", "angry-tense", "sad-calm", "content-relaxed")
FEWEST_SONGS = 20
"""With fewer, the interval of a CCC says nothing."""
DEAMS = ("deam", "rendered")
"""Corpora whose ids are DEAM's."""


@dataclass(frozen=True)
class QuadrantErrors:
    """Errors of one row over the songs whose label lies in one quadrant."""

    row: str
    """Name of the row."""
    part: str
    """The quadrant."""
    songs: int
    """Songs whose label lies in it."""
    rmse: float
    """Root mean square over both axes."""
    bias_valence: float
    """Mean of prediction less rating."""
    bias_arousal: float
    """The same for arousal."""
    put_there: float
    """Share of its songs whose prediction lies in the same quadrant."""


@dataclass(frozen=True)
class BlockAgreement:
    """Agreement of one row over a block of song ids."""

    row: str
    """Name of the row."""
    part: str
    """First and last id."""
    songs: int
    """Songs of the block."""
    ccc: float | None = None
    """Mean CCC; None where the block has fewer than FEWEST_SONGS."""
    low: float | None = None
    high: float | None = None
    """Its 95 % interval over songs."""


def by_quadrant(labels: Array, predictions: Mapping[str, Array]) -> list[QuadrantErrors]:
    """Return the errors of each row in each quadrant that a song's label lies in."""
    labelled = _quadrants(labels)
    found = []
    for name, emotion in predictions.items():
        predicted = _quadrants(emotion)
        for word in QUADRANTS:
            rows = labelled == word
            # Test parts of a few songs leave a quadrant empty, which has no mean.
            if not rows.any():
                continue
            error = emotion[rows] - labels[rows]
            rmse = float(np.sqrt((error**2).mean()))
            bias_valence, bias_arousal = (float(error[:, axis].mean()) for axis in (0, 1))
            put_there = float((predicted[rows] == word).mean())
            found.append(QuadrantErrors(name, word, int(rows.sum()), rmse, bias_valence, bias_arousal, put_there))
    return found


def blocks(ids: Sequence[str], corpora: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Return the rows of each block of DEAM's ids.

    corpora: name of each song's corpus. Numbers of other corpora than DEAM and those in its layout are no such ids.
    """
    deams = np.isin(np.array(corpora), DEAMS)
    numbers = np.array([int(id_) if id_.isdigit() else -1 for id_ in ids])
    found = {}
    for first, last in BLOCKS:
        part = f"{first} to {last}" if last < BLOCKS[-1][1] else f"{first} and above"
        found[part] = deams & (numbers >= first) & (numbers <= last)
    return found


def by_block(
    parts: Mapping[str, NDArray[np.bool_]], labels: Array, predictions: Mapping[str, Array], repeats: int, seed: int
) -> list[BlockAgreement]:
    """Return each row's mean CCC with its interval per block that has test songs; parts: as `blocks` gives them."""
    found = []
    for name, emotion in predictions.items():
        for part, rows in parts.items():
            if not rows.any():
                continue
            songs = int(rows.sum())
            if songs < FEWEST_SONGS:
                found.append(BlockAgreement(name, part, songs))
                continue
            low, high = bootstrap(emotion[rows], labels[rows], repeats=repeats, seed=seed)
            ccc = score(emotion[rows], labels[rows])["ccc_mean"]
            found.append(BlockAgreement(name, part, songs, ccc, low, high))
    return found


def ceiling_shares(records: Sequence[Record], ceiling: str) -> dict[str, float]:
    """Return each scored row's mean CCC as a share of what a perfect listener scores; empty where nobody knows that."""
    # A ceiling of 0, which one test song gives, is no measure either.
    best = next((record.ccc_mean for record in records if record.name == ceiling), None)
    if not best:
        return {}
    scored = [record for record in records if record.name != ceiling]
    return {record.name: record.ccc_mean / best for record in scored if record.ccc_mean is not None}


def worst_songs(ids: Sequence[str], labels: Array, emotion: Array, count: int) -> list[int]:
    """Return the places of the songs with the largest distance between prediction and label, largest first."""
    distance = np.hypot(*(emotion - labels).T)
    # By id where distances are equal, so that the page does not depend on the sort.
    order = sorted(range(len(ids)), key=lambda row: (-distance[row], ids[row]))
    return order[:count]


def _quadrants(points: Array) -> NDArray[np.str_]:
    return np.array([quadrant(Emotion(float(v), float(a))) for v, a in points])
