"""Records: frozen dataclasses that are written as JSON (by `asdict`) and read back with exactly their own keys."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pocketmood.errors import PocketmoodError, RunError

Record = TypeVar("Record")


def from_json(
    kind: type[Record], values: Any, what: str, then: str = "", error: type[PocketmoodError] = RunError
) -> Record:
    """Make a dataclass of the JSON that was written from one; `error` where a key is missing or unknown.

    Fields that are records, or tuples and dicts of records, are read the same way; lists become the tuples that a
    frozen dataclass holds.

    what: names the thing in the error's sentence. then: what to do about it, the sentence's end. A field with a default
    must be there, too: a file that lacks it was written by another version.
    """
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # any dataclass; there is no type for that
    found = set(values) if isinstance(values, Mapping) else set()
    if found != names:
        raise error(f"{what} needs exactly {sorted(names)}, found {sorted(map(str, found))}{then and f'; {then}'}")
    hints = get_type_hints(kind)
    return kind(
        **{name: _value(hints[name], value, (f"{what}, {name},", then, error)) for name, value in values.items()}
    )


def _value(hint: Any, value: Any, about: tuple[str, str, type[PocketmoodError]]) -> Any:
    """Turn one JSON value into what the field's type says; about: the last parameters of `from_json`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if value is None:
        return None
    if origin in (Union, types.UnionType):
        # Of `X | None`, JSON's null has been met above; of several plain types, the value itself tells which it is.
        return _value(next(argument for argument in arguments if argument is not type(None)), value, about)
    if origin is tuple:
        inner = arguments[0] if arguments[1:] == (...,) else Any
        return tuple(_value(inner, item, about) for item in value)
    if origin is dict:
        return {key: _value(arguments[1], item, about) for key, item in value.items()}
    if isinstance(hint, type) and is_dataclass(hint):
        return from_json(hint, value, *about)
    return value
