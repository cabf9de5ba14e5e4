"""One version: the package's, which the app, its build for tests and the changelog repeat."""

from __future__ import annotations

import re

import pytest

import pocketmood
from tests.helpers import ROOT

REPEATED = {
    "CHANGELOG.md": r"^## (\S+)",
    "android/app/build.gradle.kts": r'versionName = "(.*)"',
    "android/pom.xml": r"<artifactId>app</artifactId>\s*<version>(.*)</version>",
    "android/tests/kotlin/org/pocketmood/ui/ScreenshotsTest.kt": r'exporter = "pocketmood (.*?)"',
    "tools/android.sh": r"--version-name (\S+)",
}
"""Files that state the version, and where: none of them can read pocketmood/__init__.py."""


@pytest.mark.parametrize("name", REPEATED)
def test_the_version_is_the_packages_everywhere(name: str) -> None:
    found = re.search(REPEATED[name], (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{name} states no version where this test looks"
    assert found[1] == pocketmood.__version__
