"""README.md, CONTRIBUTING.md and docs/ lead somewhere: commands, flags, files and links that they name exist."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from tests.helpers import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md"))]
WITH_COMMANDS = [*PAGES, "CHANGELOG.md", "android/README.md", "Makefile", ".github/workflows/ci.yml"]
WITH_COMMANDS += [".github/workflows/gate.yml", ".ci/run"]
ROOMS = "pocketmood|teacher|student|export|benchmarks|tools|tests"
COMMAND = re.compile(rf"(?:python|\$\(PY\)|\$PY|\$python) -m (?P<module>(?:{ROOMS})\b[\w.]*)(?P<words>[^`|;#\n]*)")
PREDICT = re.compile(r"pocketmood (?P<command>predict|data|render|archive)\b(?P<words>[^`|;#\n]*)")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9.-]*")
PATH = re.compile(rf"`((?:{ROOMS}|android|docs|\.ci|\.github)/[\w./-]+|[A-Z]+\.md|pyproject\.toml)`")


def without_old_names(text: str) -> str:
    """Leave out the first column of the changelog's tables of what things were called before."""
    tables = re.compile(r"^\| before \| now \|\n(?:\|.*\n)+", re.MULTILINE)
    return tables.sub(lambda table: re.sub(r"^\| [^|]*\|", "|", table[0], flags=re.MULTILINE), text)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@functools.cache
def help_of(module: str, *words: str) -> str:
    """Return what a command prints for --help, as a wide terminal would show it."""
    printed = io.StringIO()
    main = importlib.import_module(module).main
    with (
        mock.patch.dict(os.environ, COLUMNS="240"),  # tyro would break a long flag over two lines
        mock.patch.object(sys, "argv", [module, *words, "--help"]),
        contextlib.redirect_stdout(printed),
        pytest.raises(SystemExit) as end,
    ):
        main()
    assert end.value.code in (0, None)
    return printed.getvalue()


def commands(page: str) -> Iterator[tuple[str, str]]:
    """Yield every command of a page as its module and the words behind it."""
    text = text_of(page).replace("\\\n", " ")  # a command of the Makefile may go on in the next line
    text = without_old_names(text)
    for match in COMMAND.finditer(text):
        yield match["module"], match["words"]
    for match in PREDICT.finditer(text):
        yield "pocketmood.cli", f"{match['command']}{match['words']}"


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_command_of_a_page_exists(page: str) -> None:
    missing = []
    for module, _ in commands(page):
        path = ROOT.joinpath(*module.split("."))
        files = [path.with_suffix(".py"), path / "__main__.py"]
        runs = any(file.is_file() and "__main__" in f"{file.name}{file.read_text()}" for file in files)
        missing += [] if runs or module == "pocketmood.cli" else [module]
    assert missing == []


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_flag_behind_a_command_exists(page: str) -> None:
    unknown = []
    for module, words in commands(page):
        first = [word for word in words.split()[:1] if module in ("pocketmood", "pocketmood.cli") and word.isalpha()]
        entry = module if (ROOT.joinpath(*module.split(".")).with_suffix(".py")).is_file() else f"{module}.__main__"
        for flag in set(FLAG.findall(words)) - {"--help"}:
            known = FLAG.findall(help_of("pocketmood.cli" if first else entry, *first))
            unknown += [] if flag.rstrip(".") in known else [f"{module} {' '.join(first)} {flag}"]
    assert unknown == []


def test_an_unknown_flag_would_be_seen() -> None:
    known = FLAG.findall(help_of("tools.readme"))
    assert "--run" in known and "--no-such-flag" not in known


@pytest.mark.parametrize("page", [page for page in WITH_COMMANDS if page.endswith(".md")])
def test_every_target_and_variable_of_a_page_is_the_makefiles(page: str) -> None:
    makefile = text_of("Makefile")
    targets = set(re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE))
    variables = {
        *re.findall(r"^(?:export )?([A-Z_]+) +\?=", makefile, re.MULTILINE),
        "PYTHON",
    }  # PYTHON: tools/setup.sh reads it
    commands_ = re.findall(r"(?:^|`)make((?: (?:[a-z0-9-]+\b(?!=)|[A-Z_]+=[^ `\n]+))+)", text_of(page), re.MULTILINE)
    words = [word for command in commands_ for word in command.split()]
    assert {word for word in words if "=" not in word} <= targets
    assert {word.split("=")[0] for word in words if "=" in word} <= variables


def test_old_names_of_the_changelog_are_no_commands() -> None:
    text = "`a -m x`\n\n| before | now |\n| --- | --- |\n| `a -m old` | `a -m new` |\n\n| `a -m y` | |\n"
    kept = without_old_names(text)
    assert "old" not in kept and all(word in kept for word in ("a -m x", "a -m new", "a -m y"))


@pytest.mark.parametrize("page", [*PAGES, "android/README.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)|<img src=\"([^\"]+)\"", text_of(page))
    broken = []
    for target in filter(None, (link for pair in links for link in pair)):
        if target.startswith("https://"):
            continue
        file, _, heading = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        if not path.exists() or (heading and heading not in anchors(path)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """Return the names that a forge gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    assert [name for name in PATH.findall(text_of(page)) if not (ROOT / name).exists()] == []


def test_every_name_behind_a_file_of_the_architecture_is_in_it() -> None:
    """`pocketmood/spec.py`, `mel_filters`: a name follows the file that it stands in."""
    found, missing = 0, []
    for line in text_of("docs/architecture.md").partition("<!-- tree -->")[0].splitlines():
        file = ""
        for span in re.findall(r"`([^`]+)`", line if line.startswith("| ") else ""):
            if re.fullmatch(r"[\w/]+/[\w.]+\.(?:py|kt)", span) and (ROOT / span).is_file():
                file = span
            elif file and re.fullmatch(r"[A-Za-z_]\w{4,}(?:\(\))?", span):
                found += 1
                missing += [] if span.removesuffix("()") in text_of(file) else [f"{span} in {file}"]
    assert missing == []
    assert found >= 15


def test_every_page_is_named_by_the_readme() -> None:
    assert [page for page in PAGES[1:] if f"]({page})" not in text_of("README.md")] == []
