"""Figures of README.md and docs/: `python -m tools.readme` fills them in from benchmarks/studies/results.

Prose holds no figure with decimals. Such figures stand in generated blocks: a comment that holds Markdown with
placeholders, and below it the same Markdown filled in, with the commands that the figures came from.

    <!-- figures
    | on 400 songs of another corpus | mean CCC |
    | --- | ---: |
    | floor | {held-out:models > floor > ccc_mean:.3f} |
    -->
    (filled in; edit nothing here)
    <!-- /figures -->

`{held-out:models > floor > ccc_mean:.3f}` is the value under these keys of held-out.json in Python's format (in a
list, a row's name is its key); `{teacher.full:training > schedule > epochs:g}` is a field of the preset `full` of a
stage. Between `<!-- recipe table -->` and `<!-- /recipe table -->` stand the recipe's numbers (docs/recipe.toml), as
`tools.recipe` lays them out, between `<!-- recordings table -->` and `<!-- /recordings table -->` the packages of
recorded music with their licences, between `<!-- models table -->` and `<!-- /models table -->` what models reach on
real recordings, and between `<!-- demo table -->` and `<!-- /demo table -->` the table of the demo;
its rows are kept as demo.json, and `--run runs/demo` replaces them by those of a finished demo.
tests/tools/test_readme.py shows that every page is filled in.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.record import BenchmarksRecord, Record, read_results, to_json
from benchmarks.studies.recordings_table import title
from benchmarks.studies.result_files import markdown_table
from pocketmood import command
from pocketmood.data import recording_packages
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import RunError
from pocketmood.runs import read_json, write_json, write_text
from tools import recipe

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "studies" / "results"
PLACEHOLDER = re.compile(r"\{(?P<source>[\w.-]+):(?P<keys>[^{}:]+):(?P<format>[^{}]*)\}")
FIGURES = re.compile(r"(<!-- figures\n(?P<template>.*?)-->\n)(?P<filled>.*?)(<!-- /figures -->)", re.DOTALL)
RECIPE = re.compile(r"(<!-- recipe table -->\n)(.*?)(<!-- /recipe table -->)", re.DOTALL)
RECORDINGS = re.compile(r"(<!-- recordings table -->\n)(.*?)(<!-- /recordings table -->)", re.DOTALL)
MODELS = re.compile(r"(<!-- models table -->\n)(.*?)(<!-- /models table -->)", re.DOTALL)
TABLE = re.compile(r"(<!-- demo table -->\n```\n)(.*?)(```\n<!-- /demo table -->)", re.DOTALL)


@dataclass(frozen=True)
class ReadmeConfig:
    """Which figures to fill in."""

    run: Path | None = None
    """Run folder of a finished demo whose rows replace the kept ones; None keeps them."""


def pages() -> list[Path]:
    """List the pages that hold figures: README.md and everything below docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def filled_in(text: str, results: Path = RESULTS) -> str:
    """Return a page with the stored figures in its blocks; RunError for a placeholder that leads nowhere."""
    text = FIGURES.sub(lambda match: match[1] + _block(match["template"], results) + match[4], text)
    text = RECIPE.sub(lambda match: match[1] + recipe.table(recipe.numbers()) + match[3], text)
    text = RECORDINGS.sub(lambda match: match[1] + recording_packages.table() + match[3], text)
    text = MODELS.sub(lambda match: match[1] + models_table(results) + match[3], text)
    return TABLE.sub(lambda match: match[1] + demo_table(results) + match[3], text)


def without_generated(text: str) -> str:
    """Return what of a page a person wrote: no block and no table, neither placeholders nor figures."""
    for block in (FIGURES, RECIPE, RECORDINGS, MODELS, TABLE):
        text = block.sub("", text)
    return text


def require_place(text: str) -> None:
    """Refuse a README that has no place for the demo's table: it would be kept, and shown nowhere."""
    if not TABLE.search(text):
        raise RunError("README.md: no block between <!-- demo table --> and <!-- /demo table -->")


def demo_table(results: Path = RESULTS) -> str:
    """Lay out the kept rows of the demo."""
    kept = read_json(results / "demo.json")
    return table.plain_text([Record(**row) for row in kept["rows"]], kept["caption"])


def models_table(results: Path = RESULTS) -> str:
    """Lay out what models reach on real recordings, with what was not measured, and the command."""
    found = read_json(results / "recordings.json")

    def cell(figure: Mapping[str, float]) -> str:
        return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"

    rows = [
        [
            row["title"],
            *(cell(figure) for figure in (row["valence"]["auc"], row["arousal"]["auc"], row["quadrant_accuracy"])),
            "" if row["latency_ms"] is None else f"{row['latency_ms']:.0f}",
        ]
        for row in found["rows"].values()
    ]
    heads = ["", "AUC valence", "AUC arousal", "quadrant accuracy", "ms a clip"]
    left = "".join(f" {title(name)}: not measured ({lack})." for name, lack in found["missing"].items())
    return f"{markdown_table(heads, rows)}\n\nFrom `{found['command']}`.{left}\n"


def _block(template: str, results: Path) -> str:
    """Fill a template in, and name the command behind each result that it quotes."""
    filled = PLACEHOLDER.sub(lambda match: _figure(match["source"], match["keys"], match["format"], results), template)
    if "{" in filled:  # a misspelt placeholder would otherwise reach the reader
        raise RunError(f"figures: cannot read the placeholder in {filled[filled.index('{') :].splitlines()[0]!r}")
    # Every command once, in the order of the figures: a table quotes one result in many cells.
    sources = dict.fromkeys(match["source"] for match in PLACEHOLDER.finditer(template))
    stored = [read_json(results / f"{source}.json")["command"] for source in sources if "." not in source]
    commands = ",\n".join(f"`{line}`" for line in dict.fromkeys(stored))
    return filled + (f"\nFrom {commands}.\n" if commands else "")


def _figure(source: str, keys: str, spec: str, results: Path) -> str:
    """Return one figure, formatted: from a result's file, or from a preset where the source is `stage.preset`."""
    value: Any
    if "." in source:  # no result's name has one
        stage, preset = source.split(".", 1)
        # The teacher's presets fill a file of their own; those of the other stages stand beside their settings.
        home = "presets" if stage == "teacher" else "config"
        value = importlib.import_module(f"{stage}.{home}").PRESETS[preset]
    else:
        value = read_json(results / f"{source}.json")
    for key in keys.split(" > "):
        value = _under(value, key, f"{source}:{keys}")
    if value is None:
        raise RunError(f"figures: {source}:{keys} was not measured")
    return format(value, spec).replace("%", " %")  # as the pages write it elsewhere


def _under(value: Any, key: str, place: str) -> Any:
    """Return what lies under a key of a dict, a field of a dataclass, or the row of that name in a list."""
    if is_dataclass(value):
        value = vars(value)
    if isinstance(value, list):
        value = {row["name"]: row for row in value if isinstance(row, dict) and "name" in row}
    if not isinstance(value, dict) or key not in value:
        raise RunError(f"figures: nothing under {place!r} (missing: {key!r})")
    return value[key]


def main(args: Sequence[str] | None = None) -> int:
    """Fill in every page."""
    return run(command.parse(ReadmeConfig, "python -m tools.readme", __doc__, args))


def run(config: ReadmeConfig) -> int:
    """Keep a demo's rows where one is named, then write every page whose figures changed."""
    if config.run:
        require_place((ROOT / "README.md").read_text(encoding="utf-8"))
        keep(RunFolder(config.run))

    for page in pages():
        text = page.read_text(encoding="utf-8")
        filled = filled_in(text)
        if filled != text:
            write_text(page, filled)
            print(f"{page.relative_to(ROOT)}: figures of benchmarks/studies/results filled in", flush=True)
    return 0


def keep(run: RunFolder, results: Path = RESULTS) -> None:
    """Keep a demo's rows as demo.json; RunError unless its benchmarks are finished."""
    stage = run.stage_file("benchmarks")
    # `make benchmarks` alone measures all alternatives; the demo stops at one.
    line = "make demo" if stage.config["alternatives"] != "all" else "make demo && make benchmarks RUN=runs/demo"
    record = BenchmarksRecord.of(stage)
    about = {"command": line, "caption": record.caption, "machine": record.machine}
    write_json(results / "demo.json", about | {"rows": to_json(read_results(run.results))})


if __name__ == "__main__":
    command.start(main)
