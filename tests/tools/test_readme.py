"""README's figures are those of benchmarks/studies/results, and every result names the command that made it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pocketmood.errors import RunError
from tests.helpers import ROOT
from tools import readme

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
NO_FIGURES = {"3.11", "3.13", "2.0"}
"""Versions."""


def test_every_marked_figure_is_the_stored_one() -> None:
    found = readme.figures(TEXT)
    assert len(found) >= 8
    assert [figure for figure in found if figure.said != figure.stored] == []


def test_every_figure_with_decimals_is_marked() -> None:
    prose = re.sub(r"```.*?```|`[^`]*`", "", readme.MARK.sub("", TEXT), flags=re.DOTALL)
    assert set(re.findall(r"(?<![\w.])\d*\.\d+", prose)) <= NO_FIGURES


def test_a_mark_never_starts_a_line() -> None:
    assert not re.search(r"^ {0,3}<!--=", TEXT, re.MULTILINE)  # Markdown would take the line for HTML


def test_the_demos_table_is_that_of_its_kept_rows() -> None:
    assert readme.with_table(TEXT, readme.demo_table()) == TEXT


def test_every_result_names_its_command() -> None:
    files = sorted(readme.RESULTS.glob("*.json"))
    assert len(files) >= 5
    assert [path.name for path in files if not json.loads(path.read_text()).get("command")] == []


def test_marks_by_hand(tmp_path: Path) -> None:
    (tmp_path / "some.json").write_text(json.dumps({"a": {"b c": 0.6849, "less": -0.0512}}))
    text = "<!--=some:a/b c-->.68, <!--=some:a/b c*100-->68.5 %, <!--=some:a/b c-->0.685, <!--=some:a/less-->-.05"
    text += ", <!--=some:a/b c-->+.7, <!--=some:a/b c-->.69"
    found = readme.figures(text, tmp_path)
    assert [figure.stored for figure in found] == [".68", "68.5", "0.685", "-.05", "+.7", ".68"]
    assert [figure.said == figure.stored for figure in found] == [True] * 5 + [False]
    renewed = text.replace("-->.69", "-->.68")
    assert renewed != text and readme.with_figures(text, tmp_path) == renewed
    with pytest.raises(RunError, match=r"some\.json has no 'a/x'"):
        readme.figures("<!--=some:a/x-->.5", tmp_path)


def test_a_readme_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(RunError, match="no block between"):
        readme.with_table("# empty", "table")
