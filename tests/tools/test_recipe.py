"""Every preset has the published recipe's numbers (docs/recipe.toml), or another one with its reason."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from pocketmood.errors import PocketmoodError
from tests.helpers import ROOT
from tools import recipe

NUMBERS = recipe.numbers()
SMALL = ("demo", "smoke")
STATES = ("there", "better", "not there")
ROW = re.compile(r"^\| (?P<feature>[^|]+) \| (?P<state>[^|]+) \| (?P<words>[^|]*) \|$", re.MULTILINE)


@pytest.mark.parametrize("preset", recipe.PRESETS)
def test_every_dial_of_a_preset_has_the_number_that_the_table_says(preset: str) -> None:
    found = {number.dial: number.found(preset) for number in NUMBERS}
    assert found == {number.dial: number.wanted(preset) for number in NUMBERS}


def test_a_departure_is_one_and_says_why() -> None:
    for number in NUMBERS:
        assert bool(number.departs) == bool(number.why), number.dial
        # A number that came back to the recipe's must lose its excuse.
        for preset, value in (number.departs | number.small).items():
            assert value != number.published(preset), (number.dial, preset)
        assert set(number.small) <= set(SMALL), number.dial
    assert len({number.dial for number in NUMBERS}) == len(NUMBERS) > 40


@pytest.mark.parametrize(
    ("value", "words"),
    [(True, "yes"), (1e-5, "1e-5"), (0.5, "0.5"), ([[8, 1], [12, 2]], "8: 1, 12: 2"), ([], "all at once"), (0.0, "0")],
)
def test_numbers_read_as_people_write_them(value: object, words: str) -> None:
    assert recipe.in_words(value) == words


def test_a_misspelt_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('[[number]]\ngroup = "a"\nwhat = "b"\ndial = "c"\nrecipe = 1\nreason = "d"\n')
    with pytest.raises(PocketmoodError, match="reason"):
        recipe.numbers(path)


def test_all_140_rows_of_the_comparison_have_their_state() -> None:
    rows = list(ROW.finditer((ROOT / "docs" / "recipe_rows.md").read_text(encoding="utf-8")))
    rows = [row for row in rows if row["state"] not in ("state", "---")]
    assert len(rows) == 140
    assert {row["state"] for row in rows} <= set(STATES)
    # What is better, or not there, has its reason.
    assert [row["feature"] for row in rows if row["state"] != "there" and len(row["words"]) < 20] == []
    assert Counter(row["state"] for row in rows)["not there"] <= 8
    assert [name for name, count in Counter(row["feature"] for row in rows).items() if count > 1] == []
