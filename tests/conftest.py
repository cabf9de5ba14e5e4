"""Fixtures that several rooms share, and which tests `make test` keeps in one process."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from pocketmood import presets
from tests.helpers import ROOT, tiny


class Groups(LoadFileScheduling):
    """Deals a file of tests at a time; files that ask for `exported_run` go to one process, so that it is made once.

    pytest-xdist's own groups (3.8, --dist=loadgroup) do nothing under pytest 9.2, and say nothing either.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group(super()._split_scope(nodeid))


@functools.cache
def group(file: str) -> str:
    """Name the tests that stay together with those of a file."""
    return "exported_run" if "exported_run" in (ROOT / file).read_text(encoding="utf-8") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups:
    """Replace the scheduler of --dist=loadfile, which is the only one that `make test` asks for."""
    return Groups(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put files with slow tests first where two processes share the work: the last to start makes the other idle."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def no_preset_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget which preset the command line of an earlier test named: messages say it."""
    monkeypatch.setattr(presets, "_chosen", [])


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
    from tests.helpers import export_fixtures

    run = export_fixtures.make_run(tmp_path_factory.mktemp("exported"))
    if export_fixtures.export(run) != 0:
        raise RuntimeError(f"the tiny student could not be exported; see {run / 'bundle.part'}")
    return run
