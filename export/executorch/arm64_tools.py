"""Tools to run ARM64 programs on another computer: a cross compiler, an emulator, and the ARM64 runtime.

Compilers and emulator come from Debian's packages, the runtime from the ARM64 wheel of the executorch version that
`requirements.lock` pins, checked against the lock's hashes.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from export.native import CACHE, Machine
from pocketmood.errors import ExportError

PLACE = "arm64 (qemu)"
LOCK = Path(__file__).resolve().parents[2] / "requirements.lock"
WHEELS = CACHE.with_name("arm64")
COMPILER, EMULATOR, SYSROOT = "aarch64-linux-gnu-g++", "qemu-aarch64-static", "/usr/aarch64-linux-gnu"
PACKAGES = {"g++": "g++", COMPILER: "g++-aarch64-linux-gnu", EMULATOR: "qemu-user-static"}
"""Program -> Debian package; the first builds the runner for this machine, whose predictions are compared with."""
CPU = "cortex-a76"
"""A phone's core with int8 dot products. Not `max`: qemu 7.2 then gives wrong int8 results."""
PLATFORM = "aarch64-manylinux_2_28"
INSTALL_LIMIT_S = 600


class NotHereError(ExportError):
    """ARM64 programs cannot be run here, nor the tools for it be had; the message says why."""


def arm64() -> Machine:
    """Return the emulated ARM64 machine; tools that are missing are installed where that is possible."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise NotHereError(f"compares with x86-64 on Linux, and this is {platform.system()} {platform.machine()}")
    install([package for program, package in PACKAGES.items() if not shutil.which(program)])
    # `-L` tells where the ARM64 loader and C library lie, which the cross compiler brought.
    emulator = (shutil.which(EMULATOR) or EMULATOR, "-cpu", CPU, "-L", SYSROOT)
    return Machine(PLACE, shutil.which(COMPILER) or COMPILER, runtime() / "executorch", emulator)


def install(packages: list[str]) -> None:
    """Install Debian packages; NotHereError names them where that cannot be done."""
    if not packages:
        return
    names = " ".join(packages)
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise NotHereError(f"{names} not installed; as root on Debian or Ubuntu: apt-get install {names}")
    print(f"arm64: installing {names}", flush=True)
    # Where the lists cannot be renewed, those that are here may do.
    _call(["apt-get", "-qq", "update"])
    options = ("-qq", "-y", "--no-install-recommends", "-o", f"DPkg::Lock::Timeout={INSTALL_LIMIT_S // 2}")
    failure = _call(["apt-get", "install", *options, *packages], {"DEBIAN_FRONTEND": "noninteractive"})
    if failure:
        raise NotHereError(f"{names} could not be installed: {failure.splitlines()[-1]}")


def runtime() -> Path:
    """Return the folder of the unpacked ARM64 wheel; it is fetched once per locked version (17 MB)."""
    version, block = locked("executorch", LOCK.read_text())
    folder = WHEELS / f"executorch-{version}"
    if folder.is_dir():
        return folder
    uv = Path(sys.executable).with_name("uv")
    if not uv.is_file():
        raise NotHereError(f"{uv}: not found, so the ARM64 runtime cannot be fetched; type `make setup`")
    print(f"arm64: fetching executorch {version} for {PLATFORM}", flush=True)
    WHEELS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="executorch.", dir=WHEELS) as name:
        # Unpacked beside its place and renamed: a download cut short leaves nothing that looks whole.
        wanted, part = Path(name) / "executorch.lock", Path(name) / "unpacked"
        wanted.write_text(block)
        command = [str(uv), "pip", "install", "--quiet", "--target", str(part), "--python-platform", PLATFORM]
        failure = _call([*command, "--no-deps", "--require-hashes", "-r", str(wanted)])
        if "Hash mismatch" in failure:  # no want of a network: somebody offers another wheel than the one we know
            raise ExportError(f"executorch {version} for {PLATFORM}: the wheel offered has none of the lock's hashes")
        if failure:
            reason = failure.splitlines()[-1].strip()
            raise NotHereError(f"executorch {version} for {PLATFORM} could not be fetched: {reason}")
        part.rename(folder)
    return folder


def locked(name: str, lock: str) -> tuple[str, str]:
    """Return the version of a package and its lines, with all hashes, from the text of a lock file."""
    found = re.search(rf"^{re.escape(name)}==([^ ;\\]+).*\n(?:[ ].*\n?)*", lock, re.MULTILINE)
    if not found:
        raise ExportError(f"requirements.lock: no {name} in it; type `make lock`")
    return found[1], found[0]


def _call(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Run a command quietly; return "" or what it complains of."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=INSTALL_LIMIT_S,
            env=os.environ | (environment or {}),
        )
    except subprocess.TimeoutExpired:
        return f"no end after {INSTALL_LIMIT_S} s"
    if not done.returncode:
        return ""
    return (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
