"""Fixtures that several rooms share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder with a finished data stage of 24 songs; read it, never write into it."""
    return tiny.make_data(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny_run(tiny_data: Path, tmp_path: Path) -> Path:
    """Return a run folder of the test's own, whose data stage is the shared one."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "data").symlink_to(tiny_data / "data", target_is_directory=True)
    return run
