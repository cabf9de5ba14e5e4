"""Fixtures that several rooms share, and which tests `make test` keeps in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deal whole groups of tests to pytest-xdist's processes, so that what a group shares is made once.

    Groups with slow tests go first: one that starts last leaves the other process idle.
    """
    if not hasattr(config, "workerinput"):
        return
    slow = {_group(item) for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: _group(item) not in slow)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    """Name what a test shares with others: the costly bundle, or else its file."""
    fixtures = getattr(item, "fixturenames", ())
    return "exported_run" if "exported_run" in fixtures else item.path.stem


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


@pytest.fixture(scope="session")
def exported_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with a finished bundle of the tiny student; read it, never write into it."""
    from tests import export_fixtures

    run = export_fixtures.make_run(tmp_path_factory.mktemp("exported"))
    if export_fixtures.export(run) != 0:
        raise RuntimeError(f"the tiny student could not be exported; see {run / 'bundle.part'}")
    return run
