"""Figures of the house: files, lines, comments, long functions and long signatures, room by room.

`python -m tools.house` prints them, and the limits that `tests/test_house.py` holds the code to are those named here.
Code lines are lines that hold a token other than a comment or docstring; a comment counts where it stands alone or
behind code, tool directives (noqa, fmt, type) left out.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from pocketmood import command
from pocketmood.runs import STAGES

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    "pocketmood",
    "pocketmood.data",
    "pocketmood.training",
    "teacher",
    "student",
    "export",
    "benchmarks",
    "benchmarks.studies",
)
"""Downhill order: a room may import from itself and from rooms before it."""
MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 60
MANY_PARAMETERS = 7
_DIRECTIVE = re.compile(r"#\s*(noqa|fmt:|type:|pragma|ruff:|!)")
_NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


@dataclass(frozen=True)
class Figures:
    """What one Python file counts."""

    path: Path
    """The file."""
    lines: int
    """All of its lines."""
    code_lines: int
    """Those that hold code."""
    comments: int
    """Comments, tool directives left out."""
    long: tuple[str, ...]
    """Functions of more than MAX_FUNCTION_LINES lines, `name (lines)`."""
    wide: tuple[str, ...]
    """Functions of MANY_PARAMETERS parameters or more, `self` left out, `name (count)`."""
    stage_joins: tuple[str, ...]
    """Lines that join a path with the literal name of a stage, or a stage's folder with the literal name of a file."""


def room_of_module(module: str) -> str | None:
    """Return the innermost room that a dotted name belongs to; None for tests, tools and other people's."""
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len, default=None)


def files(*rooms: str) -> list[Path]:
    """List the Python files of rooms, or of any other folders; those of rooms inside a room left out."""
    found = [(room, path) for room in rooms for path in ROOT.joinpath(*room.split(".")).rglob("*.py")]
    return sorted(path for room, path in found if room_of_module(module_of(path)) in (room, None))


def module_of(path: Path) -> str:
    """Return the dotted name of a file of the checkout."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def measure(path: Path) -> Figures:
    """Count one file."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    docstrings = {line for node in _docstrings(tree) for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    code = {line for token in tokens if token.type not in _NOT_CODE for line in range(token.start[0], token.end[0] + 1)}
    comments = [token for token in tokens if token.type == tokenize.COMMENT and not _DIRECTIVE.match(token.string)]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    widths = {node.name: _parameters(node) for node in functions}
    return Figures(
        path,
        len(text.splitlines()),
        len(code - docstrings),
        len(comments),
        tuple(f"{name} ({length})" for name, length in lengths.items() if length > MAX_FUNCTION_LINES),
        tuple(f"{name} ({width})" for name, width in widths.items() if width >= MANY_PARAMETERS),
        tuple(f"line {node.lineno}" for node in ast.walk(tree) if _is_stage_join(node)),
    )


def _docstrings(tree: ast.AST) -> Iterator[ast.Expr]:
    """Yield the strings that stand as statements: docstrings, and those under fields and constants."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in arguments)


def _is_stage_join(node: ast.AST) -> TypeGuard[ast.BinOp]:
    """Tell `path / "stage"`, `path / "stage/file"`, `run.made(stage) / "file"`; below ROOT the names are of rooms."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)):
        return False
    # A literal below a stage's folder is a name that the stage's owner may change: it has a constant, or an accessor.
    called = node.left.func if isinstance(node.left, ast.Call) else None
    if isinstance(called, ast.Attribute) and called.attr in ("made", "folder"):
        return isinstance(node.right, ast.Constant | ast.JoinedStr)
    if not isinstance(node.right, ast.Constant):
        return False
    in_checkout = isinstance(node.left, ast.Name) and node.left.id == "ROOT"
    return isinstance(node.right.value, str) and node.right.value.split("/")[0] in STAGES and not in_checkout


def strict_share() -> float:
    """Return the share of the rooms' lines that mypy checks strictly, by pyproject.toml."""
    checked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["files"]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files(*ROOMS)}
    strict = sum(count for path, count in lines.items() if path.relative_to(ROOT).parts[0] in checked)
    return strict / sum(lines.values())


def test_functions() -> tuple[int, int]:
    """Count test functions in Python and in Kotlin."""
    python = sum(
        node.name.startswith("test_")
        for path in files("tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    )
    kotlin = [path.read_text(encoding="utf-8") for path in (ROOT / "android" / "tests").rglob("*.kt")]
    return python, sum(len(re.findall(r"@Test\b", text)) for text in kotlin)


@dataclass(frozen=True)
class HouseConfig:
    """The house has no dials: the figures are those of this checkout."""


def main(args: Sequence[str] | None = None) -> int:
    """Print the figures of this checkout."""
    command.parse(HouseConfig, "python -m tools.house", __doc__, args)
    run()
    return 0


def run() -> None:
    """Count everything, and print a line per room and a list per limit."""
    print(f"{'room':22}{'files':>6}{'lines':>7}{'code':>7}{'comments per 100':>18}")
    everything: list[Figures] = []
    for room in (*ROOMS, "tools", "tests"):
        measured = [measure(path) for path in files(room)]
        _row(room, measured)
        everything += measured if room in ROOMS else []
    _row("all rooms", everything)
    # What tests/test_house.py refuses: in a green checkout every list is empty.
    lists = {
        f"functions of {MANY_PARAMETERS} or more parameters": [
            (file, name) for file in everything for name in file.wide
        ],
        f"functions over {MAX_FUNCTION_LINES} lines": [(file, name) for file in everything for name in file.long],
        f"files over {MAX_FILE_LINES} lines": [(file, "") for file in everything if file.lines > MAX_FILE_LINES],
        "places that join stage names": [(file, line) for file in everything for line in file.stage_joins],
    }
    for title, places in lists.items():
        where = ", ".join(f"{file.path.relative_to(ROOT)} {what}".rstrip() for file, what in places)
        print(f"{title}: {len(places)}" + (f": {where}" if where else ""))
    python, kotlin = test_functions()
    readme = len((ROOT / "README.md").read_text(encoding="utf-8").splitlines())
    print(f"README.md: {readme} lines; mypy strict: {strict_share():.0%} of the lines")
    print(f"test functions: {python} Python, {kotlin} JVM")


def _row(name: str, measured: list[Figures]) -> None:
    code, comments = (sum(getattr(file, field) for file in measured) for field in ("code_lines", "comments"))
    lines = sum(file.lines for file in measured)
    print(f"{name:22}{len(measured):>6}{lines:>7}{code:>7}{100 * comments / max(code, 1):>18.1f}")


if __name__ == "__main__":
    command.start(main)
