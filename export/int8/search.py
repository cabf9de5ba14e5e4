"""Bisection over a fixed order, then retries, for the layers that stay float: as few as int8's limits allow.

Three limits bind a choice. The mean CCC on validation clips may drop by no more than one of them; no prediction may
move further than a gate allows; and the program must predict what its own graph does. The last is hard, because int8 is
not continuous: a value that two machines compute to a different last bit is rounded to a different int8 step once in
ten thousand times, the next layers round that again, and what began as 1e-6 in a spectrogram ends as a difference of
the size of the rounding noise itself. Measured on the demo's student: the graph against itself, given spectrograms that
differ by 1e-6, drifts by 6.8e-3 with every layer in int8 and by 1.05e-3 with the linear layers alone; the programs lay
7.6e-3 and 1.07e-3 from their graphs. So no other way to requantise removes the drift, less noise does, and the drift
is estimated without lowering anything.

How far the furthest clip drifts is chance: 2.9e-3 to 3.7e-3 among 64 clips for one choice of mobilevit_s and three
seeds, and its programs lay 3.3e-3 to 4.2e-3 from their graphs. The standard deviation is not: 1.13e-3 to 1.21e-3 for
those seeds, 1.05e-3 and 1.10e-3 for spectrograms that differ by 1e-5 and 3e-7. So the furthest is estimated from it.

Groups leave int8 in a fixed order: most noise power per gain first. The gain is what int8 saves, in bytes of weights or
in multiplications; those with the highest gain are tried once more at the end. It is not timed: the machine that
exports is not the phone, and the same student must give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.config import Gain
from export.int8.sensitivity import Roundable, Row
from export.parity import OUTPUTS, Outputs
from pocketmood.errors import ExportError
from pocketmood.metrics import score

LAST_BITS = 1e-6
"""How far spectrograms of two runtimes lie apart, as a standard deviation."""
MAX_SIGMA = 4.5
"""Standard deviations that the furthest of a gate's clips drifts: 1.8 to 3.6 in six programs, 4.7 in one.

With 5 instead a mobilevit_s is 0.4 MB larger; with 4, that one program missed its gate."""
RETRIES = 3
"""Groups with the highest gain that are tried in int8 again, after as few as possible have left in order."""
MARGIN = 0.5
"""Share of the limit to fp32 that a choice may use: other clips are judged than those searched on."""


class Cost(NamedTuple):
    """What a choice costs, or may cost."""

    ccc_drop: float
    """Of the mean CCC on the validation clips."""
    drift: float
    """Estimate of the largest difference between two runtimes, whose spectrograms differ in their last bits."""
    max_error: float
    """Largest difference from float, in both outputs."""


class Choice(NamedTuple):
    """Which groups stay float, and what that costs."""

    left: dict[str, str]
    """Group -> why it stays float."""
    cost: Cost
    """What the others cost together."""
    trials: int
    """Choices that were tried."""


def search(
    network: Roundable,
    rows: Sequence[Row],
    mels: Tensor,
    labels: NDArray[Any],
    limits: Cost,
    prefer: Gain,
) -> Choice:
    """Leave as few groups in float as the limits allow; mels: validation spectrograms, labels: their ratings [N, 2].

    ExportError if not even one group may be int8.
    """
    # The heads are no candidates: they are in the table to show what they would cost, and stay float always.
    leaving = order([row for row in rows if network.groups[row.group].may_ship], prefer)
    plain = network.predict(mels, ())
    costs: dict[tuple[Row, ...], Cost] = {}

    def is_good(left: Sequence[Row]) -> bool:
        kept = [row.group for row in leaving if row not in left]
        # Kept, because halving and retrying meet the same choice again, and each costs a run over all clips.
        costs[*left] = found = _cost(network, kept, plain, mels, labels)
        return all(value <= limit for value, limit in zip(found, limits, strict=True))

    # At least one group has to stay in int8, or the program is fp32 under another name.
    count = fewest(lambda count: is_good(leaving[:count]), len(leaving) - 1)
    if count is None:
        last = costs[*leaving[:-1]]
        raise ExportError(
            f"int8 costs too much everywhere: {leaving[-1].group} alone cost {_in_words(last)}, the limits are "
            f"{_in_words(limits)}. Export with --precision fp32"
        )

    # The order looks at each group alone, so some may have left for nothing: those that save most are tried again. Not
    # the last one, without which the choice is known to be bad.
    floats = leaving[:count]
    for row in sorted(floats[:-1], key=lambda row: _gain(row, prefer), reverse=True)[:RETRIES]:
        fewer = [other for other in floats if other != row]
        floats = fewer if is_good(fewer) else floats

    left = {row.group: _why(row, prefer) for row in floats}
    left |= {
        row.group: f"always float: alone it costs {row.emotion_max_error:.1e} and saves {row.bytes_saved / 1e3:.1f} kB"
        for row in rows
        if not network.groups[row.group].may_ship
    }
    return Choice(left, costs[*floats], len(costs))


def order(rows: Sequence[Row], prefer: Gain) -> list[Row]:
    """Sort groups into the order in which they leave int8: most noise power per byte or multiplication saved first."""
    # The name settles ties, so that the order does not depend on the graph's.
    return sorted(rows, key=lambda row: (-(row.emotion_rms_error**2) / max(_gain(row, prefer), 1), row.group))


def fewest(is_good: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest count from 0 to `most` that is good, by halving; None if `most` itself is not.

    What is good is taken to stay good when the count grows; the count returned was itself found good.
    """
    low, high = -1, most + 1  # low is not good, high is, or lies beyond
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_good(middle) else (middle, high)
    return high if high <= most else None


def drift(network: Roundable, groups: Sequence[str], mels: Tensor, predictions: Outputs) -> float:
    """Estimate the largest change of a prediction when all values of a spectrogram change in their last bits.

    It is `MAX_SIGMA` standard deviations of the output that changes most; predictions: of the spectrograms as they are.
    """
    # One fixed draw: the same student must give the same groups, and with them the same bytes.
    noise = torch.randn(mels.shape, generator=torch.Generator().manual_seed(0))
    change = network.predict(mels + LAST_BITS * noise, groups).astype(np.float64) - predictions
    return MAX_SIGMA * float(np.sqrt((change**2).mean(0)).max())


def _cost(network: Roundable, groups: Sequence[str], plain: Outputs, mels: Tensor, labels: NDArray[Any]) -> Cost:
    found, emotion = network.predict(mels, groups), OUTPUTS["emotion"]
    drop = score(plain[:, emotion], labels)["ccc_mean"] - score(found[:, emotion], labels)["ccc_mean"]
    return Cost(drop, drift(network, groups, mels, found), float(np.abs(found - plain).max()))


def limits_of(ccc_drop: float, program_limit: float, fp32_limit: float) -> Cost:
    """Return the limits of a search: those of the gates, to fp32 less a margin."""
    return Cost(ccc_drop, program_limit, MARGIN * fp32_limit)


def _in_words(cost: Cost) -> str:
    return f"{cost.ccc_drop:.3f} of CCC, drift {cost.drift:.1e}, error {cost.max_error:.1e}"


def _gain(row: Row, prefer: Gain) -> int:
    return row.bytes_saved if prefer == "size" else row.multiply_adds


def _why(row: Row, prefer: Gain) -> str:
    saved = f"{row.bytes_saved / 1e3:.1f} kB" if prefer == "size" else f"{row.multiply_adds / 1e6:.1f} Mmac"
    return f"alone it costs {row.emotion_max_error:.1e} of emotion ({row.emotion_sqnr_db:.0f} dB) and saves {saved}"
