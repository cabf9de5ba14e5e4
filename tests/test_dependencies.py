"""What the project asks for: every library that a room imports is declared for it, and the lock pins them all."""

from __future__ import annotations

import re
import sys
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers import ROOT
from tests.test_house import imports, name_of
from tools.house import ROOMS, files

EXTRAS = {
    # `programs` opens `.pte` files where ExecuTorch is installed; `mel` and the commands are the training's.
    "pocketmood": ("train", "export"),
    "pocketmood.data": ("train", "demo", "parquet"),
    "pocketmood.training": ("train",),
    "teacher": ("train",),
    "student": ("train",),
    "export": ("train", "export"),
    "benchmarks": ("train", "export", "report"),
    "benchmarks.studies": ("train", "export", "report"),
}
"""The extras of pyproject.toml that a room may import from."""
NOT_LOCKED = {"parquet"}
"""Extras that the lock leaves out: 55 MB for a file format that few tables of ratings have."""
PUBLISHED_AS = {"sklearn": "scikit-learn", "vl_convert": "vl-convert-python"}
"""Names of packages that are imported under another one."""


def test_every_library_that_a_room_imports_is_declared_for_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # `_typeshed` is a type checker's own, imported under TYPE_CHECKING alone.
    known = {room.split(".")[0] for room in ROOMS} | sys.stdlib_module_names | {"_typeshed"}
    undeclared = []
    for room in ROOMS:
        lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in EXTRAS[room])]
        declared = {canonicalize_name(Requirement(line).name) for group in lists for line in group}
        for path in files(room):
            for library in {module.split(".")[0] for module in imports(path)} - known:
                name = canonicalize_name(PUBLISHED_AS.get(library, library))
                undeclared += [] if name in declared else [f"{name_of(path)}: {name}"]
    assert undeclared == []


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    matches = [re.match(r"([A-Za-z0-9._-]+)(?:\[.*\])?==([^ ;\\]+)", line) for line in lines]
    return {canonicalize_name(match[1]): match[2] for match in matches if match}


def test_the_lock_names_no_host_and_hashes_everything() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert not re.search(r"^--|\s/", text, re.MULTILINE)  # --index-url, --find-links; paths of some machine
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)[1:]
    assert len(blocks) == len(re.findall(r"^[A-Za-z0-9].*==", text, re.MULTILINE)) > 100
    assert [block.split("\n")[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_the_lock_pins_what_the_project_asks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [Requirement(line) for line in project["dependencies"]]
    asked += [
        Requirement(line)
        for name, extra in project["optional-dependencies"].items()
        if name not in NOT_LOCKED
        for line in extra
    ]
    locked = pins()
    assert {requirement.name for requirement in asked if canonicalize_name(requirement.name) not in locked} == set()
    assert [
        f"{requirement}"
        for requirement in asked
        if locked[canonicalize_name(requirement.name)] not in requirement.specifier
    ] == []


def test_the_list_behind_the_lock_is_the_projects_own() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.in").read_text().splitlines()
    listed = [Requirement(line) for line in lines if line and not line.startswith("#")]
    extras = project["optional-dependencies"]
    groups = [project["dependencies"], *(extras[name] for name in extras if name not in NOT_LOCKED)]
    assert {requirement.name for requirement in listed} == {
        Requirement(line).name for group in groups for line in group
    }
    assert [
        f"{requirement}"
        for requirement in listed
        if pins()[canonicalize_name(requirement.name)] not in requirement.specifier
    ] == []
