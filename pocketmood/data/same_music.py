"""Finds music that is there twice: the same file in two packages, or the same recording as OGG and as MP3.

Two recordings are the same where their lengths differ by no more than `LENGTH_S` and the loudness of their middle half
minute, four values a second in dB, correlates by `ALIKE` or more: encoders change the samples, not the course of
loudness. Music that merely has another tempo or another mix stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketmood import audio
from pocketmood.data.recording_packages import RECORD_FILE
from pocketmood.errors import AudioError
from pocketmood.runs import write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pocketmood.data.recording_packages import PackageRecord, Piece

LENGTH_S = 0.3
"""Encoders add up to a tenth of a second at either end."""
ALIKE = 0.98
_MIDDLE_S, _PER_SECOND, _SILENCE_DB = 30.0, 4, -80.0


def leave_out(out: Path, records: Sequence[PackageRecord]) -> list[PackageRecord]:
    """Remove pieces that stand for the same music as an earlier one; return the records, rewritten where they change.

    Of two pieces that of the package that comes first stays; decoded are only pieces of nearly the same length.
    """
    kept: list[tuple[Path, Piece]] = []
    courses: dict[Path, NDArray[np.float64] | None] = {}
    changed = []
    for record in records:
        pieces = []
        for piece in record.pieces:
            path = out / record.package / piece.file
            judged = piece if piece.same_as else replace(piece, same_as=_earlier(path, piece, kept, courses))
            pieces.append(judged)
            if not judged.same_as:
                kept.append((path, judged))
        # The record first: a kill in between leaves a file that nobody counts, and the next call removes it.
        new = replace(record, pieces=tuple(pieces))
        if new != record:
            write_json(out / record.package / RECORD_FILE, asdict(new))
        for piece in pieces:
            if piece.same_as:
                (out / record.package / piece.file).unlink(missing_ok=True)
        changed.append(new)
    return changed


def _earlier(
    path: Path, piece: Piece, kept: Sequence[tuple[Path, Piece]], courses: dict[Path, NDArray[np.float64] | None]
) -> str:
    """Return the name of the kept piece that is the same music; "" for none."""
    for other_path, other in kept:
        if piece.sha256 == other.sha256:
            return other.file
        if abs(piece.seconds - other.seconds) > LENGTH_S:
            continue
        for file in (path, other_path):
            if file not in courses:
                courses[file] = course(file)
        if alike(courses[path], courses[other_path]):
            return other.file
    return ""


def course(path: Path) -> NDArray[np.float64] | None:
    """Return the loudness [T] of a file's middle half minute in dB, four values a second; None where it is damaged."""
    try:
        wave, rate = audio.decode(path, _MIDDLE_S)
    except AudioError:
        return None
    step = rate // _PER_SECOND
    power = np.square(wave[: len(wave) // step * step].astype(np.float64)).reshape(-1, step).mean(1)
    level: NDArray[np.float64] = 10 * np.log10(np.maximum(power, 10 ** (_SILENCE_DB / 10)))
    return level


def alike(a: NDArray[np.float64] | None, b: NDArray[np.float64] | None) -> bool:
    """Tell whether two courses of loudness are those of one recording."""
    if a is None or b is None:
        return False
    # Two decoders may differ by one value at the end.
    length = min(len(a), len(b))
    a, b = a[:length] - a[:length].mean(), b[:length] - b[:length].mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return size > 0 and float(a @ b) / size >= ALIKE
