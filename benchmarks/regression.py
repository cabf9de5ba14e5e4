"""Regression test of two runs of the benchmarks: what became better or worse beyond noise.

CCC: the mean CCC now less that of then, over the same resampled songs; a change counts if its 95 % interval leaves out
0 and it is at least .001. Latency: the processor time of each call, divided by the reference kernel's around it (see
`benchmarks.cpu_time`), so that neither a busy machine nor another one counts; a change of the median of these ratios
counts if its 99 % interval leaves out 1 and it is at least 10 %, more than two runs of one program should differ by
(`python -m benchmarks.studies.regression_false_alarms` measures how often they do). Sizes have no noise: every byte
counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import FAILED, INVALID, LEFT_OUT, PREDICTIONS, Record, read_results
from pocketmood.errors import RunError
from pocketmood.metrics import Paired, paired_difference
from pocketmood.predictions import Predictions, read_predictions

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "no change", "not comparable"
LEAST_CCC = 0.001
LEAST_RATIO = 1.1
"""How much slower a program must have become to be called slower."""
LATENCY_TAILS = (0.5, 99.5)
"""Percentiles of the bootstrap between which a change of latency lies with 99 %."""
BLOCK = 5
"""Rounds that are drawn together: a busy neighbour stays for longer than one round."""
DRAWS = 4000


class Change(NamedTuple):
    """One figure of one row, then and now."""

    row: str
    what: str
    verdict: str
    sentence: str

    def __str__(self) -> str:
        """Write it as a line."""
        return f"{self.row}: {self.what} {self.verdict}: {self.sentence}"


def compare(then: Path, now: Path, rows: Sequence[str], seed: int = 0) -> list[Change]:
    """Compare these rows of two `results.json`, each with the folder `predictions` beside it."""
    old, new = ({record.name: record for record in read_results(path)} for path in (then, now))
    changes = []
    for name in rows:
        if name not in old or name not in new:
            where = "the earlier run" if name not in old else "this run"
            # A row that is new cannot have become worse; one that is gone has.
            changes.append(Change(name, "row", UNKNOWN if name not in old else WORSE, f"missing from {where}"))
            continue
        pair = old[name], new[name]
        changes += [_status(*pair), _ccc(then, now, *pair, seed), _latency(*pair, seed), _size(*pair)]
    return changes


def latency_change(then: Sequence[float], now: Sequence[float], seed: int = 0) -> Paired:
    """Return how many times longer a row takes, with the 99 % interval; both: ratios to the reference, by round.

    Medians over rounds; the interval draws blocks of neighbouring rounds of each run with replacement.
    """
    rng = np.random.default_rng(seed)
    # The two runs are resampled apart: rounds of different runs have nothing in common, songs would have.
    old, new = np.asarray(then, float), np.asarray(now, float)
    samples = _medians(new, rng) / _medians(old, rng)
    low, high = np.percentile(samples, LATENCY_TAILS)
    return Paired(float(np.median(new) / np.median(old)), float(low), float(high))


def _medians(values: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Return medians [DRAWS] of rounds drawn in blocks that go around the end."""
    count = len(values)
    block = min(BLOCK, count)
    # Blocks keep what neighbouring rounds share; drawn one by one they would look more independent than they are.
    starts = rng.integers(0, count, (DRAWS, -(-count // block)))
    places = (starts[:, :, None] + np.arange(block)) % count
    medians: NDArray[Any] = np.median(values[places.reshape(DRAWS, -1)[:, :count]], axis=1)
    return medians


def judge_latency(change: Paired) -> str:
    """Say whether a change of latency is one."""
    # Both: with many rounds even a change that nobody would notice is sure, and with few a large one may be chance.
    if change.difference >= LEAST_RATIO and change.low > 1:
        return WORSE
    return BETTER if change.difference <= 1 / LEAST_RATIO and change.high < 1 else SAME


def judge_ccc(change: Paired) -> str:
    """Say whether a change of the mean CCC is one."""
    if abs(change.difference) < LEAST_CCC or change.low <= 0 <= change.high:
        return SAME
    return BETTER if change.difference > 0 else WORSE


def _status(old: Record, new: Record) -> Change:
    broken = [record.status in (FAILED, INVALID, LEFT_OUT) for record in (old, new)]
    verdict = SAME if broken[0] == broken[1] else WORSE if broken[1] else BETTER
    return Change(new.name, "status", verdict, f"{old.status}, now {new.status}")


def _ccc(then: Path, now: Path, old: Record, new: Record, seed: int) -> Change:
    if old.ccc_mean is None or new.ccc_mean is None:
        return Change(new.name, "CCC", *_one_sided(old.ccc_mean is None, new.ccc_mean is None))
    before, after = (_predictions(path, new.name) for path in (then, now))
    # Another split or another rating makes another question: neither better nor worse.
    if before.ids != after.ids or not np.array_equal(before.labels, after.labels):
        return Change(new.name, "CCC", UNKNOWN, "the test songs or their ratings are others")
    change = paired_difference(after.emotion, before.emotion, after.labels, seed=seed)
    sentence = f"{old.ccc_mean:.3f}, now {new.ccc_mean:.3f} ({_interval(change, '+.4f')} over the same songs)"
    return Change(new.name, "CCC", judge_ccc(change), sentence)


def _latency(old: Record, new: Record, seed: int) -> Change:
    if not old.cpu_time_ratios or not new.cpu_time_ratios:
        return Change(new.name, "latency", *_one_sided(not old.cpu_time_ratios, not new.cpu_time_ratios))
    change = latency_change(old.cpu_time_ratios, new.cpu_time_ratios, seed)
    sentence = f"{old.cpu_time_ratio:.2f} times the reference kernel's processor time, now {new.cpu_time_ratio:.2f}"
    return Change(new.name, "latency", judge_latency(change), f"{sentence} (x {_interval(change, '.3f')})")


def _size(old: Record, new: Record) -> Change:
    if old.size_bytes is None or new.size_bytes is None:
        return Change(new.name, "size", *_one_sided(old.size_bytes is None, new.size_bytes is None))
    grown = new.size_bytes - old.size_bytes
    # No threshold, because sizes have no noise.
    verdict = SAME if grown == 0 else WORSE if grown > 0 else BETTER
    return Change(new.name, "size", verdict, f"{old.size_bytes} bytes, now {new.size_bytes} ({grown:+d})")


def _one_sided(no_old: bool, no_new: bool) -> tuple[str, str]:
    """Judge a figure that one of the runs does not have: losing it is no better than a worse one."""
    if no_old:
        return UNKNOWN, "never measured" if no_new else "not measured in the earlier run"
    return WORSE, "was measured, and is no more"


def _interval(change: Paired, form: str) -> str:
    return f"{change.difference:{form}} [{change.low:{form}}, {change.high:{form}}]"


def _predictions(results: Path, row: str) -> Predictions:
    path = results.parent / PREDICTIONS / f"{row}.csv"
    if not path.is_file():
        raise RunError(
            f"{path}: not found; keep the folder `{PREDICTIONS}` beside results.json to compare CCC song by song"
        )
    return read_predictions(path)
