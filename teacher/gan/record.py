"""Records of the GAN's steps: training, synthetic clips, their quality with the gate's verdict, the page of sounds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from pocketmood.records import from_json
from pocketmood.runs import read_json, write_json
from teacher.gan.config import GanConfig

QUALITY_FILE = "quality.json"
WEIGHTS = {"frechet": 0.3, "kernel": 0.2, "moments": 0.15, "smoothness": 0.15, "profile": 0.1, "range": 0.1}
"""Exponents of the similarities in the score; they sum to 1. The two distances of whole distributions weigh most."""
EXCELLENT, GOOD, POOR, NOT_JUDGED = "excellent", "good", "poor", "not judged"
"""Grades of a score; the thresholds, 70 and 50, are the published recipe's."""
REAL_HALF, SYNTHETIC = "real, other half", "synthetic"
REPEATED, BAND_NOISE, NOISE = "one real clip repeated", "noise in real bands", "noise"


@dataclass(frozen=True)
class GanRecord:
    """Facts of a trained GAN, for the stage's record and beside the generator's weights."""

    config: GanConfig
    """Settings of the training."""
    seed: int
    """Of all that is random in it."""
    spec_hash: str
    """Of the spectrogram that the generator imitates."""
    songs: int
    """Training songs that the discriminator saw."""
    songs_hash: str
    """Of their ids, sorted."""
    generator_steps: int
    discriminator_steps: int
    """Optimiser steps of each network."""
    last_epoch: dict[str, float]
    """Mean losses and accuracies of the last epoch."""


@dataclass(frozen=True)
class SyntheticRecord:
    """What a store holds and what it was made with: `synthetic.json`."""

    clips: int
    """Spectrograms in the store."""
    bands: int
    frames: int
    """Bands and frames of each spectrogram."""
    seed: int
    """Of all that is random in the drawing."""
    spec_hash: str
    """Of the spectrogram that the generator imitates."""
    generator: str
    """SHA-256 of the generator's weights."""
    synthetic: bool = True
    """Always: so that the file says it to whoever opens it alone."""


@dataclass(frozen=True)
class Distances:
    """How far a candidate is from one half of the real clips; none is ever 0 for finite samples."""

    frechet: float
    """Frechet distance over the total variance of the real clips."""
    kernel: float
    """Squared MMD over the real clips' own mean kernel."""
    moments: float
    """Of the bands' means and deviations."""
    smoothness: float
    """Of the bands' mean absolute difference between frames."""


@dataclass(frozen=True)
class Similarities:
    """How like one half of the real clips a candidate is, each in [0, 1]; `similarity.py` has the formulas."""

    frechet: float
    kernel: float
    moments: float
    smoothness: float
    """1 for a distance no larger than that of two real halves by chance, falling with `Distances`."""
    profile: float
    """Correlation of the mean spectra, not below 0."""
    range: float
    """Ratio of the mean distance between a clip's 5th and 95th percentile, the smaller by the larger."""


@dataclass(frozen=True)
class Measures:
    """A candidate's score and what it is made of."""

    score: float
    """100 times the weighted geometric mean of the similarities."""
    distance: Distances
    """From the first half of the real clips."""
    similarity: Similarities
    """To the first half of the real clips."""


@dataclass(frozen=True)
class Candidate:
    """One row of the quality table: a set of clips beside the first half of the real ones."""

    candidate: str
    """What the clips are; one of the five names above."""
    clips: int
    """How many."""
    measures: Measures
    """Its score, and what that is made of."""
    conditioning_ccc: float | None = None
    """Mean CCC of emotions rated, or asked for, and read back; None for clips that have none."""


@dataclass(frozen=True)
class Verdict:
    """Whether synthetic clips may join the teacher's training data, and why."""

    accepted: bool
    """Whether they join."""
    forced: bool
    """True where they join against the gate's word."""
    score: float
    """Quality from 0 to 100."""
    reference: float
    """Mean score of random halves of the real clips, of the same size: what can be reached with so many songs."""
    share: float
    """`score` as a share of `reference`."""
    grade: str
    """Of the score, in the recipe's words; "not judged" where real halves do not reach what a judgement needs."""
    conditioning_ccc: float
    """Mean CCC of emotions asked for and read back."""
    sentence: str
    """The verdict for people."""
    embedding: str
    """Name of the space in which Frechet and kernel distance are taken."""
    table: tuple[Candidate, ...]
    """One row per candidate, the other real half first."""
    weights: dict[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    """Exponents of the similarities in the score."""

    def save(self, folder: Path) -> None:
        """Write `quality.json`."""
        write_json(folder / QUALITY_FILE, asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Verdict | None:
        """Read the `quality.json` of a folder; None where it has none, as without a GAN."""
        path = folder / QUALITY_FILE
        return from_json(cls, read_json(path), str(path), "run the teacher stage again") if path.is_file() else None


@dataclass(frozen=True)
class Sound:
    """A clip on the page: `<file>.wav` and `<file>.png` lie beside it."""

    file: str
    """Name of both files, without ending."""
    error_db: float
    """Mean difference between the spectrogram that was inverted and that of the sound."""
    id: str | None = None
    """Of a real song; None for a generated clip."""
    rated: tuple[float, float] | None = None
    """Valence and arousal of a real song."""


@dataclass(frozen=True)
class Pair:
    """One named emotion: the real song rated nearest to it, and the generator's clip for it."""

    name: str
    """The emotion in one word."""
    asked: tuple[float, float]
    """Valence and arousal that the generator was given."""
    real: Sound
    """The real song."""
    generated: Sound
    """The generator's clip."""


@dataclass(frozen=True)
class ListeningRecord:
    """What the stage records of the page."""

    page: str | None = None
    """File name of the page; None where it was left out."""
    seconds: float = 0.0
    """Length of each sound; 0 without a page."""
    clips: tuple[Pair, ...] = ()
    """What can be heard, pair by pair; empty without a page."""
    left_out: str | None = None
    """Why there is no page, and what to type."""
