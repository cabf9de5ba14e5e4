"""What stands beside a student's weights, RUN/student/config.json: read by export and benchmarks without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketmood import standing_warnings
from pocketmood.data.record import DataRecord
from pocketmood.errors import RunError
from pocketmood.records import from_json
from pocketmood.runs import read_json
from pocketmood.spec import MelSpec

SCHEMA = 5
"""Version of the file and of the weights' names."""


@dataclass(frozen=True)
class Labelling:
    """What the labels are worth: what every later stage must repeat of the data's record."""

    label_set: str
    """Who rated what, and how, in a phrase."""
    label_fix: str
    """Correction of the shipped labels: "none" or "swap-2013"."""
    synthetic_labels: bool
    """True where a formula made the labels."""
    label_kind: str
    """Kind of the labels, of `pocketmood.label_kind`."""

    @classmethod
    def of(cls, data: DataRecord) -> Labelling:
        """Take over what the data's record says."""
        return cls(data.label_set, data.label_fix, data.synthetic_labels, data.label_kind)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """How a student came to be; None for those of ablations and tables of choices, whose stage tells it."""

    weights: str | None = None
    """The first weights that were asked for, as `--weights` takes them."""
    started_from_random: bool | None = None
    """True where the first weights were random, also against the user's wish."""
    labels: Labelling | None = None
    """What its labels are worth."""
    config: dict[str, Any] | None = None
    """The config of its training, without the run's folder."""


@dataclass(frozen=True, kw_only=True)
class SavedStudent(Origin):
    """The network of a student, and how it came to be."""

    schema: int = SCHEMA
    """Version of these fields; another one is refused."""
    name: str
    """timm's name of the network."""
    stride: int
    """It sees every `stride`-th frame."""
    frames: int
    """Frames of a whole clip, at this stride."""
    layers: int
    """Transformer layers per block at most; 0 as timm has it."""
    features: int
    """Width of the pooled features."""
    parameters: int
    """Trained numbers in the network."""
    spec: MelSpec
    """The spectrogram that it sees."""
    spec_hash: str
    """Of that spectrogram."""
    interval_scale: tuple[float, float]
    """Per axis: the factor that calibration put on the head's output; 1 before."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the file alone warns of, for a student whose run is not at hand: its labels and its first weights."""
        labels = self.labels
        of_labels: tuple[str, ...] = ()
        if labels:
            of_labels = standing_warnings.of_labels(labels.synthetic_labels, labels.label_fix, kind=labels.label_kind)
        start = (standing_warnings.of_random_start("student", self.name),) if self.started_from_random else ()
        return of_labels + start

    @classmethod
    def load(cls, path: Path) -> SavedStudent:
        """Read the config.json of a student; RunError names the command where it is missing or does not fit."""
        folder = path.parent
        again = f"run: python -m student --run {folder.parent}"
        if not path.is_file():
            raise RunError(f"{folder}: no trained student here; {again}")

        values = read_json(path)
        # Before all else: another schema may name everything else differently.
        schema = values.get("schema") if isinstance(values, dict) else None
        if schema != SCHEMA:
            raise RunError(f"{folder}: {path.name} has schema {schema}, this version reads {SCHEMA}; {again}")
        return from_json(cls, values, str(path), again)
