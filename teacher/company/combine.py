"""How the members' predictions become one: their mean, or weights per axis that validation songs chose; numpy alone.

Conventions: M members, N songs, D = 2 axes. Weights [M, D] are not negative and add up to 1 on each axis, so a joined
prediction never leaves the range of the members', and their scale needs no calibration.

Stacking minimises, per axis, the mean squared error of the joined prediction plus a penalty on the distance to equal
weights. With weights that add up to 1 both are quadratic forms, and it is the combination of forecasts of Bates &
Granger (1969) with their matrix of errors shrunk towards a multiple of the identity (Ledoit & Wolf 2004).
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Penalties to try, in units of the members' mean squared error; endlessly large is the mean."""
FOLDS = 5
LEAST_SONGS = 20
"""Validation songs below which "auto" takes the mean: a fold would hold a handful, and its standard error is luck."""


class Choice(NamedTuple):
    """How members are joined, and why."""

    weights: Array
    """[M, D]."""
    how: str
    """"mean" or "stacked"."""
    why: str
    """A sentence; empty for a single member."""


def equal_weights(members: int) -> Array:
    """Return the weights [M, D] of the mean."""
    return np.full((members, 2), 1 / members)


def join(parts: Array, weights: Array) -> NDArray[np.float32]:
    """Join arrays [M, ..., D] of all members to [..., D]."""
    shape = (len(weights), *(1,) * (parts.ndim - 2), weights.shape[1])
    joined: NDArray[np.float32] = (parts.astype(np.float64) * weights.reshape(shape)).sum(0).astype(np.float32)
    return joined


def disagreement(emotion: Array) -> NDArray[np.float32]:
    """Return the standard deviation over members [M, ..., D] per axis, dividing by M; 0 for a single one."""
    deviation: NDArray[np.float32] = emotion.astype(np.float64).std(0).astype(np.float32)
    return deviation


def choose(combine: str, emotion: Array, labels: Array) -> Choice:
    """Choose weights by validation songs: emotion [M, N, D], labels [N, D]; combine: "auto", "mean" or "stacked".

    "auto" takes the mean unless stacking lowers the squared error on songs that it was not fitted on by more than its
    standard error: with few songs the mean is hard to beat, and what beats it by luck would be found here every time.
    """
    members, songs = emotion.shape[:2]
    equal = equal_weights(members)
    if members == 1:
        return Choice(equal, "mean", "")
    if combine == "mean":
        return Choice(equal, "mean", "the mean, as asked for")
    if combine == "auto" and songs < LEAST_SONGS:
        why = f"the mean: {songs} validation songs are too few to fit weights ({LEAST_SONGS} needed)"
        return Choice(equal, "mean", why)

    held_out = [_held_out_errors(emotion, labels, penalty) for penalty in PENALTIES]
    best = int(np.argmin([errors.mean() for errors in held_out]))
    gains = ((equal.T[None] * (emotion - labels).transpose(1, 2, 0)).sum(2) ** 2).sum(1) - held_out[best]  # [N]
    gain, error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(songs))
    verdict = f"stacking changes the squared error on {songs} validation songs by {-gain:+.4f} ± {error:.4f}"
    if combine == "auto" and gain <= error:
        return Choice(equal, "mean", f"the mean: {verdict}, which is no gain beyond its standard error")
    return Choice(stack(emotion, labels, PENALTIES[best]), "stacked", f"stacked: {verdict}")


def stack(emotion: Array, labels: Array, penalty: float) -> Array:
    """Return the weights [M, D] that minimise squared error plus penalty, axis by axis; see the module."""
    errors = emotion - labels  # [M, N, D]
    return np.stack([_minimise(errors[..., axis], penalty) for axis in range(errors.shape[2])], 1)


def _minimise(errors: Array, penalty: float) -> Array:
    """Minimise w' (E E' / N + penalty * mean square * I) w over weights [M] >= 0 that add up to 1; errors [M, N]."""
    form = errors @ errors.T / errors.shape[1]
    # A little more than nothing: members without any error make a form that cannot be solved.
    form = form + (penalty * form.trace() / len(form) + 1e-12) * np.eye(len(form))

    best, weights = np.inf, np.zeros(len(form))
    # Every subset of the members may be the one with weight: 255 small systems at most, and no iteration to tune.
    for count in range(1, len(form) + 1):
        for chosen in combinations(range(len(form)), count):
            rows = list(chosen)
            solved = np.linalg.solve(form[np.ix_(rows, rows)], np.ones(count))
            # At the minimum over a subset the form's value is 1 / sum(solved).
            if (solved >= 0).all() and 1 / solved.sum() < best:
                best, weights = 1 / solved.sum(), np.zeros(len(form))
                weights[rows] = solved / solved.sum()
    return weights


def _held_out_errors(emotion: Array, labels: Array, penalty: float) -> Array:
    """Return each song's squared error [N], both axes together, under weights fitted on the other folds."""
    fold = np.arange(len(labels)) % FOLDS
    errors = np.empty(len(labels))
    for number in range(FOLDS):
        held = fold == number
        weights = stack(emotion[:, ~held], labels[~held], penalty)
        joined = (emotion[:, held] * weights[:, None]).sum(0)
        errors[held] = ((joined - labels[held]) ** 2).sum(1)
    return errors
