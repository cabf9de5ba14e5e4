"""What each part of a recipe is worth: several arms, several seeds each, compared on the same test songs.

Conventions: an arm's predictions are [K, N, D], K seeds, N songs, D the two axes. An arm's CCC is the mean over its
seeds; intervals resample songs and seeds, all arms of a resampling on the same songs and seeds, so that they are
paired. Songs alone would call a lucky seed an improvement; with one seed they are all there is, and with three the
seeds' part is a rough guess.

An ablation has a config on top of `AblationConfig`, trains by `train_arms`, compares by `compare`, and ends with
`write`. Its trainings are stages in RUN/ablation, so that a killed one continues.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.result_files import markdown_table, write_result
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError, DataError
from pocketmood.metrics import Array, Paired, mean_ccc_samples, score

Facts = dict[str, Any]
"""What else is known of an arm: steps, clips, seconds."""


@dataclass(frozen=True)
class AblationConfig:
    """Settings of every ablation."""

    seeds: int = 3
    """Trainings per arm."""

    def __post_init__(self) -> None:
        """Refuse an ablation without trainings."""
        if self.seeds < 1:
            raise ConfigError(f"--seeds {self.seeds} must be at least 1")


@dataclass(frozen=True)
class Arm:
    """One row of an ablation."""

    name: str
    """What the arm is called."""
    ccc: float
    """Mean CCC of valence and arousal, mean over seeds."""
    low: float
    high: float
    """95 % interval of `ccc` over songs and seeds."""
    seed_deviation: float | None
    """Standard deviation of the mean CCC over seeds; None for one seed, which tells nothing of it."""
    seeds: int
    """Trainings behind it."""
    difference: float | None
    """`ccc` less that of the first arm; None in the first arm."""
    difference_low: float | None
    difference_high: float | None
    """95 % interval of `difference` over songs and seeds; None in the first arm."""
    facts: Facts = field(default_factory=dict)
    """What else is known of the arm: steps, clips, seconds."""


@dataclass(frozen=True)
class Trained:
    """What the trainings of all arms gave."""

    emotion: dict[str, Array]
    """Per arm: predictions [K, N, 2] for the test songs."""
    facts: dict[str, Facts]
    """Per arm, of its last seed: seeds differ in their numbers, not in these."""


def stages_of(run: RunFolder, what: str) -> Path:
    """Return the folder whose stages are an ablation's trainings: RUN/ablation/WHAT."""
    return run.beside("ablation") / what


def train_arms(arms: Sequence[str], seeds: int, train: Callable[[str, int], tuple[Array, Facts]]) -> Trained:
    """Train every arm with every seed: train(arm, seed) -> predictions [N, 2] for the test songs, and facts."""
    emotion: dict[str, list[Array]] = {arm: [] for arm in arms}
    facts: dict[str, Facts] = {}
    # Seed by seed: an ablation that is stopped early has all arms of the seeds that it got through.
    for seed in range(seeds):
        for arm in arms:
            predicted, facts[arm] = train(arm, seed)
            emotion[arm].append(predicted)
    return Trained({arm: np.stack(rows) for arm, rows in emotion.items()}, facts)


def compare(
    predictions: Mapping[str, Array],
    label: Array,
    songs: Sequence[str] | None = None,
    facts: Mapping[str, Facts] | None = None,
    repeats: int = 1000,
    seed: int = 0,
) -> list[Arm]:
    """Compare arms (name -> [K, N, D]) on ratings [N, D]; the first arm is what the others are measured against."""
    if not predictions:
        raise DataError("an ablation needs at least one arm")
    flat = {name: np.asarray(pred, np.float64) for name, pred in predictions.items()}
    for name, pred in flat.items():
        if pred.ndim != 3 or pred.shape[1:] != label.shape:
            raise DataError(f"arm {name!r}: predictions {pred.shape} for ratings {label.shape}; want [seeds, songs, 2]")

    # All arms are resampled with one seed: the same songs and seeds of a draw, which is what pairs them.
    points = {name: np.array([score(of_seed, label)["ccc_mean"] for of_seed in pred]) for name, pred in flat.items()}
    drawn = {
        name: _over_seeds(np.array(mean_ccc_samples(list(pred), label, songs, repeats, seed)), seed)
        for name, pred in flat.items()
    }

    first = next(iter(flat))
    rows = []
    for name, of_seeds in points.items():
        gain: Paired | None = None
        if name != first:
            gain = Paired(float(of_seeds.mean() - points[first].mean()), *_interval(drawn[name] - drawn[first]))
        low, high = _interval(drawn[name])
        # ddof=1: these seeds are a sample, not all there are.
        deviation = float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else None
        known = dict((facts or {}).get(name, {}))
        difference, least, most = gain or (None, None, None)
        rows.append(
            Arm(name, float(of_seeds.mean()), low, high, deviation, len(of_seeds), difference, least, most, known)
        )
    return rows


def verdict(arm: Arm, what: str) -> str:
    """Say in one sentence whether `what`, which the arm has and the first arm has not, helped."""
    if arm.difference is None or arm.difference_low is None or arm.difference_high is None:
        raise DataError(f"arm {arm.name!r} is the one that others are compared with; ask for another one")
    figures = difference_text(arm.difference, arm.difference_low, arm.difference_high)
    # Only an interval that leaves out 0 is called a difference; the point itself always has a sign.
    if arm.difference_low > 0:
        return f"{what} helped: {figures} of mean CCC."
    if arm.difference_high < 0:
        return f"{what} did harm: {figures} of mean CCC."
    return f"{what} made no difference that these songs could show: {figures} of mean CCC."


def difference_text(difference: float | None, low: float | None, high: float | None) -> str:
    """Write the difference to the first arm with its interval; empty for the first arm itself, which has none."""
    return "" if difference is None else f"{difference:+.3f} [{low:+.3f}, {high:+.3f}]"


def scatter(deviation: float | None) -> str:
    """Write the deviation over seeds as a cell, an empty one where there is none."""
    return "" if deviation is None else f"±{deviation:.3f}"


def intervals(seeds: int) -> str:
    """Say in one sentence what the intervals of arms with so many seeds are over."""
    if seeds == 1:
        return "Intervals resample songs, all arms on the same ones; one seed tells nothing of the scatter over seeds."
    return "Intervals resample songs and seeds, all arms on the same ones; the scatter over seeds stands beside them."


def table(rows: Sequence[Arm]) -> str:
    """Lay the arms out as a Markdown table, their facts in the last columns."""
    # A dict keeps the order in which facts are first met; a set would shuffle the columns.
    extra = list(dict.fromkeys(key for row in rows for key in row.facts))
    head = ["arm", "CCC", "95 %", "seeds", "over seeds", f"less {rows[0].name}", *extra]
    cells = [
        [
            row.name,
            f"{row.ccc:.3f}",
            f"{row.low:.3f} .. {row.high:.3f}",
            str(row.seeds),
            scatter(row.seed_deviation),
            difference_text(row.difference, row.difference_low, row.difference_high),
            *(str(row.facts.get(key, "")) for key in extra),
        ]
        for row in rows
    ]
    return markdown_table(head, cells)


def write(out: Path, rows: Sequence[Arm], title: str, typed: str, notes: Sequence[str]) -> str:
    """Write `out`.json and `out`.md; typed: the command that made them. Returns table and notes, to be printed."""
    parts = [table(rows), *notes]
    write_result(out, title, typed, {"arms": [asdict(row) for row in rows], "notes": list(notes)}, parts)
    return "\n\n".join(parts)


def _over_seeds(samples: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return the mean over seeds drawn with replacement of [K, R] resamplings; arms of one K draw the same seeds."""
    # Seeded by K as well, and by nothing of the arm: the same seeds are drawn for every arm.
    chosen = np.random.default_rng([seed, len(samples)]).integers(len(samples), size=samples.shape)
    mean: NDArray[np.float64] = np.take_along_axis(samples, chosen, 0).mean(0)
    return mean


def _interval(samples: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)
