"""Dataclasses come back from JSON whole, or not at all."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pytest

from pocketmood.errors import DataError, RunError
from pocketmood.records import from_json


@dataclass(frozen=True)
class Pair:
    left: int
    right: str = "r"


def test_a_record_survives_json() -> None:
    assert from_json(Pair, asdict(Pair(1, "x")), "pair.json") == Pair(1, "x")


@pytest.mark.parametrize("values", [{"left": 1}, {"left": 1, "right": "x", "top": 2}, {}, [1, "x"], None])
def test_missing_and_unknown_keys_are_refused(values: Any) -> None:
    with pytest.raises(RunError, match=r"pair.json needs exactly \['left', 'right'\], found .*; make it again"):
        from_json(Pair, values, "pair.json", "make it again")


def test_the_caller_chooses_the_error() -> None:
    with pytest.raises(DataError, match=r"found \['left'\]$"):
        from_json(Pair, {"left": 1}, "a pair", error=DataError)
