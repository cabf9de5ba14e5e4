"""The house stays as drawn: imports flow downhill, the tree is true, files are small, the lock is whole."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pocketmood import cli
from tests.helpers import ROOT
from tools.house import (
    MAX_FILE_LINES,
    ROOMS,
    files,
    measure,
    module_of,
    room_of_module,
)

HEAVY = {
    "accelerate", "coremltools", "executorch", "librosa", "matplotlib", "onnx", "onnxscript", "pretty_midi", "scipy",
    "soundfile", "soxr", "symusic", "timm", "torch", "torchao", "torchvision", "transformers", "tyro",
}  # fmt: skip
COMMENTS = 4.0
"""Comments per 100 lines of code that every room has at least; each says why."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, top_only: bool = False) -> Iterator[str]:
    """Yield the dotted names that a file imports: anywhere, or only what runs when it is itself imported."""
    for node in top_statements(parsed(path)) if top_only else ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top_statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes outside of functions and of `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from top_statements(child)


def own_file(module: str) -> Path | None:
    """Return the file behind `room.module` or `room.module.name`, if it is ours."""
    parts = module.split(".")
    while parts:
        for path in (ROOT.joinpath(*parts).with_suffix(".py"), ROOT.joinpath(*parts, "__init__.py")):
            if path.is_file():
                return path
        parts.pop()
    return None


def heavy_chain(path: Path, seen: set[Path]) -> list[str]:
    """Follow what importing a file runs; return the way to the first heavy library, or nothing."""
    seen.add(path)
    for module in imports(path, top_only=True):
        if module.split(".")[0] in HEAVY:
            return [name_of(path), module]
        target = own_file(module) if module.split(".")[0] in ROOMS else None
        if target and target not in seen and (chain := heavy_chain(target, seen)):
            return [name_of(path), *chain]
    return []


def test_imports_flow_downhill() -> None:
    climbs = [
        f"{name_of(path)} imports {module}"
        for height, room in enumerate(ROOMS)
        for path in files(room)
        for module in imports(path)
        if room_of_module(module) in ROOMS[height + 1 :] or module.split(".")[0] in ("tests", "tools")
    ]
    assert climbs == []


def test_the_student_knows_of_the_teacher_only_its_soft_targets() -> None:
    known = [
        f"{name_of(path)}: {module}"
        for path in files("student")
        for module in imports(path)
        if module.split(".")[0] == "teacher" and not module.startswith("teacher.soft_targets.")
    ]
    assert known == []


@pytest.mark.parametrize("source", ["from student.losses import total", "def f():\n    import student.losses"])
def test_an_import_uphill_would_be_seen(tmp_path: Path, source: str) -> None:
    (tmp_path / "a.py").write_text(source)
    assert [module.split(".")[0] for module in imports(tmp_path / "a.py")] == ["student"]


def test_help_and_predict_import_nothing_heavy() -> None:
    light = [*(path for path in files(*ROOMS) if path.stem in {"config", "__main__", "__init__"})]
    light += [ROOT / "pocketmood" / f"{name}.py" for name in ("cli", "command", "audio", "bundle", "emotion", "spec")]
    assert {path.parent.name for path in light} >= {room.split(".")[0] for room in ROOMS}
    assert [" <- ".join(reversed(chain)) for path in light if (chain := heavy_chain(path, set()))] == []


def test_no_file_is_long() -> None:
    counts = {name_of(path): len(path.read_text().splitlines()) for path in files(*ROOMS, "tests", "tools")}
    counts |= {name_of(path): len(path.read_text().splitlines()) for path in (ROOT / "android").rglob("*.kt")}
    assert {name: lines for name, lines in counts.items() if lines > MAX_FILE_LINES} == {}


def test_no_function_is_long_or_wide() -> None:
    measured = [measure(path) for path in files(*ROOMS, "tools")]
    assert {name_of(file.path): file.long for file in measured if file.long} == {}
    assert {name_of(file.path): file.wide for file in measured if file.wide} == {}


@pytest.mark.parametrize("room", [*ROOMS, "tools"])
def test_comments_say_why_often_enough(room: str) -> None:
    measured = [measure(path) for path in files(room)]
    assert 100 * sum(file.comments for file in measured) >= COMMENTS * sum(file.code_lines for file in measured)


def test_one_place_joins_the_names_of_stages() -> None:
    joined = {name_of(path): found for path in files(*ROOMS, "tools") if (found := measure(path).stage_joins)}
    assert joined == {}  # RunFolder joins them out of STAGES


def test_no_room_names_a_path_in_anothers_folder() -> None:
    """A result of a study belongs to the studies, the app's assets to the app: others are handed the path."""
    tops = {room.split(".")[0] for room in ROOMS} | {"android", "docs"}
    foreign = [
        f"{name_of(path)}: {node.value}"
        for path in files(*ROOMS)
        if path.name != "archive.py"  # what it leaves out lies in a run's folders, which have the same names
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[\w./-]+", node.value)
        if node.value.split("/")[0] in tops and "/" in node.value
        if not node.value.startswith("/".join((room_of_module(module_of(path)) or "").split(".")))
    ]
    assert foreign == []


def test_every_main_is_a_program() -> None:
    """Python runs a `main` of its own accord only where the file ends in a guard, or the command `pocketmood` asks."""
    delegated = {*cli.DELEGATED.values(), "pocketmood.cli"}
    idle = [
        name_of(path)
        for path in files(*ROOMS, "tools")
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in parsed(path).body)
        if 'if __name__ == "__main__":' not in path.read_text() and module_of(path) not in delegated
    ]
    assert idle == []


def test_every_program_starts_as_command_py_says() -> None:
    """`main(args=None)` parses, `run(config)` works, `command.start(main)` turns known errors into one line."""
    mains = {
        name_of(path): ast.unparse(node.args)
        for path in files(*ROOMS, "tools")
        for node in parsed(path).body
        if isinstance(node, ast.FunctionDef) and node.name == "main"
    }
    assert {name: args for name, args in mains.items() if not re.fullmatch(r"args: [^,=]+=None", args)} == {}
    ends = {
        name_of(path): path.read_text().rsplit('if __name__ == "__main__":', 1)[1].strip().splitlines()[-1].strip()
        for path in files(*ROOMS, "tools")
        if 'if __name__ == "__main__":' in path.read_text() and path.name != "command.py"  # its docstring shows one
    }
    assert {
        name: end for name, end in ends.items() if end not in ("command.start(main)", "start(main)", "start()")
    } == {}
    by_hand = re.compile(r"import argparse|ArgumentParser\(|= sys\.argv")
    parsers = [name_of(path) for path in files(*ROOMS, "tools") if by_hand.search(path.read_text())]
    # result_files.py parses by command.py, and reads the words for its result to quote.
    by_command = ["benchmarks/memory.py", "benchmarks/studies/result_files.py"]
    assert parsers == [*by_command, *(f"pocketmood/{name}.py" for name in ("archive", "cli", "command"))]


def tree() -> dict[str, str]:
    """Return the tree: path -> what it says about it. Folders end with a slash, files are indented below."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- tree -->\s*```\w*\n(.*?)```", text, re.DOTALL)
    assert block, "docs/architecture.md has no tree: a code block after <!-- tree -->"
    found: dict[str, str] = {}
    folders: list[str] = []
    for line in block[1].splitlines():
        matched = re.match(r"( *)(\S+)  +(\S.*)$", line)
        assert matched, f"docs/architecture.md, tree: cannot read {line!r}"
        depth = len(matched[1]) // 2
        folders = folders[:depth]
        path = "".join(folders) + matched[2]
        assert path not in found, f"docs/architecture.md, tree: {path} stands there twice"
        found[path] = matched[3]
        if path.endswith("/"):
            folders.append(matched[2])
    return found


def test_every_path_of_the_tree_exists() -> None:
    assert [path for path in tree() if not (ROOT / path).exists()] == []
    assert [path for path in tree() if path.endswith("/") != (ROOT / path).is_dir()] == []


def test_every_product_file_is_in_the_tree() -> None:
    there = {name_of(path) for path in files(*ROOMS) if path.name != "__init__.py"}
    there |= {"Makefile", "pyproject.toml", "requirements.in", "requirements.lock", ".ci/run"}
    assert sorted(there - set(tree())) == []


def test_every_command_of_the_readme_is_a_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())  # type: ignore[index]
    assert targets == phony
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        commands = re.findall(r"(?:^|`)make((?: [a-z0-9-]+\b(?!=))+)", text, re.MULTILINE)
        assert {word for command in commands for word in command.split()} <= targets


def test_nothing_is_unpickled() -> None:
    calls = re.compile(r"\btorch\.load\(|\bpickle\.loads?\(|allow_pickle=True|weights_only=False|\bjoblib\.load\(")
    assert [name_of(path) for path in files(*ROOMS) if calls.search(path.read_text())] == []
