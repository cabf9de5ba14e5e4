"""The contract: what every artefact says about itself, so that a reader needs no side file."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pocketmood import __version__
from pocketmood.bundle import SCHEMA
from pocketmood.data.record import DataRecord
from pocketmood.label_kind import IN_WORDS, RATINGS, TARGETS
from pocketmood.spec import MelSpec

Contract = dict[str, int | str]


@dataclass(frozen=True)
class Labels:
    """The labels that a student was trained on, from the record of the data stage."""

    set: str | None = None
    """Name of the label set, as "DEAM static song-level means"."""
    fix: str | None = None
    """The label fix that was applied to it: "none" or "swap-2013"."""
    synthetic: bool = False
    """Whether the ratings are simulated, and not given by people."""
    corpus: str | None = None
    """Name of the corpus that they rate."""
    kind: str = RATINGS
    """Kind of the labels, of `pocketmood.label_kind`."""

    @classmethod
    def of(cls, record: DataRecord) -> Labels:
        """Take them from the record of a data stage."""
        return cls(record.label_set, record.label_fix, record.synthetic_labels, record.corpus, record.label_kind)

    def sentence(self) -> str:
        """Say in one line what the numbers were learnt from."""
        kind = IN_WORDS[self.kind]
        if self.synthetic:
            kind = kind.replace(IN_WORDS[RATINGS], "synthetic labels")
        # A label set of tags says so itself; once is enough.
        note = "" if self.set and kind in self.set else f"; {kind}"
        return f"{self.set or 'unknown label set'}; fix: {self.fix or 'none'}{note}"


def interval_of(kind: str) -> str:
    """Say what `interval68` is, for labels of this kind: tags are no ratings, and their targets have no scale."""
    return f"half the width of the 68 % interval of a song's {TARGETS[kind]}"


def contract(spec: MelSpec, stride: int, frames: int, labels: Labels) -> Contract:
    """Return name -> value; names are identifiers, because ExecuTorch makes them methods of the program."""
    return {
        "schema": SCHEMA,
        "sample_rate": spec.sample_rate,
        "samples": spec.samples,
        "mel_hash": spec.hash,
        "mel_spec": json.dumps(spec.to_dict(), sort_keys=True),
        "mel_stride": stride,
        "mel_frames": frames,
        # "What range is this number" is what users of comparable projects ask most.
        "input": "waveform float32 [1, samples] in [-1, 1], mono",
        "outputs": "emotion float32 [1, 2] valence, arousal in [-1, 1]; "
        f"interval68 float32 [1, 2] {interval_of(labels.kind)}",
        "labels": labels.sentence(),
        "exporter": f"pocketmood {__version__}",
    }
