"""Six similarities of one set of spectrograms to another, from statistics that fit in memory.

Conventions: spectrogram values in [-1, 1]; each similarity lies in [0, 1], 1 for the same. Those that rest on a
distance count only what exceeds the distance between random halves of the real clips (median of `REFERENCES` splits,
none of them the split that the table shows), because a distance of finite samples is never 0.

    frechet      exp(-2 d), d = Frechet distance / total variance of the real clips: 1 is as far as knowing nothing
    kernel       exp(-2 d), d = squared MMD under a Gaussian kernel (median distance) / the real clips' own mean kernel
    moments      exp(-d), d = mean over bands of |difference of means| / deviation and |log ratio of deviations|, and of
                 the differences in skewness and kurtosis (the latter a quarter) of all values
    smoothness   exp(-d), d = mean over bands of |log ratio of the mean absolute frame difference|
    profile      correlation of the mean spectra, not below 0
    range        ratio of the mean distance between a clip's 5th and 95th percentile, the smaller by the larger
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from teacher.gan.record import WEIGHTS, Distances, Measures, Similarities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MOST_DIMENSIONS = 64
"""A Frechet distance of more dimensions from some 1700 samples rests on a covariance that is near singular."""
REFERENCES = 5
HALVES = 9
"""Real halves that are scored for the level which generated clips are held to, the one in the table among them.

One half of 42 songs scores 95 +- 6 (lowest of 24: 68), of 100 songs 98 +- 2; the mean of nine halves of 42 songs lies
between 86 and 98 (rendered songs and recordings alike). Nine cost .02 s with 42 songs, .15 s with 400."""
BINS = np.linspace(-1, 1, 51)
_TINY = 1e-6
# A band that is silent in every real clip must not turn a rounding error into a large distance.
_LEAST_DEVIATION = 0.01


@dataclass(frozen=True)
class Description:
    """What is kept of N spectrograms [N, 1, M, T]."""

    band_mean: Array
    """[N, M]"""
    band_deviation: Array
    """[N, M] over time."""
    band_change: Array
    """[N, M] mean absolute difference of neighbouring frames."""
    frame_mean: Array
    """[N, T] mean over bands."""
    shape: Array
    """[N, 3] skewness and excess kurtosis of all values, and 95th less 5th percentile."""
    histogram: Array
    """[N, BINS - 1] share of values."""

    def rows(self, chosen: NDArray[np.int64]) -> Description:
        """Keep some clips, in this order."""
        return Description(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    @classmethod
    def join(cls, parts: Sequence[Description]) -> Description:
        """Put sets behind each other."""
        return cls(
            **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        )

    @property
    def statistics(self) -> Array:
        """The embedding before its reduction: [N, 3M] mean, deviation and change of each band."""
        return np.concatenate([self.band_mean, self.band_deviation, self.band_change], 1)


def describe(mel: NDArray[np.float32]) -> Description:
    """Take the statistics of spectrograms [N, 1, M, T]."""
    bands = mel[:, 0]
    flat = bands.reshape(len(bands), -1)
    centred = flat - flat.mean(1, keepdims=True)
    deviation = np.maximum(centred.std(1), _TINY)
    skewness = (centred**3).mean(1) / deviation**3
    kurtosis = (centred**4).mean(1) / deviation**4 - 3
    # Percentiles, not minimum and maximum: a single odd value would decide a clip's range.
    low, high = np.percentile(flat, [5, 95], axis=1)
    counts = np.stack([np.histogram(row, BINS)[0] / row.size for row in flat])
    return Description(
        bands.mean(2).astype(np.float64),
        bands.std(2).astype(np.float64),
        np.abs(np.diff(bands, axis=2)).mean(2).astype(np.float64),
        bands.mean(1).astype(np.float64),
        np.stack([skewness, kurtosis, high - low], 1).astype(np.float64),
        counts,
    )


@dataclass(frozen=True)
class Embedding:
    """Principal components of standardised band statistics, fitted on real clips."""

    centre: Array
    """[3M] mean of the real clips."""
    scale: Array
    """[3M] their standard deviation, not below a least one."""
    axes: Array
    """[3M, K]"""

    @classmethod
    def fit(cls, statistics: Array, dimensions: int) -> Embedding:
        """Find the `dimensions` directions in which real clips differ most."""
        centre, scale = statistics.mean(0), np.maximum(statistics.std(0), _LEAST_DEVIATION)
        axes = np.linalg.svd((statistics - centre) / scale, full_matrices=False)[2][:dimensions].T
        return cls(centre, scale, axes)

    def __call__(self, statistics: Array) -> Array:
        """Project [N, 3M] to [N, K]."""
        return (statistics - self.centre) / self.scale @ self.axes


@dataclass(frozen=True)
class Scale:
    """Two random halves of the real clips, and how far such halves are apart by chance."""

    real: Description
    """All real clips."""
    embedding: Embedding
    """Where Frechet and kernel distance are taken."""
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    """Rows of `real` in each half."""
    chance: Distances
    """Median distance between other random halves."""

    @classmethod
    def fit(cls, real: Description, seed: int) -> Scale:
        """Split the real clips in two, and measure chance on other splits."""
        rng = np.random.default_rng(seed)
        count = len(real.band_mean)
        # Four clips per dimension and half, or the covariances are guesses.
        dimensions = max(min(MOST_DIMENSIONS, count // 8), 1)
        embedding = Embedding.fit(real.statistics, dimensions)

        # The first split is the one that the table shows; chance is measured on the others, or the real half's own
        # distance would be taken off itself and its score be 100 by construction.
        splits = [np.array_split(rng.permutation(count)[: count // 2 * 2], 2) for _ in range(REFERENCES + 1)]
        between = [asdict(distances(real.rows(a), real.rows(b), embedding)) for a, b in splits[1:]]
        chance = {name: float(np.median([distance[name] for distance in between])) for name in between[0]}
        return cls(real, embedding, splits[0][0], splits[0][1], Distances(**chance))

    def half_scores(self, seed: int) -> list[float]:
        """Score the other half of `HALVES` random splits; the first is the one that the table shows."""
        rng = np.random.default_rng([seed, HALVES])
        count = len(self.real.band_mean)
        scores = [self.score(self.real.rows(self.second)).score]
        # Against chance as it is: the splits that it was measured on are none of these.
        while len(scores) < HALVES:
            first, second = np.array_split(rng.permutation(count)[: count // 2 * 2], 2)
            scores.append(replace(self, first=first, second=second).score(self.real.rows(second)).score)
        return scores

    @property
    def name(self) -> str:
        """Name of the embedding of Frechet and kernel distance."""
        inputs, outputs = self.embedding.axes.shape
        return f"mel-statistics-{inputs}-pca-{outputs}"

    def score(self, candidate: Description) -> Measures:
        """Compare clips with the first real half."""
        real = self.real.rows(self.first)
        found, chance = distances(real, candidate, self.embedding), self.chance
        similarity = Similarities(
            frechet=float(np.exp(-2 * _excess(found.frechet, chance.frechet))),
            kernel=float(np.exp(-2 * _excess(found.kernel, chance.kernel))),
            moments=float(np.exp(-_excess(found.moments, chance.moments))),
            smoothness=float(np.exp(-_excess(found.smoothness, chance.smoothness))),
            profile=float(max(_correlation(real.band_mean.mean(0), candidate.band_mean.mean(0)), 0.0)),
            range=_ratio(real.shape[:, 2].mean(), candidate.shape[:, 2].mean()),
        )
        # A geometric mean, so that no strength pays for a failure.
        factors = [max(getattr(similarity, name), _TINY) ** weight for name, weight in WEIGHTS.items()]
        return Measures(float(100 * np.prod(factors)), found, similarity)


def _excess(distance: float, chance: float) -> float:
    """Return what a distance has beyond that of two random halves of the real clips."""
    return max(distance - chance, 0.0)


def distances(real: Description, other: Description, embedding: Embedding) -> Distances:
    """Return the four distances that have a level of chance."""
    a, b = embedding(real.statistics), embedding(other.statistics)
    return Distances(
        frechet=float(frechet(a, b) / max(a.var(0).sum(), _TINY)),
        kernel=kernel(a, b),
        moments=_moments(real, other),
        smoothness=float(np.abs(_log_ratio(other.band_change.mean(0), real.band_change.mean(0))).mean()),
    )


def frechet(a: Array, b: Array) -> float:
    """Return |mean difference|^2 + tr(A + B - 2 (A B)^(1/2)) of two samples [N, K] taken as Gaussians."""
    cov_a, cov_b = np.cov(a, rowvar=False).reshape(a.shape[1], -1), np.cov(b, rowvar=False).reshape(a.shape[1], -1)
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    # A^(1/2) B A^(1/2) is symmetric and has the eigenvalues of A B.
    shared = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    return float(max(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * shared, 0.0))


def kernel(a: Array, b: Array) -> float:
    """Return the unbiased squared MMD (Gretton 2012) of samples [N, K] over the mean kernel within `a`.

    Gaussian kernel; its width is the median distance within `a`. 0 for the same distribution (may fall below by
    chance), 1 and more for sets that have nothing in common.
    """
    inner = _squares(a, a)
    # The median heuristic: a fixed width would make the distance depend on the scale of the embedding.
    width = float(np.median(inner[np.triu_indices(len(a), 1)]))

    def similarity(squares: Array) -> Array:
        values: Array = np.exp(-squares / max(width, _TINY))
        return values

    # Without the diagonal: a clip's similarity of 1 to itself would bias the estimate of few clips.
    def within(squares: Array) -> float:
        count = len(squares)
        return float((similarity(squares).sum() - count) / (count * (count - 1)))

    own = within(inner)
    return (own + within(_squares(b, b)) - 2 * float(similarity(_squares(a, b)).mean())) / max(own, _TINY)


def _squares(a: Array, b: Array) -> Array:
    """Return the squared distances [N, N'] between rows."""
    # |a|^2 + |b|^2 - 2 ab needs no [N, N', K] array; rounding may leave it below 0 where rows are the same.
    squares: Array = ((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T).clip(0)
    return squares


def _moments(real: Description, other: Description) -> float:
    """Compare levels and deviations per band, and the shape of all values, in numbers of about the same size."""
    level = np.abs(other.band_mean.mean(0) - real.band_mean.mean(0)) / np.maximum(
        real.band_deviation.mean(0), _LEAST_DEVIATION
    )
    deviation = np.abs(_log_ratio(other.band_deviation.mean(0), real.band_deviation.mean(0)))
    skewness, kurtosis = np.abs(other.shape[:, :2].mean(0) - real.shape[:, :2].mean(0))
    return float(np.mean([level.mean(), deviation.mean(), skewness, kurtosis / 4]))


def _log_ratio(a: Array, b: Array) -> Array:
    ratio: Array = np.log((a + _LEAST_DEVIATION) / (b + _LEAST_DEVIATION))
    return ratio


def _ratio(a: float, b: float) -> float:
    return float(min(a, b) / max(a, b, _TINY))


def _correlation(a: Array, b: Array) -> float:
    """Return Pearson's r; 0 where either side is constant, which has no shape to compare."""
    if min(a.std(), b.std()) < _TINY:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
