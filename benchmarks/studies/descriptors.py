"""Trivial descriptors of a clip: brightness, level and note density, each one number that a model should beat.

Conventions: all but the level are read from the spectrogram of `pocketmood/mel.py`, which holds dB within a fixed
range; a band at its lower end counts as silent. A clip without any sound has a centroid and a density of 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketmood.spec import MelSpec, mel_edges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pocketmood.data.clips import ClipStore

LOWEST_DB = -100.0
"""Level of silence: that of a waveform of zeros would be minus infinity, which no metric takes."""
PEAK_FRAMES = 3
"""An onset is the largest flux within so many frames to either side: 70 ms, less than a fast note lasts."""
AROUND_FRAMES = 21
"""It is compared with the mean flux of so many frames to either side: half a second, a beat or two."""
RISE_DB = 0.5
"""So far it must rise above that mean: 5 dB in a tenth of the bands. Recordings have two to five such onsets a second;
with 2 dB, as for solo instruments, a dense mix has fewer than a sparse one. Chosen among five values by the AUC of
arousal on a third of 4Q's songs: on that corpus onsets stand in a good light."""


@dataclass(frozen=True)
class Descriptors:
    """Three numbers of each of N clips, float64 [N]."""

    centroid_hz: NDArray[np.float64]
    """Spectral centroid in Hz, the mean over frames that sound: brightness."""
    level_db: NDArray[np.float64]
    """Root mean square level in dB of full scale; -3.01 for a sine of full scale."""
    onsets_per_second: NDArray[np.float64]
    """Peaks of spectral flux per second: note density."""

    def named(self) -> dict[str, NDArray[np.float64]]:
        """Return the three by the names that tables give them."""
        titles = ("spectral centroid", "level", "onsets per second")
        return dict(zip(titles, (getattr(self, part.name) for part in fields(self)), strict=True))


def describe(store: ClipStore, ids: Sequence[str]) -> Descriptors:
    """Describe clips of a store, all frames of each: about a tenth of a second per clip of 30 s."""
    import torch

    from pocketmood.mel import MelFrontEnd, to_db
    from pocketmood.training.crops import spectrogram

    front = MelFrontEnd()
    rows = []
    for id_ in ids:
        wave = store.waveform(id_)
        db = to_db(spectrogram(front, front.padded(torch.from_numpy(wave[None])))[0, 0], front.spec).numpy()  # [M, T]
        rows.append((centroid_hz(db, front.spec), level_db(wave), onset_rate(db, front.spec)))
    table = np.array(rows, np.float64).reshape(-1, 3)
    return Descriptors(*table.T)


def centroid_hz(db: NDArray[Any], spec: MelSpec) -> float:
    """Compute the spectral centroid of band levels [M, T] in dB: sum of f a(f) / sum of a(f), mean over frames, in Hz.

    a is the amplitude: the root of a band's mean power density, times the band's width. Frames without sound are left
    out.
    """
    edges = mel_edges(spec)  # [M + 2]
    centres, widths = edges[1:-1], edges[2:] - edges[:-2]
    # A clamped level is no measurement: 128 bands of it would weigh as much as a soft note.
    amplitude = np.where(db > spec.low_db, 10 ** (np.asarray(db, np.float64) / 20), 0.0) * widths[:, None]
    whole = amplitude.sum(0)
    sounding = whole > 0
    if not sounding.any():
        return 0.0
    return float(((centres @ amplitude)[sounding] / whole[sounding]).mean())


def level_db(wave: NDArray[Any]) -> float:
    """Compute the root mean square level of a waveform [S] in [-1, 1], in dB of full scale, at least LOWEST_DB."""
    power = float(np.mean(np.asarray(wave, np.float64) ** 2))
    return 10 * float(np.log10(max(power, 10 ** (LOWEST_DB / 10))))


def spectral_flux(db: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the spectral flux [T] of band levels [M, T]: how many dB bands rise from frame to frame, their mean.

    The first frame has none. Falls count as 0, or the end of a note would be an onset (Dixon 2006, half-wave rectified,
    on a logarithmic scale).
    """
    rises = np.maximum(np.diff(np.asarray(db, np.float64), axis=1), 0).mean(0)
    return np.concatenate([[0.0], rises])


def onset_rate(db: NDArray[Any], spec: MelSpec) -> float:
    """Count the onsets of band levels [M, T] per second: peaks of the flux that rise RISE_DB above its local mean."""
    flux = spectral_flux(db)
    peaks = flux >= _around(flux, PEAK_FRAMES).max(1)
    high = flux >= np.nanmean(_around(flux, AROUND_FRAMES, np.nan), 1) + RISE_DB
    # Of equal neighbours the first is the onset.
    first = np.concatenate([[True], flux[1:] != flux[:-1]])
    return float((peaks & high & first).sum() / (db.shape[1] * spec.hop / spec.sample_rate))


def _around(values: NDArray[np.float64], frames: int, outside: float = -np.inf) -> NDArray[np.float64]:
    """Lay each value beside its neighbours to either side: [T] to [T, 2 frames + 1]."""
    padded = np.pad(values, frames, constant_values=outside)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * frames + 1)
