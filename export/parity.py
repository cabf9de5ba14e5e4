"""How far each artefact lies from PyTorch, as records, and the gates that decide whether a bundle may ship.

Conventions: answers are [N, 4]: valence, arousal, then the interval68 of each, in units of [-1, 1]. The signal-to-noise
ratio is 10 log10(sum wanted^2 / sum error^2) in dB. `ccc_drop` is the mean CCC of fp32 PyTorch less that of the
artefact, on `ccc_songs` songs, with the interval over the same resampled songs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketmood.metrics import paired_difference, score

Answers = NDArray[np.float32]
Record = dict[str, Any]
PASSED, FAILED = "passed", "failed"
OUTPUTS = {"emotion": slice(0, 2), "interval68": slice(2, 4)}
DEVICE_LIMIT = 1e-3
"""Largest difference between an fp32 program on a device and the golden pairs: other kernels sum in another order."""
MOST_DB = 200.0
"""Reported for equal answers, whose ratio is infinite: JSON has no infinity."""


def compare(answers: Answers, wanted: Answers) -> Record:
    """Return the largest error over both outputs, and largest, mean, signed error and SQNR of each."""
    error = answers.astype(np.float64) - wanted
    record: Record = {"clips": len(answers), "max_error": float(np.abs(error).max())}
    for name, part in OUTPUTS.items():
        record |= {
            f"{name}_max_error": float(np.abs(error[:, part]).max()),
            f"{name}_mean_error": float(np.abs(error[:, part]).mean()),
            f"{name}_signed_error": float(error[:, part].mean()),
            f"{name}_sqnr_db": sqnr_db(answers[:, part], wanted[:, part]),
        }
    return record


def sqnr_db(answers: Answers, wanted: Answers) -> float:
    """Return the signal-to-quantisation-noise ratio in dB, at most 200."""
    noise = float(((answers.astype(np.float64) - wanted) ** 2).sum())
    signal = float((wanted.astype(np.float64) ** 2).sum())
    if math.isnan(noise):
        return -MOST_DB
    if noise == 0:
        return MOST_DB
    return float(np.clip(10 * math.log10(max(signal, 1e-300) / noise), -MOST_DB, MOST_DB))


def ccc_change(answers: Answers, reference: Answers, labels: NDArray[Any], songs: Sequence[str]) -> Record:
    """Return the mean CCC of an artefact on labelled songs and what it lost against the reference, with interval."""
    if not np.isfinite(answers).all():
        return {"ccc_mean": None, "ccc_drop": None, "ccc_songs": len(songs)}
    emotion = OUTPUTS["emotion"]
    drop = paired_difference(reference[:, emotion], answers[:, emotion], labels, songs)
    return {
        "ccc_mean": score(answers[:, emotion], labels)["ccc_mean"],
        "ccc_drop": drop.difference,
        "ccc_drop_low": drop.low,
        "ccc_drop_high": drop.high,
        "ccc_songs": len(songs),
    }


def judge(record: Record, limit: float, ccc_drop_limit: float | None, fp32_limit: float | None = None) -> Record:
    """Add limits, verdict and reason: NaN passes no gate.

    fp32_limit: for an artefact that was compared with something else, how far it may lie from fp32 in PyTorch.
    `tolerance` is for whoever runs the program on a device, against the golden pairs, which are fp32 PyTorch's: what
    kernels may differ by, and what the precision costs.
    """
    reasons = []
    if not record["max_error"] <= limit:
        reasons.append(f"largest error {record['max_error']:.2g} is beyond the limit of {limit:.0e}")
    if fp32_limit is not None and not record["fp32_max_error"] <= fp32_limit:
        reasons.append(f"largest error to fp32 {record['fp32_max_error']:.2g} is beyond the limit of {fp32_limit:.0e}")
    drop = record.get("ccc_drop")
    if ccc_drop_limit is not None and "ccc_songs" in record and not (drop is not None and drop <= ccc_drop_limit):
        lost = "cannot be computed" if drop is None else f"of {drop:.3f} is beyond the limit of {ccc_drop_limit}"
        reasons.append(f"the CCC drop {lost}")
    verdict = FAILED if reasons else PASSED
    notes = [*reasons, *([record["reason"]] if record.get("reason") else [])]
    return record | {
        "limit": limit,
        "tolerance": max(DEVICE_LIMIT, limit) + record.get("fp32_max_error", 0.0),
        "fp32_limit": fp32_limit,
        "ccc_drop_limit": ccc_drop_limit,
        "verdict": verdict,
        "reason": "; ".join(notes),
    }


def not_written(artefact: str, reason: str) -> Record:
    """Return the record of an artefact that could not be made or read back."""
    return {"artefact": artefact, "verdict": FAILED, "reason": reason}


def failures(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """List the artefacts whose gate is red, each with its reason."""
    return [f"{record['artefact']}: {record['reason']}" for record in records if record["verdict"] != PASSED]


def worst(records: Sequence[Mapping[str, Any]]) -> str | None:
    """Name the red artefact whose answers are furthest beyond their limit; None where no red one answered."""
    red = [record for record in records if record["verdict"] != PASSED and "max_error" in record]
    beyond = {record["artefact"]: record["max_error"] / record["limit"] for record in red}
    return max(beyond, key=lambda name: math.inf if math.isnan(beyond[name]) else beyond[name], default=None)


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """Lay the records out for people."""
    heads = ("artefact", "MB", "max error", "limit", "from fp32", "SQNR dB", "CCC drop [95 %]", "subgraphs",
             "left out", "verdict")  # fmt: skip
    rows = [heads, *(_row(record) for record in records)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    reasons = [f"{record['artefact']}: {record['reason']}" for record in records if record.get("reason")]
    return "\n".join([*lines, *reasons])


def _row(record: Mapping[str, Any]) -> tuple[str, ...]:
    drop = "-"
    if record.get("ccc_drop") is not None:
        drop = f"{record['ccc_drop']:+.4f} [{record['ccc_drop_low']:+.4f}, {record['ccc_drop_high']:+.4f}]"
    return (
        str(record["artefact"]),
        _cell(record.get("size_bytes"), lambda size: f"{size / 1e6:.2f}"),
        _cell(record.get("max_error"), lambda error: f"{error:.1e}"),
        _cell(record.get("limit"), lambda limit: f"{limit:.0e}"),
        _cell(record.get("fp32_max_error", record.get("max_error")), lambda error: f"{error:.1e}"),
        _cell(record.get("emotion_sqnr_db"), lambda ratio: f"{ratio:.0f}"),
        drop,
        _cell(record.get("delegated_subgraphs"), str),
        _cell(record.get("undelegated_ops"), str),
        str(record["verdict"]),
    )


def _cell(value: Any, write: Any) -> str:
    return "-" if value is None else str(write(value))
