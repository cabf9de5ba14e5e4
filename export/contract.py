"""What every artefact says about itself, so that a reader needs no side file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pocketmood import __version__
from pocketmood.bundle import SCHEMA
from pocketmood.spec import MelSpec

Contract = dict[str, int | str]


def contract(spec: MelSpec, stride: int, frames: int, labels: Mapping[str, Any]) -> Contract:
    """Return name -> value; names are identifiers, because ExecuTorch makes them methods of the program."""
    return {
        "schema": SCHEMA,
        "sample_rate": spec.sample_rate,
        "samples": spec.samples,
        "mel_hash": spec.hash,
        "mel_spec": json.dumps(spec.to_dict(), sort_keys=True),
        "mel_stride": stride,
        "mel_frames": frames,
        "input": "waveform float32 [1, samples] in [-1, 1], mono",
        "outputs": "emotion float32 [1, 2] valence, arousal in [-1, 1]; "
        "interval68 float32 [1, 2] half the width of the 68 % interval of a song's mean rating",
        "labels": describe_labels(labels),
        "exporter": f"pocketmood {__version__}",
    }


def describe_labels(labels: Mapping[str, Any]) -> str:
    """Say in one line what the numbers were learnt from."""
    kind = "synthetic labels" if labels.get("synthetic") else "ratings by people"
    return f"{labels.get('set') or 'unknown label set'}; fix: {labels.get('fix') or 'none'}; {kind}"
