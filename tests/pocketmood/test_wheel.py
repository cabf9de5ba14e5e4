"""What `pip install pocketmood` gives a user: built here, offline, and looked into."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import pocketmood
from tests.helpers import ROOT

STAGES = ("teacher", "student", "export", "benchmarks", "tests")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel from a copy of the checkout, all rooms of the house included, so that nothing is left here."""
    source = tmp_path_factory.mktemp("wheel") / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("pocketmood", *STAGES):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools.build_meta import build_wheel; build_wheel('out')"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = (source / "out").glob("*.whl")
    return zipfile.ZipFile(path)


def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_ships_pocketmood_only(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"pocketmood", f"pocketmood-{pocketmood.__version__}.dist-info"}
    shipped = {name for name in wheel.namelist() if name.startswith("pocketmood/")}
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pocketmood").rglob("*.py")}
    assert shipped - {"pocketmood/py.typed"} == there


def test_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    described = metadata(wheel)
    assert described["Name"] == "pocketmood" and described["Version"] == pocketmood.__version__
    assert described["License-Expression"] == "Apache-2.0" and described["Requires-Python"] == "<3.14,>=3.11"
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
    (entry,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert "pocketmood = pocketmood.__main__:start" in wheel.read(entry).decode()


def test_needs_little_to_predict_and_offers_extras(wheel: zipfile.ZipFile) -> None:
    described = metadata(wheel)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [line.split(";")[0] for line in described.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(name.split(">")[0] for name in needed) == ["numpy", "onnxruntime", "soundfile", "soxr"]
    assert sorted(described.get_all("Provides-Extra", [])) == sorted(project["optional-dependencies"])


def test_runs_where_it_is_installed(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); sys.argv = ['pocketmood', '--version']\n"
        "import pocketmood; print(pocketmood.__file__); from pocketmood.__main__ import start; start()"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    where, version = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert where.startswith(str(tmp_path)) and version == f"pocketmood {pocketmood.__version__}"
