"""What each part of a recipe is worth: several arms, several seeds each, compared on the same test songs.

Conventions: an arm's answers are [K, N, D], K seeds, N songs, D the two axes. An arm's CCC is the mean over its seeds;
intervals resample songs and seeds, all arms of a resampling on the same songs and seeds, so that they are paired. Songs
alone would call a lucky seed an improvement; with one seed they are all there is, and with three the seeds' part is a
rough guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketmood.errors import DataError
from pocketmood.metrics import Array, Paired, mean_ccc_samples
from pocketmood.runs import write_json, write_text


@dataclass(frozen=True)
class Arm:
    """One row of an ablation."""

    name: str
    ccc: float
    """Mean CCC of valence and arousal, mean over seeds."""
    low: float
    high: float
    """95 % interval of `ccc` over songs and seeds."""
    seed_deviation: float | None
    """Standard deviation of the mean CCC over seeds; None for one seed, which tells nothing of it."""
    seeds: int
    difference: float | None
    """`ccc` less that of the first arm; None in the first arm."""
    difference_low: float | None
    difference_high: float | None
    facts: dict[str, Any]
    """What else is known: steps, clips, seconds."""


def compare(
    answers: Mapping[str, Array],
    label: Array,
    songs: Sequence[str] | None = None,
    facts: Mapping[str, dict[str, Any]] | None = None,
    repeats: int = 1000,
    seed: int = 0,
) -> list[Arm]:
    """Compare arms (name -> [K, N, D]) on ratings [N, D]; the first arm is what the others are measured against."""
    if not answers:
        raise DataError("an ablation needs at least one arm")
    flat = {name: np.asarray(pred, np.float64) for name, pred in answers.items()}
    for name, pred in flat.items():
        if pred.ndim != 3 or pred.shape[1:] != label.shape:
            raise DataError(f"arm {name!r}: answers {pred.shape} for ratings {label.shape}; want [seeds, songs, 2]")
    whole = {name: np.array([_point(one, label) for one in pred]) for name, pred in flat.items()}
    drawn = {
        name: _over_seeds(np.array(mean_ccc_samples(list(pred), label, songs, repeats, seed)), seed)
        for name, pred in flat.items()
    }
    first = next(iter(flat))
    rows = []
    for name, points in whole.items():
        gain: Paired | None = None
        if name != first:
            gain = Paired(float(points.mean() - whole[first].mean()), *_interval(drawn[name] - drawn[first]))
        low, high = _interval(drawn[name])
        deviation = float(points.std(ddof=1)) if len(points) > 1 else None
        known = dict((facts or {}).get(name, {}))
        difference, least, most = gain or (None, None, None)
        rows.append(Arm(name, float(points.mean()), low, high, deviation, len(points), difference, least, most, known))
    return rows


def verdict(arm: Arm, what: str) -> str:
    """Say in one sentence whether `what`, which the arm has and the first arm has not, helped."""
    if arm.difference is None or arm.difference_low is None or arm.difference_high is None:
        raise DataError(f"arm {arm.name!r} is the one that others are compared with; ask for another one")
    figures = f"{arm.difference:+.3f} [{arm.difference_low:+.3f}, {arm.difference_high:+.3f}]"
    if arm.difference_low > 0:
        return f"{what} helped: {figures} of mean CCC."
    if arm.difference_high < 0:
        return f"{what} did harm: {figures} of mean CCC."
    return f"{what} made no difference that these songs could show: {figures} of mean CCC."


def scatter(deviation: float | None) -> str:
    """Write the deviation over seeds as a cell, an empty one where there is none."""
    return "" if deviation is None else f"±{deviation:.3f}"


def intervals(seeds: int) -> str:
    """Say in one sentence what the intervals of arms with so many seeds are over."""
    if seeds == 1:
        return "Intervals resample songs, all arms on the same ones; one seed tells nothing of the scatter over seeds."
    return "Intervals resample songs and seeds, all arms on the same ones; the scatter over seeds stands beside them."


def markdown(rows: Sequence[Arm], title: str, command: str, notes: Sequence[str]) -> str:
    """Lay the arms out as a Markdown table under a title, with the command that made it and what it says."""
    extra = list(dict.fromkeys(key for row in rows for key in row.facts))
    head = ["arm", "CCC", "95 %", "seeds", "over seeds", f"less {rows[0].name}", *extra]
    lines = [f"# {title}", "", f"`{command}`", "", f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for row in rows:
        gain = "" if row.difference is None else (
            f"{row.difference:+.3f} [{row.difference_low:+.3f}, {row.difference_high:+.3f}]"
        )  # fmt: skip
        cells = [row.name, f"{row.ccc:.3f}", f"{row.low:.3f} .. {row.high:.3f}", str(row.seeds),
                 scatter(row.seed_deviation), gain, *(str(row.facts.get(key, "")) for key in extra)]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", "\n\n".join(notes), ""])


def write(path: Path, rows: Sequence[Arm], title: str, command: str, notes: Sequence[str]) -> str:
    """Write `path`.json and `path`.md; return the Markdown."""
    text = markdown(rows, title, command, notes)
    arms = [asdict(row) for row in rows]
    write_json(path.with_name(path.name + ".json"), {"command": command, "arms": arms, "notes": list(notes)})
    write_text(path.with_name(path.name + ".md"), text)
    return text


def _point(pred: Array, label: Array) -> float:
    from pocketmood.metrics import score

    return score(pred, label)["ccc_mean"]


def _over_seeds(samples: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return the mean over seeds drawn with replacement of [K, R] resamplings; arms of one K draw the same seeds."""
    chosen = np.random.default_rng([seed, len(samples)]).integers(len(samples), size=samples.shape)
    mean: NDArray[np.float64] = np.take_along_axis(samples, chosen, 0).mean(0)
    return mean


def _interval(samples: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)
