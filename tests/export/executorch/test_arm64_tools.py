"""Finding and fetching what ARM64 needs, with faked tools: what can be had, what cannot, and what must not pass."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path

import pytest

from export.executorch import arm64_tools
from export.executorch.arm64_tools import NotHereError
from pocketmood.errors import ExportError

LOCK = """\
einops==1.0 \\
    --hash=sha256:aa
    # via us
executorch==1.5.1 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
    # via -r requirements.in
expecttest==0.3.0 \\
    --hash=sha256:dd
"""


def fake(folder: Path, name: str, script: str) -> Path:
    """Write a shell script that stands for a program."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_lock_gives_version_and_hashes_of_one_package() -> None:
    version, block = arm64_tools.locked("executorch", LOCK)
    assert version == "1.5.1"
    assert "sha256:bb" in block and "sha256:cc" in block
    assert "sha256:aa" not in block and "sha256:dd" not in block
    with pytest.raises(ExportError, match=r"requirements\.lock: no torch in it"):
        arm64_tools.locked("torch", LOCK)


def test_the_lock_of_this_project_pins_executorch() -> None:
    version, block = arm64_tools.locked("executorch", arm64_tools.LOCK.read_text())
    assert version[0].isdigit() and block.count("--hash=sha256:") > 5


def test_other_systems_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    with pytest.raises(NotHereError, match="this is Darwin arm64"):
        arm64_tools.arm64()


def test_without_root_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotHereError, match="as root on Debian or Ubuntu: apt-get install qemu-user-static"):
        arm64_tools.install(["qemu-user-static"])


def test_packages_are_installed_with_fresh_lists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / "log"
    fake(tmp_path / "bin", "apt-get", f'echo "$@" >> {log}')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    arm64_tools.install([])
    assert not log.exists()
    arm64_tools.install(["qemu-user-static", "g++"])
    update, install = log.read_text().splitlines()
    assert update == "-qq update" and install.startswith("install ") and install.endswith("qemu-user-static g++")


def test_a_package_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(tmp_path / "bin", "apt-get", "echo 'E: Unable to locate package' >&2; exit 100")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(NotHereError, match="g\\+\\+ could not be installed: E: Unable to locate package"):
        arm64_tools.install(["g++"])


@pytest.fixture
def uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a folder where a fake `uv` may be put; wheels go to a folder of the test's own."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr(arm64_tools, "WHEELS", tmp_path / "wheels")
    return tmp_path / "bin"


def test_the_wheel_is_fetched_once_and_by_hash(uv: Path, tmp_path: Path) -> None:
    # Keeps its command line, and unpacks an empty wheel where --target says.
    fake(uv, "uv", f'echo "$@" >> {tmp_path / "log"}; mkdir -p "$5/executorch"')
    first = arm64_tools.runtime()
    assert arm64_tools.runtime() == first and (first / "executorch").is_dir()
    (words,) = (tmp_path / "log").read_text().splitlines()
    assert "--require-hashes" in words and "--no-deps" in words and arm64_tools.PLATFORM in words
    assert [path.name for path in (tmp_path / "wheels").iterdir()] == [first.name]


@pytest.mark.parametrize(
    ("complaint", "error", "reason"),
    [
        ("error: request failed\n  cause: no route to host", NotHereError, "could not be fetched: cause: no route"),
        ("Hash mismatch for executorch\n  Computed: 00", ExportError, "the wheel offered has none of the lock's"),
    ],
)
def test_a_wheel_that_cannot_be_had_or_trusted(uv: Path, complaint: str, error: type[Exception], reason: str) -> None:
    fake(uv, "uv", f"printf '{complaint}' >&2; exit 1".replace("\n", "\\n").replace("lock's", "lock"))
    with pytest.raises(ExportError, match=reason) as caught:
        arm64_tools.runtime()
    assert caught.type is error
    assert not [path for path in arm64_tools.WHEELS.iterdir() if path.name.startswith("executorch-")]


def test_without_uv_it_says_so(uv: Path) -> None:
    with pytest.raises(NotHereError, match=r"uv: not found.*make setup"):
        arm64_tools.runtime()


def test_with_all_tools_the_machine_is_a_phones_core(uv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    fake(uv, "uv", 'mkdir -p "$5/executorch"')
    machine = arm64_tools.arm64()
    assert machine.compiler == "/bin/aarch64-linux-gnu-g++" and machine.executorch.name == "executorch"
    assert machine.emulator[:3] == ("/bin/qemu-aarch64-static", "-cpu", "cortex-a76")
