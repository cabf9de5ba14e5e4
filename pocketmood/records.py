"""Records: frozen dataclasses that are written as JSON (by `asdict`) and read back with exactly their own keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from pocketmood.errors import PocketmoodError, RunError

Record = TypeVar("Record")


def from_json(
    kind: type[Record], values: Any, what: str, then: str = "", error: type[PocketmoodError] = RunError
) -> Record:
    """Make a dataclass of the JSON that was written from one; `error` where a key is missing or unknown.

    what: names the thing in the error's sentence. then: what to do about it, the sentence's end. A field with a default
    must be there, too: a file that lacks it was written by another version.
    """
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # any dataclass; there is no type for that
    found = set(values) if isinstance(values, Mapping) else set()
    if found != names:
        raise error(f"{what} needs exactly {sorted(names)}, found {sorted(map(str, found))}{then and f'; {then}'}")
    return kind(**values)
