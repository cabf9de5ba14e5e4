"""A student's config.json without its weights."""

from __future__ import annotations

from pathlib import Path

from pocketmood.data.saved_student import SavedStudent
from pocketmood.runs import write_json
from pocketmood.spec import MelSpec


def write_student_config(
    folder: Path, name: str = "mobilevit_xxs", frames: int = 256, stride: int = 5, spec: MelSpec | None = None
) -> SavedStudent:
    """Write the config.json of a student that nobody trained."""
    spec = spec or MelSpec()
    saved = SavedStudent(
        name=name, stride=stride, frames=frames, layers=0, features=320, parameters=7, spec=spec,
        spec_hash=spec.hash, interval_scale=(1.0, 1.0),
    )  # fmt: skip
    write_json(folder / "config.json", saved)
    return saved
