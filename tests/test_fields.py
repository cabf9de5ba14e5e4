"""Every field of every dataclass says what it is, in a string below it.

Fields of one type on consecutive lines may share the string below the last of them, as `low` and `high` do.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.helpers import ROOT
from tools.house import ROOMS, files

FIELD = "@dataclass(frozen=True)\nclass A:\n    a: int\n"


def silent_fields(tree: ast.AST) -> Iterator[str]:
    """Yield `Class.field` for each field without a string of its own or of its group."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(mark) for mark in node.decorator_list):
            yield from (f"{node.name}.{name}" for name in silent_names(node.body))


def silent_names(body: list[ast.stmt]) -> Iterator[str]:
    for place, statement in enumerate(body):
        if not isinstance(statement, ast.AnnAssign) or "ClassVar" in ast.unparse(statement.annotation):
            continue
        kind, last = ast.unparse(statement.annotation), statement
        for after in body[place + 1 :]:
            if not (isinstance(after, ast.AnnAssign) and ast.unparse(after.annotation) == kind):
                break
            if after.lineno != (last.end_lineno or 0) + 1:
                break
            last = after
        below = body[body.index(last) + 1 :][:1]
        if not (below and isinstance(below[0], ast.Expr) and isinstance(below[0].value, ast.Constant)):
            yield ast.unparse(statement.target)


@pytest.mark.parametrize("room", [*ROOMS, "tools"])
def test_every_field_says_what_it_is(room: str) -> None:
    found = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files(room)}
    silent = [f"{name}: {field}" for name, text in found.items() for field in silent_fields(ast.parse(text))]
    assert silent == []


@pytest.mark.parametrize(
    ("source", "silent"),
    [
        (FIELD, ["A.a"]),
        (FIELD + '    """It."""\n', []),
        (FIELD + '    b: int = 0\n    """Both."""\n', []),
        (FIELD + '    b: str\n    """The latter."""\n', ["A.a"]),
        (FIELD + '\n    b: int\n    """The latter."""\n', ["A.a"]),
        (FIELD + "    b: ClassVar[int] = 0\n", ["A.a"]),
        (FIELD + "    # It.\n    def f(self) -> None: ...\n", ["A.a"]),
        ("class A:\n    a: int\n", []),
    ],
)
def test_a_silent_field_is_seen(source: str, silent: list[str]) -> None:
    assert list(silent_fields(ast.parse(source))) == silent
