"""Where a model is right and where not: by quadrant, by block of song ids, against the ceiling, and song by song.

Conventions: labels and answers [N, 2] in [-1, 1]. Inside a quadrant labels hardly vary, so that a CCC says little:
errors and signed errors are told instead. Blocks of ids are DEAM's: they were collected in different years.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


def by_quadrant(labels: Array, answers: Mapping[str, Array]) -> list[dict[str, Any]]:
    """Tell, per row and quadrant of the raters: songs, error (RMSE over both axes), signed errors, share put there."""
    where = _quadrants(labels)
    found = []
    for name, said in answers.items():
        put = _quadrants(said)
        for word in QUADRANTS:
            rows = where == word
            if not rows.any():
                continue
            error = said[rows] - labels[rows]
            found.append(
                {
                    "row": name,
                    "part": word,
                    "songs": int(rows.sum()),
                    "rmse": float(np.sqrt((error**2).mean())),
                    "bias_valence": float(error[:, 0].mean()),
                    "bias_arousal": float(error[:, 1].mean()),
                    "put_there": float((put[rows] == word).mean()),
                }
            )
    return found


def by_block(
    ids: Sequence[str], labels: Array, answers: Mapping[str, Array], repeats: int, seed: int
) -> list[dict[str, Any]]:
    """Tell each row's mean CCC with its interval per block of ids; None where a block has too few songs."""
    numbers = np.array([int(id_) if id_.isdigit() else -1 for id_ in ids])
    found = []
    for name, said in answers.items():
        for first, last in BLOCKS:
            rows = (numbers >= first) & (numbers <= last)
            if not rows.any():
                continue
            part = f"{first} to {last}" if last < BLOCKS[-1][1] else f"{first} and above"
            entry: dict[str, Any] = {"row": name, "part": part, "songs": int(rows.sum()), "ccc": None}
            if entry["songs"] >= FEWEST_SONGS:
                low, high = bootstrap(said[rows], labels[rows], repeats=repeats, seed=seed)
                entry |= {"ccc": score(said[rows], labels[rows])["ccc_mean"], "low": low, "high": high}
            found.append(entry)
    return found


def ceiling_shares(records: Sequence[Record], ceiling: str) -> dict[str, float]:
    """Return each scored row's mean CCC as a share of what a perfect listener scores; empty where nobody knows that."""
    best = next((record.ccc_mean for record in records if record.name == ceiling), None)
    if not best:
        return {}
    return {one.name: one.ccc_mean / best for one in records if one.ccc_mean is not None and one.name != ceiling}


def worst_songs(ids: Sequence[str], labels: Array, said: Array, count: int) -> list[int]:
    """Return the places of the songs with the largest distance between answer and raters, largest first."""
    distance = np.hypot(*(said - labels).T)
    order = sorted(range(len(ids)), key=lambda row: (-distance[row], ids[row]))
    return order[:count]


def _quadrants(points: Array) -> NDArray[np.str_]:
    return np.array([quadrant(Emotion(float(v), float(a))) for v, a in points])
