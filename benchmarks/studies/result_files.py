"""A study's result as two files, JSON for programs and Markdown for people, with the command that made them on top.

The command line of a study has the shape of every command; what it adds is that the result quotes it:

    def main(args=None) -> int:
        return run(*parse_command(Config, "benchmarks.studies.thing", __doc__, args))

    def run(config, typed) -> int:        measures; ends with write_result(config.out, title, typed, values, parts)
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pocketmood import command
from pocketmood.runs import write_json, write_text

RESULTS = Path("benchmarks/studies/results")
"""Where stored results lie in a checkout; studies write there unless told otherwise."""
Config = TypeVar("Config")


def parse_command(
    config: type[Config] | Mapping[str, Config],
    module: str,
    description: str | None,
    args: Sequence[str] | None = None,
    positional: bool = False,
) -> tuple[Config, str]:
    """Read a study's command line; returns its config, and what to type to make the result again."""
    words = sys.argv[1:] if args is None else list(args)
    parsed = command.parse(config, f"python -m {module}", description, words, positional)
    return parsed, command_line(module, words)


def command_line(module: str, args: Sequence[str]) -> str:
    """Return what to type to make a result again; a path outside the working folder shrinks to its last name."""
    return shlex.join(["python", "-m", module, *(_portable(arg) for arg in args)])


def write_result(out: Path, title: str, typed: str, values: Mapping[str, Any], parts: Sequence[str]) -> None:
    """Write `out`.json and `out`.md; typed: the command; parts: paragraphs and tables of the Markdown file."""
    # `with_name`, because `with_suffix` would take the end of a name like student-1.5 for a suffix.
    write_json(out.with_name(out.name + ".json"), {"command": typed, **values})
    text = "\n\n".join([f"# {title}", f"    {typed}", *parts])
    write_text(out.with_name(out.name + ".md"), text + "\n")


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table: the first column is text, all others are numbers."""
    rule = ["---", *("---:" for _ in headings[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (headings, rule, *rows))


def _portable(arg: str) -> str:
    path = Path(arg)
    if not path.is_absolute():
        return arg
    # A stored result is read on other machines: the folders of this one say nothing there.
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else path.name
