"""Audit of PMEmo's columns: whether ratings of whole choruses follow their own axis over time, on the same scale.

The ratings twice a second were given by the same listeners while they heard the chorus, so each mean must agree better
with the time average of its own axis than with the other; and as both lie between 0 and 1, a difference of their means
over all songs shows a table on another scale.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketmood.data.corpora import pmemo
from pocketmood.data.corpora.deam_audit import FEWEST_SONGS, pearson
from pocketmood.data.corpora.files import Files, open_table
from pocketmood.emotion import Emotion
from pocketmood.errors import DataError

LARGEST_SHIFT = 0.1
"""Of the means, on 0..1: beyond it the two tables are hardly on one scale."""


def report(files: Files) -> tuple[str, str]:
    """Audit a data set; return one sentence for people and the lines behind it."""
    if pmemo.DYNAMIC not in files.tables:
        return f"Audit of the columns could not run: {pmemo.DYNAMIC} not found below {files.root.name}.", ""
    try:
        static = pmemo.means(files, [])
        with open_table(files.tables[pmemo.DYNAMIC]) as file:
            dynamic = pmemo.read_dynamic(file)
    except DataError as error:
        return f"Audit of the columns could not run: {error}.", ""
    return compare(static, dynamic)


def compare(static: Mapping[str, Emotion], dynamic: Mapping[str, Emotion]) -> tuple[str, str]:
    """Compare means as shipped with means over time; return the sentence and the lines behind it."""
    both = sorted(static.keys() & dynamic.keys())
    if len(both) < FEWEST_SONGS:
        return f"Audit: {len(both)} songs are rated both ways, too few to tell which way round the axes are.", ""
    whole, over_time = (np.array([ratings[id_] for id_ in both], float) for ratings in (static, dynamic))  # [N, 2]
    r = [[pearson(whole[:, column], over_time[:, axis]) for axis in (0, 1)] for column in (0, 1)]
    shift = whole.mean(0) - over_time.mean(0)

    # The rows are the columns as named, so that the diagonal is each one's own axis.
    own, other = (r[0][0], r[1][1]), (r[0][1], r[1][0])
    named = (own[0] > other[0], own[1] > other[1])
    verdict = {(True, True): "look as named", (False, False): "look swapped"}.get(named, "cannot be told apart")
    proof = (
        f"r {own[0]:.2f} and {own[1]:.2f} with their axis over time, {other[0]:.2f} and {other[1]:.2f} with the other"
    )
    scale = "" if np.abs(shift).max() <= LARGEST_SHIFT else "; THE TWO TABLES ARE ON DIFFERENT SCALES"
    lines = [
        f"{axis}: r {r[place][place]:.3f} with its own axis, {r[place][1 - place]:.3f} with the other; mean of whole "
        f"choruses less mean over time {shift[place]:+.3f} (0..1)"
        for place, axis in enumerate(("valence", "arousal"))
    ]
    return f"Audit of {len(both)} songs: valence and arousal {verdict} ({proof}){scale}.", "\n".join(lines)
