"""Records of a GAN that nobody trained."""

from __future__ import annotations

from teacher.gan.config import GanConfig
from teacher.gan.record import GanRecord


def gan_record(spec_hash: str) -> GanRecord:
    """Return the record of a generator for a spectrogram; conditions and jitter are the recipe's."""
    return GanRecord(GanConfig(), 0, spec_hash, 2, "0" * 16, 1, 1, {})
