"""Writer of bundles: the proven programs, golden pairs, bundle.json, the card, and a hash of every file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from export import corpora
from export.card import card
from export.contract import interval_of
from export.golden import write_golden
from export.job import MEL, PREDICTIONS, REFERENCE, SEARCH, SENSITIVITY, Job, Subject
from export.parity import failures, open_questions
from export.parity_record import PARITY_FILE, ParityRecord
from pocketmood.bundle import SCHEMA
from pocketmood.data.clips import ClipStore
from pocketmood.data.record import DataRecord
from pocketmood.programs import INPUT_NAME, OUTPUT_NAMES
from pocketmood.runs import STAGE_FILE, file_hash, versions, write_json, write_text
from pocketmood.standing_warnings import of_programs, once

OWN_FILES = ("bundle.json", STAGE_FILE, "plan.json")
"""Not hashed: the first holds the hashes, the others tell of the run, not of the bundle."""


def write(
    folder: Path, job: Job, store: ClipStore, metrics: Mapping[str, Any], records: Sequence[ParityRecord]
) -> None:
    """Fill `folder` from the finished steps of a job: what passed ships, the rest is named with its reason."""
    shipped = [record for record in records if record.passed]
    files = {record.artefact for record in shipped}
    ships = [artefact for artefact in job.config.artefacts if artefact.file in files]
    for artefact in ships:
        _copy(job.folder / artefact.step / artefact.file, folder / artefact.file)
    # Whoever reads parity.json looks for tolerances: what does not ship has none.
    write_json(folder / PARITY_FILE, [record.to_json() for record in shipped])
    if any(artefact.is_searched for artefact in ships):
        _copy(job.folder / SEARCH / SENSITIVITY, folder / SENSITIVITY)

    golden, reference = job.clips.golden, job.folder / REFERENCE
    predictions = np.load(reference / PREDICTIONS, allow_pickle=False)[: len(golden)]
    mel = np.load(reference / MEL, allow_pickle=False)
    write_golden(folder, store.waveforms(golden), predictions, mel)

    about = describe(job.subject, metrics, job.run.data_record)
    about |= {"corpora": corpora.describe(job.run.data_record, store)}
    about |= {"deviations_known": store.knows_deviations}
    about |= {"left_out": failures(records), "warnings": list(warnings(job.subject, records))}
    write_text(folder / "MODEL_CARD.md", card(about, shipped))
    about["golden"] = {"ids": list(golden), "clips": len(golden), "mel_clip": golden[0]}
    about["files"] = hashes(folder)  # last of all: a hash of everything else
    write_json(folder / "bundle.json", about)


def warnings(subject: Subject, records: Sequence[ParityRecord]) -> tuple[str, ...]:
    """Return what a reader of any figure of the bundle must know: what earlier stages warned of, and its programs."""
    return once(subject.warnings, of_programs(failures(records), open_questions(records)))


def describe(subject: Subject, metrics: Mapping[str, Any], data: DataRecord) -> dict[str, Any]:
    """Return what bundle.json says of programs, labels and figures; `write` adds what its other files say."""
    spec, unit = subject.spec, corpora.units(data.corpora)
    emotion, interval68 = OUTPUT_NAMES
    return {
        "schema": SCHEMA,
        "name": subject.name,
        "parameters": subject.parameters,
        "spec": spec.to_dict(),
        "spec_hash": spec.hash,
        "stride": subject.stride,
        "frames": subject.frames,
        "input": {
            "name": INPUT_NAME,
            "shape": [1, spec.samples],
            "dtype": "float32",
            "range": [-1.0, 1.0],
            "unit": f"full scale, mono, {spec.sample_rate} samples per second",
        },
        "outputs": [
            _output(emotion, [-1.0, 1.0], unit),
            _output(interval68, [0.0, None], f"{interval_of(subject.labels.kind)}; {unit}"),
        ],
        "labels": asdict(subject.labels),
        "versions": versions(),
        "metrics": dict(metrics),
    }


def hashes(folder: Path) -> dict[str, str]:
    """Map the path of every file of a bundle to its SHA-256."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    named = {file.relative_to(folder).as_posix(): file for file in files}
    return {name: file_hash(file) for name, file in named.items() if name not in OWN_FILES}


def _output(name: str, range_: list[float | None], unit: str) -> dict[str, Any]:
    axes = ["valence", "arousal"]
    return {"name": name, "shape": [1, 2], "dtype": "float32", "axes": axes, "range": range_, "unit": unit}


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder; a copy cut short by a kill is made anew."""
    # copytree refuses a folder that is there, and merging would keep files of an earlier export.
    if target.is_dir():
        shutil.rmtree(target)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
