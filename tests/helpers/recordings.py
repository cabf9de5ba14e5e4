"""Recorded music for tests, from Debian's packages: played and produced by people, not rendered by this project.

`make recordings` fetches it (`pocketmood.data.recordings --few`); `pocketmood/data/recording_packages.py` has packages
and licences. The music is used by tests on this machine only and never redistributed.
"""

from __future__ import annotations

from pathlib import Path

from pocketmood.data.recording_packages import FEW
from pocketmood.data.recordings import FEWEST_FOR_TESTS, FOLDER, SUFFIXES
from tests.helpers import ROOT

COMMAND = "make recordings"


def pieces() -> list[Path]:
    """Return the fetched pieces in a fixed order; empty where nothing was fetched."""
    folders = [ROOT / FOLDER / package.name for package in FEW]
    return sorted(path for folder in folders for path in folder.glob("*") if path.suffix in SUFFIXES)


def missing() -> str:
    """Say why a test on recorded music cannot run and what to type, or "" where it can."""
    found = len(pieces())
    if found >= FEWEST_FOR_TESTS:
        return ""
    return f"{found} of at least {FEWEST_FOR_TESTS} recorded pieces are here; type `{COMMAND}`"
