"""Dataclasses come back from JSON whole, or not at all."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
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


@dataclass(frozen=True)
class Tree:
    name: str
    pair: Pair
    pairs: tuple[Pair, ...] = ()
    by_name: dict[str, dict[str, Pair]] = field(default_factory=dict)
    maybe: Pair | None = None
    points: tuple[tuple[int, int], ...] = ()
    words: tuple[str, ...] | None = None


@pytest.mark.parametrize(
    "tree",
    [
        Tree("a", Pair(1)),
        Tree("a", Pair(1), (Pair(2), Pair(3)), {"x": {"y": Pair(4)}}, Pair(5), ((6, 7), (8, 9)), ("b",)),
    ],
)
def test_records_within_records_survive_json(tree: Tree) -> None:
    assert from_json(Tree, json.loads(json.dumps(asdict(tree))), "tree.json") == tree


def test_a_wrong_key_is_refused_at_any_depth() -> None:
    for place in (("pair",), ("pairs", 0), ("by_name", "x", "y"), ("maybe",)):
        values: Any = asdict(Tree("a", Pair(1), (Pair(2),), {"x": {"y": Pair(4)}}, Pair(5)))
        values = json.loads(json.dumps(values))
        inner = values
        for step in place:
            inner = inner[step]
        inner["top"] = 3
        with pytest.raises(DataError, match=rf"tree.json, {place[0]}, needs exactly .*'top'.*; make it again"):
            from_json(Tree, values, "tree.json", "make it again", DataError)
