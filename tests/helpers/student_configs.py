"""The student's smoke preset, changed here and there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from student.config import PRESETS, StudentConfig


def smoke(**changes: Any) -> StudentConfig:
    """Return the smoke preset with other values of some fields."""
    return replace(PRESETS["smoke"], **changes)
