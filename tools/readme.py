"""README's figures: `python -m tools.readme` makes those of its prose the stored ones.

With `--run runs/demo` it first puts the table of a demo into README.md.
Figures in README's prose carry a mark that Markdown does not show: `<!--=held-out:models/floor/ccc_mean-->.603` says
that .603 stands in benchmarks/studies/results/held-out.json under these keys (in a list, the name of a row is the key),
and `*100` behind them that a percentage is quoted. A test compares them all; what a sentence makes of them nobody
checks but who reads it. The demo's rows are kept as benchmarks/studies/results/demo.json.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import table
from benchmarks.record import Record, read_results, to_json
from pocketmood import command
from pocketmood.errors import RunError
from pocketmood.runs import STAGE_FILE, read_json, write_json, write_text

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "studies" / "results"
MARK = re.compile(r"<!--=(?P<result>[\w-]+):(?P<keys>[^>*]+?)(?P<percent>\*100)?-->(?P<figure>[-+]?\d*\.?\d+)")
BLOCK = re.compile(r"(<!-- demo table -->\n```\n)(.*?)(```\n<!-- /demo table -->)", re.DOTALL)


class Figure(NamedTuple):
    """A marked figure: what README says, and what the result says with as many decimals."""

    mark: str
    said: str
    stored: str


def figures(text: str, results: Path = RESULTS) -> list[Figure]:
    """Return every marked figure of a text; RunError for a mark that leads nowhere."""
    found = []
    for match in MARK.finditer(text):
        value: Any = read_json(results / f"{match['result']}.json")
        for key in match["keys"].split("/"):
            if isinstance(value, list):  # of rows
                value = {row["name"]: row for row in value if isinstance(row, dict) and "name" in row}
            if not isinstance(value, dict) or key not in value:
                raise RunError(f"README.md: {match['result']}.json has no {match['keys']!r} (missing: {key!r})")
            value = value[key]
        found.append(
            Figure(f"{match['result']}:{match['keys']}", match["figure"], _like(match["figure"], value, match))
        )
    return found


def with_figures(text: str, results: Path = RESULTS) -> str:
    """Return a text whose marked figures are the stored ones, written as they were."""
    stored = iter(figures(text, results))
    return MARK.sub(lambda match: match[0].removesuffix(match["figure"]) + next(stored).stored, text)


def demo_table(results: Path = RESULTS) -> str:
    """Lay out the kept rows of the demo."""
    kept = read_json(results / "demo.json")
    return table.plain_text([Record(**row) for row in kept["rows"]], kept["caption"])


def with_table(text: str, laid_out: str) -> str:
    """Return a README text with this table in its place; RunError where it has no place."""
    if not BLOCK.search(text):
        raise RunError("README.md: no block between <!-- demo table --> and <!-- /demo table -->")
    return BLOCK.sub(lambda match: match[1] + laid_out + match[3], text)


def _like(said: str, value: float, match: re.Match[str]) -> str:
    """Format a value as the figure is written: decimals, sign, and no zero before the point where it has none."""
    digits = len(said.partition(".")[2])
    text = f"{value * (100 if match['percent'] else 1):{'+' if said.startswith('+') else ''}.{digits}f}"
    return re.sub(r"^([-+]?)0\.", r"\1.", text) if re.match(r"[-+]?\.", said) else text


def main(args: Sequence[str] | None = None) -> None:
    """Write the stored figures into README.md, and a demo's table where one is given."""
    top = argparse.ArgumentParser(prog="python -m tools.readme", description=__doc__.split("\n")[0])
    top.add_argument("--run", type=Path, help="run folder of a finished demo, whose table and rows are to be kept")
    run: Path | None = top.parse_args(args).run
    if run:
        keep(run / "benchmarks")
    text = with_figures((ROOT / "README.md").read_text(encoding="utf-8"))
    write_text(ROOT / "README.md", with_table(text, demo_table()))
    print("README.md: the figures of benchmarks/studies/results", flush=True)


def keep(folder: Path) -> None:
    """Keep a demo's rows as benchmarks/studies/results/demo.json; RunError unless its benchmarks are finished."""
    if not (folder / STAGE_FILE).is_file():
        raise RunError(f"{folder}: no finished benchmarks here; type `make demo` first")
    stage = read_json(folder / STAGE_FILE)
    rows = to_json(read_results(folder / "results.json"))
    line = "make demo" if stage["config"]["peers"] != "all" else "make demo && make benchmarks RUN=runs/demo"
    about = {"command": line, "caption": stage["record"]["caption"], "machine": stage["record"]["machine"]}
    write_json(RESULTS / "demo.json", about | {"rows": rows})


if __name__ == "__main__":
    command.start(main)
