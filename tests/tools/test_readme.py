"""Figures of README.md and docs/ are those of benchmarks/studies/results, and every result names its command."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.config import BenchmarksConfig
from benchmarks.record import BenchmarksRecord, Record, write_results
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import RunError
from pocketmood.runs import Stage
from tests.helpers import ROOT
from tools import readme

PAGES = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in readme.pages()}
NO_FIGURES = {"3.11", "3.12", "3.13", "2.0"}
"""Versions."""
DECIMAL = re.compile(r"(?<![\w.])\d*\.\d+")


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_of_a_page_is_the_stored_one(page: str) -> None:
    assert readme.filled_in(PAGES[page]) == PAGES[page], "type: python -m tools.readme"


def test_readme_quotes_figures() -> None:
    placeholders = [match for text in PAGES.values() for match in readme.PLACEHOLDER.finditer(text)]
    assert len(placeholders) >= 13
    assert readme.PLACEHOLDER.search(PAGES["README.md"]) and readme.TABLE.search(PAGES["README.md"])


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_with_decimals_is_generated(page: str) -> None:
    prose = re.sub(r"```.*?```|`[^`]*`", "", readme.without_generated(PAGES[page]), flags=re.DOTALL)
    assert set(DECIMAL.findall(prose)) <= NO_FIGURES
    templates = "".join(match["template"] for match in readme.FIGURES.finditer(PAGES[page]))
    typed = re.sub(r"`[^`]*`", "", readme.PLACEHOLDER.sub("", templates), flags=re.DOTALL)
    assert set(DECIMAL.findall(typed)) <= NO_FIGURES  # a template is no place to type a figure by hand either


@pytest.mark.parametrize("page", PAGES)
def test_no_comment_stands_inside_a_sentence(page: str) -> None:
    shown = readme.FIGURES.sub("", PAGES[page])
    assert [line for line in shown.splitlines() if "<!--" in line and not re.fullmatch(r"<!-- [^<>]* -->", line)] == []


def test_readme_is_read_in_minutes() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 150


def test_every_result_names_its_command() -> None:
    files = sorted(readme.RESULTS.glob("*.json"))
    assert len(files) >= 5
    assert [path.name for path in files if not json.loads(path.read_text()).get("command")] == []


def test_a_block_by_hand(tmp_path: Path) -> None:
    values = {"a": {"b c": 0.6849, "less": -0.0512}, "rows": [{"name": "x/y", "ms": 3}], "command": "make it"}
    (tmp_path / "some.json").write_text(json.dumps(values))
    template = "{some:a > b c:.2f} {some:a > b c:.1%} {some:a > less:+.2f} {some:rows > x/y > ms:d}\n"
    page = f"before .5\n<!-- figures\n{template}-->\nold\n<!-- /figures -->\nafter\n"
    wanted = (
        f"before .5\n<!-- figures\n{template}-->\n0.68 68.5 % -0.05 3\n\nFrom `make it`.\n<!-- /figures -->\nafter\n"
    )
    assert readme.filled_in(page, tmp_path) == wanted
    assert readme.filled_in(wanted, tmp_path) == wanted
    assert readme.without_generated(wanted) == "before .5\n\nafter\n"


def test_a_field_of_a_preset_is_a_figure(tmp_path: Path) -> None:
    page = "<!-- figures\n{teacher.full:training > schedule > epochs:g} epochs\n-->\n<!-- /figures -->"
    assert "-->\n24 epochs\n<!--" in readme.filled_in(page, tmp_path)


@pytest.mark.parametrize(
    ("placeholder", "message"),
    [
        ("{some:a > x:.1f}", r"nothing under 'some:a > x' \(missing: 'x'\)"),
        ("{some:none:.1f}", "some:none was not measured"),
        ("{some:a > b}", "cannot read the placeholder"),
        ("{teacher.full:training > no_such_dial:g}", "no_such_dial"),
    ],
)
def test_a_placeholder_that_leads_nowhere_is_refused(tmp_path: Path, placeholder: str, message: str) -> None:
    (tmp_path / "some.json").write_text(json.dumps({"a": {"b": 0.5}, "none": None, "command": "make it"}))
    with pytest.raises(RunError, match=message):
        readme.filled_in(f"<!-- figures\n{placeholder}\n-->\n<!-- /figures -->", tmp_path)


def test_a_readme_without_a_place_for_the_table_is_refused() -> None:
    readme.require_place(PAGES["README.md"])
    with pytest.raises(RunError, match="no block between"):
        readme.require_place("# empty")


def test_an_unfinished_demo_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not been made yet"):
        readme.keep(RunFolder(tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("alternatives", "line"), [("one", "make demo"), ("all", "make demo && make benchmarks RUN=runs/demo")]
)
def test_a_finished_demo_is_kept_and_laid_out(tmp_path: Path, alternatives: str, line: str) -> None:
    run = RunFolder(tmp_path)
    stage = Stage(tmp_path, "benchmarks", BenchmarksConfig(alternatives=alternatives))  # type: ignore[arg-type]
    with stage.work() as folder:
        write_results(folder / run.results.name, [Record("teacher", ccc_mean=0.625)])
        stage.record |= asdict(BenchmarksRecord({"cpu": "some"}, {}, 0, (), "what the columns mean"))
    readme.keep(run, tmp_path)
    kept = json.loads((tmp_path / "demo.json").read_text())
    assert (kept["command"], kept["machine"]) == (line, {"cpu": "some"})
    page = readme.filled_in("<!-- demo table -->\n```\nold\n```\n<!-- /demo table -->", tmp_path)
    assert "0.625" in page and "what the columns mean" in page and "old" not in page
