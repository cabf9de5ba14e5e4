"""The published recipe's numbers (docs/recipe.toml) beside those of the presets: for a page and a test."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from pocketmood.data.split import Shares
from pocketmood.records import from_json
from pocketmood.spec import MelSpec
from student.config import PRESETS as STUDENT
from teacher.presets import PRESETS as TEACHER

NUMBERS = Path(__file__).resolve().parent.parent / "docs" / "recipe.toml"
PRESETS = tuple(name for name in TEACHER if name != "recordings")
"""Presets of the table, in the order of its columns; a teacher that has heard music is no part of the recipe."""


@dataclass(frozen=True)
class Number:
    """One number of the recipe."""

    group: str
    """The part of the recipe that it belongs to."""
    what: str
    """What it is a number of, for people."""
    dial: str
    """Where it stands here: "room: field > field"."""
    recipe: Any
    """The detailed notebook's."""
    streamlined: Any = None
    """The short notebook's; None where it is the same."""
    departs: dict[str, Any] = field(default_factory=dict)
    """Preset -> its own number, where that differs on purpose."""
    why: str = ""
    """The purpose."""
    small: dict[str, Any] = field(default_factory=dict)
    """Preset of a CPU -> its own number, which is there to end within minutes."""

    def published(self, preset: str) -> Any:
        """Return the recipe's number for a preset: the short notebook's for `streamlined`, else the detailed one's."""
        return self.streamlined if preset == "streamlined" and self.streamlined is not None else self.recipe

    def wanted(self, preset: str) -> Any:
        """Return the number that the preset is to have."""
        return self.departs.get(preset, self.small.get(preset, self.published(preset)))

    def found(self, preset: str) -> Any:
        """Return the number that the preset has, tuples as lists and None as "none", as the file writes them."""
        room, keys = self.dial.split(": ")
        # Songs and spectrogram have no presets: a phone's program must not hang on how its teacher was trained.
        rooms = {"spectrogram": MelSpec(), "data": {"split": Shares()}, "teacher": TEACHER[preset]}
        value: Any = (rooms | {"student": STUDENT[preset]})[room]
        for key in keys.split(" > "):
            value = getattr(value, key) if is_dataclass(value) else value[key]
        return "none" if value is None else _listed(value)


def numbers(path: Path = NUMBERS) -> list[Number]:
    """Read the recipe's numbers; RunError for an entry with a key that is none."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["number"]
    optional: dict[str, Any] = {"streamlined": None, "departs": {}, "why": "", "small": {}}
    return [from_json(Number, optional | entry, f"{path.name}: {entry.get('what')}", "mend it") for entry in entries]


def table(rows: list[Number]) -> str:
    """Lay the numbers out as Markdown: the recipe's, what each preset has, and why where that differs."""
    lines = ["| | recipe | " + " | ".join(PRESETS) + " | dial | why another |", "| --- " * (len(PRESETS) + 4) + "|"]
    group = ""
    # A group's name stands at its first row: a heading within a Markdown table is no heading anywhere.
    for row in rows:
        what = f"**{row.group}**: {row.what}" if row.group != group else row.what
        group = row.group
        recipe = in_words(row.recipe)
        if row.streamlined is not None:
            recipe += f"; short: {in_words(row.streamlined)}"
        # As found, not as wanted: a page that is made before the test has run must not be wrong.
        here = [in_words(row.found(preset)) for preset in PRESETS]
        lines.append(f"| {what} | {recipe} | {' | '.join(here)} | `{row.dial.replace(' > ', '.')}` | {row.why} |")
    return "\n".join(lines) + "\n"


def in_words(value: Any) -> str:
    """Write a number as people do: "yes", "1e-5", "8: 1, 12: 2"."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(f"{first}: {second}" for first, second in value) or "all at once"
    if isinstance(value, float):
        return f"{value:.0e}".replace("e-0", "e-") if 0 < value < 1e-3 else f"{value:g}"
    return str(value)


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value
