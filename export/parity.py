"""Parity with PyTorch: how far each artefact lies from it, and the gates that decide whether a bundle may ship.

Conventions: predictions are [N, 4]: valence, arousal, then the interval68 of each, in units of [-1, 1]. The
signal-to-quantisation-noise ratio is 10 log10(sum wanted^2 / sum error^2) in dB. `ccc_drop` is the mean CCC of fp32
PyTorch less that of the artefact, on `ccc_songs` songs, with the interval over the same resampled songs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from export.parity_record import FAILED, PASSED, UNTOLD, CccChange, Distance, DistanceToFp32, Gates, ParityRecord
from pocketmood.metrics import paired_difference, score

Outputs = NDArray[np.float32]
"""Predictions of several clips [N, 4]: both outputs side by side."""
OUTPUTS = {"emotion": slice(0, 2), "interval68": slice(2, 4)}
LEAST_TOLERANCE = 1e-3
"""What an fp32 program may differ by on another machine: its kernels sum in another order."""
MOST_DB = 200.0
"""Reported for equal predictions, whose ratio is infinite: JSON has no infinity."""
Value = TypeVar("Value")


def compare(found: Outputs, wanted: Outputs) -> Distance:
    """Measure how far predictions lie from wanted ones: largest, mean and signed difference, and SQNR."""
    error = found.astype(np.float64) - wanted  # float64: the mean of 1e-7 differences would drown in float32 sums
    emotion, interval68 = OUTPUTS["emotion"], OUTPUTS["interval68"]
    return Distance(
        clips=len(found),
        max_error=float(np.abs(error).max()),
        emotion_max_error=float(np.abs(error[:, emotion]).max()),
        emotion_mean_error=float(np.abs(error[:, emotion]).mean()),
        emotion_signed_error=float(error[:, emotion].mean()),
        emotion_sqnr_db=sqnr_db(found[:, emotion], wanted[:, emotion]),
        interval68_max_error=float(np.abs(error[:, interval68]).max()),
        interval68_mean_error=float(np.abs(error[:, interval68]).mean()),
        interval68_signed_error=float(error[:, interval68].mean()),
        interval68_sqnr_db=sqnr_db(found[:, interval68], wanted[:, interval68]),
    )


def compare_to_fp32(found: Outputs, wanted: Outputs) -> DistanceToFp32:
    """Measure the same distance from fp32 in PyTorch, for an artefact whose gate compares it with something else."""
    distance = compare(found, wanted)
    return DistanceToFp32(
        distance.max_error, distance.emotion_mean_error, distance.emotion_signed_error, distance.emotion_sqnr_db
    )


def sqnr_db(found: Outputs, wanted: Outputs) -> float:
    """Return the signal-to-quantisation-noise ratio in dB, from -200 to 200."""
    noise = float(((found.astype(np.float64) - wanted) ** 2).sum())
    signal = float((wanted.astype(np.float64) ** 2).sum())
    if math.isnan(noise):
        return -MOST_DB
    if noise == 0:
        return MOST_DB
    return float(np.clip(10 * math.log10(max(signal, 1e-300) / noise), -MOST_DB, MOST_DB))


def ccc_change(found: Outputs, reference: Outputs, labels: NDArray[Any], songs: Sequence[str]) -> CccChange:
    """Score an artefact on labelled songs: its mean CCC and what it lost against the reference, with interval."""
    if not np.isfinite(found).all():
        return CccChange(len(songs))
    emotion = OUTPUTS["emotion"]
    # Paired: both are scored on the same resampled songs, or the songs' own scatter would hide so small a loss.
    drop = paired_difference(reference[:, emotion], found[:, emotion], labels, songs)
    mean = score(found[:, emotion], labels)["ccc_mean"]
    return CccChange(len(songs), mean, drop.difference, drop.low, drop.high)


def tolerance(limit: float, to_fp32: DistanceToFp32 | None) -> float:
    """Return what a program may differ by on a device, on any output of the golden pairs; written here, read elsewhere.

    The golden pairs are fp32 PyTorch's, so it is the sum of what kernels may differ by (at least 1e-3, and the limit
    that the program has here) and of what its precision costs.
    """
    return max(LEAST_TOLERANCE, limit) + (0.0 if to_fp32 is None else to_fp32.fp32_max_error)


def judge(
    record: ParityRecord, limit: float, ccc_drop_limit: float | None, fp32_limit: float | None = None
) -> ParityRecord:
    """Add limits, tolerance, verdict and reason to what was measured: NaN passes no gate.

    fp32_limit: for an artefact that was compared with something else, how far it may lie from fp32 in PyTorch.
    """
    reasons, open_questions = [], []
    # Every test is "not within" rather than "beyond", which a NaN would pass.
    error = math.nan if record.distance is None else record.distance.max_error
    if not error <= limit:
        reasons.append(f"largest error {error:.2g} is beyond the limit of {limit:.0e}")

    if fp32_limit is not None:
        to_fp32 = math.nan if record.to_fp32 is None else record.to_fp32.fp32_max_error
        if not to_fp32 <= fp32_limit:
            reasons.append(f"largest error to fp32 {to_fp32:.2g} is beyond the limit of {fp32_limit:.0e}")

    ccc_verdict = None
    if ccc_drop_limit is not None and record.ccc is not None:
        ccc_verdict = judge_drop(record.ccc, ccc_drop_limit)
        lost = f"the CCC drop of {drop_in_words(record.ccc, 'NaN')} on {record.ccc.ccc_songs} songs"
        if ccc_verdict == FAILED:
            reasons.append(f"{lost} is beyond the limit of {ccc_drop_limit}")
        elif ccc_verdict == UNTOLD:
            open_questions.append(f"{lost} cannot be told from the limit of {ccc_drop_limit}")

    notes = [*reasons, *open_questions, *([record.facts.caveat] if record.facts.caveat else [])]
    return replace(
        record,
        verdict=FAILED if reasons else PASSED,
        reason="; ".join(notes),
        ccc_verdict=ccc_verdict,
        gates=Gates(limit, tolerance(limit, record.to_fp32), fp32_limit, ccc_drop_limit),
        facts=replace(record.facts, caveat=None),
    )


def judge_drop(ccc: CccChange, limit: float) -> str:
    """Judge a CCC drop by its 95 % interval: "passed" within the limit, "failed" beyond it, else "cannot be told".

    A drop that is no number has failed. Few songs give a wide interval, where one figure is red or green by chance.
    """
    low, high = ccc.ccc_drop_low, ccc.ccc_drop_high
    if low is None or high is None or not math.isfinite(low + high) or low > limit:
        return FAILED
    # One song drawn again and again has the CCC 0 and an interval without width, whatever a program predicts.
    return PASSED if high <= limit and ccc.ccc_songs > 1 else UNTOLD


def not_written(artefact: str, reason: str) -> ParityRecord:
    """Return the record of an artefact that could not be made or read back."""
    return ParityRecord(artefact, FAILED, reason)


def failures(records: Sequence[ParityRecord]) -> dict[str, str]:
    """Map each artefact that may not ship to its reason."""
    return {record.artefact: record.why_not for record in records if not record.passed}


def open_questions(records: Sequence[ParityRecord]) -> dict[str, str]:
    """Map each artefact whose CCC gate cannot tell to its reason."""
    return {record.artefact: record.reason for record in records if record.passed and record.ccc_verdict == UNTOLD}


def worst(records: Sequence[ParityRecord]) -> str | None:
    """Name the red artefact that lies furthest beyond its limit; None where no red one could be run."""
    beyond = {
        record.artefact: record.distance.max_error / record.gates.limit
        for record in records
        if not record.passed and record.distance is not None and record.gates is not None
    }
    return max(beyond, key=lambda name: math.inf if math.isnan(beyond[name]) else beyond[name], default=None)


def table(records: Sequence[ParityRecord]) -> str:
    """Lay the records out for people."""
    heads = ("artefact", "MB", "max error", "limit", "from fp32", "SQNR dB", "CCC drop [95 %]", "subgraphs",
             "left out", "verdict")  # fmt: skip
    reasons = [f"{record.artefact}: {record.reason}" for record in records if record.reason]
    return "\n".join([columns([heads, *map(_row, records)]), *reasons])


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows of cells, each column as wide as its widest cell."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def drop_in_words(ccc: CccChange | None, unknown: str) -> str:
    """Write a CCC drop with its interval; `unknown` where there is none."""
    if ccc is None or ccc.ccc_drop is None:
        return unknown
    return f"{ccc.ccc_drop:+.4f} [{ccc.ccc_drop_low:+.4f}, {ccc.ccc_drop_high:+.4f}]"


def _row(record: ParityRecord) -> tuple[str, ...]:
    distance, gates, facts = record.distance, record.gates, record.facts
    return (
        record.artefact,
        _cell(facts.size_bytes, lambda size: f"{size / 1e6:.2f}"),
        _cell(distance and distance.max_error, lambda error: f"{error:.1e}"),
        _cell(gates and gates.limit, lambda limit: f"{limit:.0e}"),
        _cell(record.fp32_max_error, lambda error: f"{error:.1e}"),
        _cell(distance and distance.emotion_sqnr_db, lambda ratio: f"{ratio:.0f}"),
        drop_in_words(record.ccc, "-"),
        _cell(facts.delegated_subgraphs, str),
        _cell(facts.undelegated_ops, str),
        record.verdict_in_words,
    )


def _cell(value: Value | None, write: Callable[[Value], str]) -> str:
    return "-" if value is None else write(value)
