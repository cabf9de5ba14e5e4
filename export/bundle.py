"""Puts a bundle together: the proven programs, golden pairs, bundle.json, the card, and a hash of every file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.card import card
from export.config import Artefact
from export.job import ANSWERS, MEL, REFERENCE, SEARCH, SENSITIVITY
from export.pipeline import INPUT_NAME, OUTPUT_NAMES
from pocketmood.bundle import SCHEMA
from pocketmood.data.clips import ClipStore
from pocketmood.runs import file_hash, versions, write_bytes, write_json, write_text
from pocketmood.spec import MelSpec

OWN_FILES = ("bundle.json", "stage.json", "plan.json")
"""Not hashed: the first holds the hashes, the others tell of the run, not of the bundle."""


def write(
    folder: Path,
    steps: Path,
    artefacts: Sequence[Artefact],
    store: ClipStore,
    golden: Sequence[str],
    student: Mapping[str, Any],
    labels: Mapping[str, Any],
    metrics: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
) -> None:
    """Fill `folder` from the finished steps; `student` is the content of its config.json."""
    for artefact in artefacts:
        _copy(steps / artefact.step / artefact.file, folder / artefact.file)
    if (steps / SEARCH / SENSITIVITY).is_file():
        _copy(steps / SEARCH / SENSITIVITY, folder / SENSITIVITY)
    _write_golden(folder / "golden", steps / REFERENCE, store, golden)
    spec = MelSpec.from_dict(dict(student["spec"]))
    about = describe(spec, student, labels, metrics)
    write_text(folder / "MODEL_CARD.md", card(about, records))
    about["golden"] = {"ids": list(golden), "clips": len(golden), "mel_clip": golden[0]}
    about["files"] = hashes(folder)
    write_json(folder / "bundle.json", about)


def describe(
    spec: MelSpec, student: Mapping[str, Any], labels: Mapping[str, Any], metrics: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what bundle.json says, but for the hashes."""
    emotion, interval68 = OUTPUT_NAMES
    units = "1 unit = 4 points of the 1-9 rating scale"
    return {
        "schema": SCHEMA,
        "name": student["name"],
        "parameters": student.get("parameters"),
        "spec": spec.to_dict(),
        "spec_hash": spec.hash,
        "stride": student["stride"],
        "frames": student["frames"],
        "input": {
            "name": INPUT_NAME,
            "shape": [1, spec.samples],
            "dtype": "float32",
            "range": [-1.0, 1.0],
            "unit": f"full scale, mono, {spec.sample_rate} samples per second",
        },
        "outputs": [
            _output(emotion, [-1.0, 1.0], units),
            _output(interval68, [0.0, None], f"half the width of the 68 % interval of a song's mean rating; {units}"),
        ],
        "labels": dict(labels),
        "versions": versions(),
        "metrics": dict(metrics),
    }


def hashes(folder: Path) -> dict[str, str]:
    """Map the path of every file of a bundle to its SHA-256."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    named = {file.relative_to(folder).as_posix(): file for file in files}
    return {
        name: file_hash(file) for name, file in named.items() if name not in OWN_FILES and not name.startswith("steps/")
    }


def _output(name: str, range_: list[float | None], unit: str) -> dict[str, Any]:
    axes = ["valence", "arousal"]
    return {"name": name, "shape": [1, 2], "dtype": "float32", "axes": axes, "range": range_, "unit": unit}


def _write_golden(folder: Path, reference: Path, store: ClipStore, golden: Sequence[str]) -> None:
    """Write what every language tests against: raw little-endian float32, clip after clip."""
    answers = np.load(reference / ANSWERS, allow_pickle=False)[: len(golden)]
    mel = np.load(reference / MEL, allow_pickle=False)
    parts = {
        "waveform.f32": store.waveforms(golden),  # [N, S]
        "emotion.f32": answers[:, :2],
        "interval68.f32": answers[:, 2:],
        "mel.f32": mel,  # [M, T] of the first clip, as the network sees it
    }
    for name, values in parts.items():
        write_bytes(folder / name, np.ascontiguousarray(values, "<f4").tobytes())


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder; a copy cut short by a kill is made anew."""
    if target.is_dir():
        shutil.rmtree(target)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
