"""Refusal of songs that a run has met already: no figure of them says anything about other music."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pocketmood.errors import DataError

if TYPE_CHECKING:
    from pocketmood.data.clips import ClipStore


def refuse_known_songs(known: ClipStore, other: ClipStore, ids: Sequence[str]) -> None:
    """Raise DataError if any of these songs of `other` sounds, sample by sample, like one of the `known`."""
    # By sound, not by id: two corpora may number their songs alike.
    sounds = {_sound_hash(row): id_ for row, id_ in zip(known.raw, known.ids, strict=True)}
    for id_ in ids:
        # Held-out songs of the run count too: on those of validation its epoch and its calibration were chosen.
        twin = sounds.get(_sound_hash(other.raw[other.index(id_)]))
        if twin is not None:
            raise DataError(f"song {id_} is song {twin} of the run itself: choose songs that it has not met")


def _sound_hash(wave: NDArray[np.int16]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(wave).tobytes()).digest()
