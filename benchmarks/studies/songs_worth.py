"""How many rated songs unrated music is worth: arms over folds, their intervals, and a learning curve read backwards.

Conventions: an arm's predictions are [K, N, D]: K seeds per fold, N songs, each tested in one fold, D the two axes.
Scores are means of both axes over all K N answers together: CCC, and, where labels are signs, AUC, which then is what
counts: a CCC of signs falls where predictions keep to the middle, however well they order. Intervals draw folds with
replacement, for each of them one of its K trainings, and from it as many of its songs as it has, with replacement: all
arms of a draw on the same trainings' seeds and the same songs, which is what pairs them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.ablation import Arm, Facts, difference_text
from pocketmood import signs
from pocketmood.errors import DataError
from pocketmood.metrics import Array, Paired, ccc


@dataclass(frozen=True)
class Outcome:
    """What all trainings of a study predicted for the songs that they had not heard."""

    emotion: Mapping[str, Array]
    """Arm -> [K, N, 2]."""
    label: Array
    """[N, 2]."""
    fold: NDArray[np.int64]
    """[N] the fold that each song is tested in."""
    of_signs: bool = False
    """Whether labels are signs only."""


@dataclass(frozen=True)
class Draw:
    """One resampling: answers that count, some several times."""

    seed: NDArray[np.int64]
    """[M] the training, of K, that predicts."""
    song: NDArray[np.int64]
    """[M] for which song."""

    def ccc(self, outcome: Outcome, arm: str) -> float:
        """Return an arm's mean CCC over what was drawn."""
        return self._mean(outcome, arm, ccc)

    def auc(self, outcome: Outcome, arm: str) -> float:
        """Return an arm's mean AUC of both signs over what was drawn."""
        return self._mean(outcome, arm, signs.auc)

    def score(self, outcome: Outcome, arm: str) -> float:
        """Return what counts: AUC where labels are signs, else CCC."""
        return self.auc(outcome, arm) if outcome.of_signs else self.ccc(outcome, arm)

    def _mean(self, outcome: Outcome, arm: str, of: Callable[[Array, Array], float]) -> float:
        predicted, label = outcome.emotion[arm][self.seed, self.song], outcome.label[self.song]
        return float(np.mean([of(predicted[:, axis], label[:, axis]) for axis in range(2)]))


@dataclass(frozen=True)
class Point:
    """A point of the learning curve: students that learnt from ratings alone."""

    arm: str
    """Name of the arm."""
    songs: float
    """Rated songs that it learnt from, mean over folds."""


@dataclass(frozen=True)
class Worth:
    """How many rated songs music without ratings is worth."""

    songs: float
    """Rated songs that ratings alone would take for the same score, less those that were used."""
    low: float
    high: float
    """95 % interval over folds, seeds and songs; ends at what the curve reaches."""
    beyond: str
    """"at least" or "at most" where the curve ends before it; "" within it."""


def everything(outcome: Outcome) -> Draw:
    """Return the draw that holds each answer once."""
    seeds, songs = next(iter(outcome.emotion.values())).shape[:2]
    seed, song = np.divmod(np.arange(seeds * songs), songs)
    return Draw(seed, song)


def draws(outcome: Outcome, repeats: int = 1000, seed: int = 0) -> list[Draw]:
    """Resample folds, their trainings, and the songs of each."""
    rng = np.random.default_rng(seed)
    seeds = len(next(iter(outcome.emotion.values())))
    songs_of = [np.flatnonzero(outcome.fold == fold) for fold in np.unique(outcome.fold)]
    found = []
    for _ in range(repeats):
        picked = [(songs_of[fold], rng.integers(seeds)) for fold in rng.integers(len(songs_of), size=len(songs_of))]
        found.append(
            Draw(
                np.concatenate([np.full(len(songs), number) for songs, number in picked]),
                np.concatenate([rng.choice(songs, len(songs)) for songs, _ in picked]),
            )
        )
    return found


def compare(outcome: Outcome, arms: Sequence[str], facts: Mapping[str, Facts], drawn: Sequence[Draw]) -> list[Arm]:
    """Make a row per arm, each compared with the first; the scatter over seeds is that over trainings of all folds."""
    whole, rows = everything(outcome), []
    samples = {arm: np.array([draw.ccc(outcome, arm) for draw in drawn]) for arm in arms}
    first = arms[0]
    for arm in arms:
        ccc_mean = whole.ccc(outcome, arm)
        low, high = np.percentile(samples[arm], [2.5, 97.5]).tolist()
        gain: Paired | None = None
        if arm != first:
            interval = np.percentile(samples[arm] - samples[first], [2.5, 97.5]).tolist()
            gain = Paired(ccc_mean - whole.ccc(outcome, first), *interval)
        each = _of_trainings(outcome, arm)
        deviation = float(np.std(each, ddof=1)) if len(each) > 1 else None
        difference, least, most = gain or (None, None, None)
        # Of signs as well: where labels are quadrants, a CCC is one of signs only.
        pairs = outcome.emotion[arm][whole.seed, whole.song], outcome.label[whole.song]
        signs_right = {signs.TITLES[name]: f"{value:.3f}" for name, value in signs.score(*pairs).items()}
        known = facts.get(arm, {}) | signs_right | (_aucs(outcome, arm, first, drawn) if outcome.of_signs else {})
        rows.append(Arm(arm, ccc_mean, low, high, deviation, len(each), difference, least, most, known))
    return rows


def _aucs(outcome: Outcome, arm: str, first: str, drawn: Sequence[Draw]) -> Facts:
    """Return an arm's mean AUC of both signs, and its paired difference to the first arm's."""
    whole = everything(outcome)
    known: Facts = {"AUC": f"{whole.auc(outcome, arm):.3f}"}
    if arm != first:
        samples = [draw.auc(outcome, arm) - draw.auc(outcome, first) for draw in drawn]
        low, high = np.percentile(samples, [2.5, 97.5]).tolist()
        gain = whole.auc(outcome, arm) - whole.auc(outcome, first)
        known["AUC, difference"] = difference_text(gain, low, high)
    return known


def worth(outcome: Outcome, curve: Sequence[Point], arm: str, songs: float, drawn: Sequence[Draw]) -> Worth:
    """Read off the curve how many rated songs give what `arm` reaches with `songs` of them and music without ratings.

    Each draw has a curve of its own, so that the interval holds the doubt about both.
    """
    if len(curve) < 2:
        raise DataError(f"a learning curve of {len(curve)} points says nothing; give --curve two shares at least")
    sizes = [point.songs for point in curve]

    def needed(draw: Draw) -> tuple[float, str]:
        reached = [draw.score(outcome, point.arm) for point in curve]
        return songs_needed(sizes, reached, draw.score(outcome, arm))

    point, beyond = needed(everything(outcome))
    samples = [needed(draw)[0] - songs for draw in drawn]
    low, high = np.percentile(samples, [2.5, 97.5]).tolist()
    return Worth(point - songs, low, high, beyond)


def songs_needed(songs: Sequence[float], reached: Sequence[float], wanted: float) -> tuple[float, str]:
    """Return how many rated songs reach a score, and "at least" or "at most" where the curve does not hold it.

    songs: of each point, rising. The curve is made to rise (`rising`) and is straight over the logarithm of the songs:
    scores grow about as much with every doubling.
    """
    level = rising(reached)
    # Beyond its ends a curve says nothing, and a line drawn on would say anything.
    if wanted < level[0]:
        return songs[0], "at most"
    if wanted > level[-1]:
        return songs[-1], "at least"
    upper = next(number for number, value in enumerate(level) if value >= wanted)
    if upper == 0 or level[upper] == wanted:
        return songs[upper], ""
    share = (wanted - level[upper - 1]) / (level[upper] - level[upper - 1])
    return math.exp((1 - share) * math.log(songs[upper - 1]) + share * math.log(songs[upper])), ""


def rising(values: Sequence[float]) -> list[float]:
    """Return the closest sequence that never falls (pool adjacent violators; Ayer et al. 1955).

    More ratings do no harm: where a point lies below the one before it, both are noise around their mean.
    """
    pools: list[tuple[float, int]] = []
    for value in values:
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, of_a), (b, of_b) = pools[-2:]
            pools[-2:] = [((a * of_a + b * of_b) / (of_a + of_b), of_a + of_b)]
    return [value for value, count in pools for _ in range(count)]


def sentence(found: Worth, songs: float, clips: int, score: str = "CCC") -> str:
    """Say it for people who decide what to pay for."""
    beyond = f"{found.beyond} " if found.beyond else ""
    return (
        f"With {songs:.0f} rated songs, {clips} clips of music that nobody rated are worth {beyond}"
        f"{found.songs:.0f} further rated songs [{found.low:.0f}, {found.high:.0f}]: so many more ratings give the "
        f"same {score} without them. The interval ends where the learning curve does."
    )


def _of_trainings(outcome: Outcome, arm: str) -> list[float]:
    """Return the mean CCC of every training, each on the songs of its fold."""
    found = []
    for number, fold in ((k, f) for k in range(len(outcome.emotion[arm])) for f in np.unique(outcome.fold)):
        songs = np.flatnonzero(outcome.fold == fold)
        found.append(Draw(np.full(len(songs), number), songs).ccc(outcome, arm))
    return found
