"""A result as two files, JSON for programs and Markdown for people, with the command that made them at the top."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pocketmood.runs import write_json, write_text


def command_line(module: str, args: Sequence[str]) -> str:
    """Return what to type to make a result again; a path outside the working folder shrinks to its last name."""
    return shlex.join(["python", "-m", module, *(_portable(arg) for arg in args)])


def write_result(out: Path, title: str, command: str, values: Mapping[str, Any], parts: Sequence[str]) -> None:
    """Write `out`.json and `out`.md; parts: paragraphs and tables of the Markdown file."""
    write_json(out.with_name(out.name + ".json"), {"command": command, **values})
    text = "\n\n".join([f"# {title}", f"    {command}", *parts])
    write_text(out.with_name(out.name + ".md"), text + "\n")


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table: the first column is text, all others are numbers."""
    rule = ["---", *("---:" for _ in headings[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (headings, rule, *rows))


def _portable(arg: str) -> str:
    path = Path(arg)
    if not path.is_absolute():
        return arg
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else path.name
