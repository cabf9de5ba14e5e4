"""Hostile CoreML packages: what leads out of one is refused, before coremltools is asked to open it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import coremltools
import pytest

from export.coreml import to_coreml
from export.rewrite import for_coreml
from pocketmood.errors import BundleError, ExportError
from tests.helpers import export_fixtures as tiny

PROGRAM = "com.apple.CoreML/model.mlmodel"
READERS: list[Callable[[Path], object]] = [to_coreml.read, to_coreml.read_program]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("coreml") / "model.fp32.mlpackage"
    to_coreml.write(for_coreml(tiny.pipeline()), tiny.SPEC.samples, path, tiny.promise())
    return path


@pytest.fixture
def package(written: Path, tmp_path: Path) -> Path:
    """Return a copy to be spoilt, beside a program that lies outside of it."""
    shutil.copyfile(written / "Data" / PROGRAM, tmp_path / "outside.mlmodel")
    return Path(shutil.copytree(written, tmp_path / "model.fp32.mlpackage"))


@pytest.fixture
def no_coremltools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where coremltools opens anything."""

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("coremltools was called")

    monkeypatch.setattr(coremltools.utils, "load_spec", opened)
    monkeypatch.setattr(coremltools.models, "MLModel", opened)


def point_to(package: Path, name: str) -> None:
    """Let the manifest of a package name another program."""
    manifest = package / "Manifest.json"
    manifest.write_text(manifest.read_text().replace(json.dumps(PROGRAM), json.dumps(name)))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "name", ["../../outside.mlmodel", "{folder}/outside.mlmodel", "a/../../../x", "..\\x", "", "a\0"]
)
@pytest.mark.usefixtures("no_coremltools")
def test_a_path_that_leads_out_is_refused(package: Path, reader: Callable[[Path], object], name: str) -> None:
    name = name.format(folder=package.parent)
    point_to(package, name)
    with pytest.raises(BundleError, match=r"Manifest.json names .* no part of it") as refusal:
        reader(package)
    assert repr(name) in str(refusal.value) and str(package) in str(refusal.value)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "place", [f"Data/{PROGRAM}", "Data/com.apple.CoreML/weights/weight.bin", "Data", "Manifest.json"]
)
@pytest.mark.usefixtures("no_coremltools")
def test_a_link_is_refused(package: Path, reader: Callable[[Path], object], place: str) -> None:
    outside = package.parent / "moved"
    (package / place).rename(outside)
    (package / place).symlink_to(outside)
    with pytest.raises(BundleError, match=f"{place} is a link"):
        reader(package)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "cannot be read"),
        ("[]", "is no object"),
        ('{"itemInfoEntries": {}, "rootModelIdentifier": "A"}', "names no program"),
        ('{"itemInfoEntries": {"A": {"path": "x"}, "A": {"path": "../x"}}, "rootModelIdentifier": "A"}', "twice"),
        ('{"itemInfoEntries": {"A": "x"}, "rootModelIdentifier": "A"}', "no part of it"),
        (None, "cannot be read"),
    ],
)
@pytest.mark.usefixtures("no_coremltools")
def test_a_manifest_that_says_nothing_clear_is_refused(package: Path, text: str | None, complaint: str) -> None:
    (package / "Manifest.json").unlink()
    if text is not None:
        (package / "Manifest.json").write_text(text)
    with pytest.raises(BundleError, match=complaint):
        to_coreml.read_program(package)


def test_what_is_no_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no CoreML package here"):
        to_coreml.read_program(tmp_path / "model.fp32.mlpackage")


def test_a_whole_package_is_opened_also_through_a_link(package: Path) -> None:
    link = package.parent / "linked.mlpackage"
    link.symlink_to(package)
    assert "main" in to_coreml.read_program(link)[0].functions
    if sys.platform != "darwin":
        with pytest.raises(ExportError, match="macOS only"):
            to_coreml.read(package)
