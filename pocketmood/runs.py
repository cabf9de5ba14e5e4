"""Run folders: stages that finish whole or not at all, know when they are up to date, and continue after a kill.

A stage works in `<name>.part` and renames it to `<name>` at the end; `stage.json` inside tells what it was made from. A
stage whose fingerprint (config, inputs, version) is unchanged does nothing. Stages nest: the steps of a stage are
stages inside its work folder, so that a kill loses one step at most.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pocketmood import __version__, work_folder
from pocketmood.errors import RunError
from pocketmood.gpu_memory import gpu_peak
from pocketmood.records import from_json

STAGE_FILE = "stage.json"
STAGES = ("data", "teacher", "student", "bundle", "benchmarks")
"""The stages of a run in their order, and the names of their folders in it."""
STATUS_FILE = Path("/proc/self/status")
_PLAN_FILE = "plan.json"
_VERSIONED = ("numpy", "torch", "transformers", "timm", "onnxruntime", "executorch", "torchao", "coremltools", "onnx")


@dataclass(frozen=True)
class StageFile:
    """What a finished stage says of itself: its stage.json."""

    name: str
    """Name of the stage."""
    fingerprint: str
    """Hash of config, inputs and version: an input of the stages that read this one."""
    config: dict[str, Any]
    """What it was made with, `run` left out."""
    inputs: dict[str, str]
    """Name -> fingerprint of what it read."""
    record: dict[str, Any]
    """What it found; every stage of a run has a dataclass of its own for it, and so have most of their steps."""
    versions: dict[str, str]
    """Package -> version, of those that shape a result."""
    wall_s: float
    """Time that it took, since its last start."""
    peak_rss_bytes: int | None
    """Largest memory of the process; None where the system does not tell."""
    continued_after_a_stop: bool
    """True where an earlier start had been stopped: `wall_s` is then only a part."""
    peak_gpu_bytes: int | None = None
    """Largest memory that PyTorch held on the GPU, of the main process; None where none was in use."""


class Stage:
    """One step of a run: `parent/name`, made from a config and named inputs.

    config: a dataclass or dict of JSON values (paths become text); a field called `run` is left out of the
    fingerprint, so that a run folder can be moved. inputs: name -> fingerprint of what was read. has_steps: all
    work is done in nested stages, so that a changed config need not start from nothing: those of the finished or begun
    stage are offered again, and each knows whether it still fits.
    """

    def __init__(
        self,
        parent: Path,
        name: str,
        config: Any,
        inputs: Mapping[str, str] | None = None,
        has_steps: bool = False,
    ) -> None:
        """Describe the stage; nothing is written yet."""
        self.folder, self.name, self.has_steps = parent / name, name, has_steps
        self.part = parent / f"{name}.part"
        self.config = _plain(asdict(config) if is_dataclass(config) and not isinstance(config, type) else config)
        # A run that was moved or renamed is still the same run.
        self.config.pop("run", None)
        self.inputs = dict(inputs or {})
        # With the version, because new code may make other numbers of the same inputs.
        self.fingerprint = fingerprint({"config": self.config, "inputs": self.inputs, "version": __version__})
        self.record: dict[str, Any] = {}

    def up_to_date(self, quiet: bool = False) -> bool:
        """Tell whether the finished stage was made from just this; says so unless `quiet`."""
        self._finish_interrupted_rename()
        done = (self.folder / STAGE_FILE).is_file() and read_json(self.folder / STAGE_FILE)
        if not done or done.get("fingerprint") != self.fingerprint:
            return False
        self.record = done["record"]
        if not quiet:
            print(f"{self.name}: up to date", flush=True)
        return True

    @contextmanager
    def work(self) -> Iterator[Path]:
        """Yield the work folder; when the block ends well it becomes the stage, else it stays for the next try."""
        with work_folder.held(self.part):
            yield from self._work()

    def _work(self) -> Iterator[Path]:
        """Do what `work` does, in a folder that no other command has."""
        work_folder.refuse_files(self.folder)
        plan = self.part / _PLAN_FILE
        continued = plan.is_file() and read_json(plan).get("fingerprint") == self.fingerprint
        # Half of another config's work is worth nothing, unless it consists of steps that know whether they fit.
        if not continued and not self.has_steps:
            work_folder.empty(self.part)
        if not continued:
            write_json(plan, {"fingerprint": self.fingerprint})
            if self.has_steps:
                self._offer_finished_steps()

        start = time.perf_counter()
        with gpu_peak() as peak_gpu_bytes:
            yield self.part
            done = StageFile(
                self.name,
                self.fingerprint,
                self.config,
                self.inputs,
                _plain(self.record),
                versions(),
                wall_s=round(time.perf_counter() - start, 2),
                peak_rss_bytes=peak_rss_bytes(),
                continued_after_a_stop=continued,
                peak_gpu_bytes=peak_gpu_bytes(),
            )
        # stage.json is written last: its presence is what says that all the rest is there.
        write_json(self.part / STAGE_FILE, done)
        plan.unlink()
        self._finish_interrupted_rename()

    def lack(self, missing: Mapping[str, str]) -> None:
        """Let the stage finish without some of its parts, each with its reason: it is never up to date then.

        Stages that read it see another fingerprint than that of the whole, and so notice when the rest has come.
        """
        if missing:
            self.fingerprint = fingerprint({"whole": self.fingerprint, "missing": missing})

    def drop_steps(self, keep: Collection[str]) -> None:
        """Remove nested stages of earlier configs from the work folder, all but those named."""
        for done in self.part.glob(f"*/{STAGE_FILE}"):
            if done.parent.name not in keep:
                shutil.rmtree(done.parent)

    def _offer_finished_steps(self) -> None:
        """Link the nested stages of the finished stage into the work folder, where it has none of that name."""
        for done in self.folder.glob(f"*/{STAGE_FILE}"):
            step = self.part / done.parent.name
            if not step.exists():
                # Finished files are only ever replaced, never written into, so that both folders may share them.
                shutil.copytree(done.parent, step, copy_function=link_or_copy)

    def _finish_interrupted_rename(self) -> None:
        """Put a finished work folder in place; also called at the next start, for a kill between the two renames."""
        done = self.part / STAGE_FILE
        if not done.is_file() or read_json(done).get("fingerprint") != self.fingerprint:
            return
        (self.part / _PLAN_FILE).unlink(missing_ok=True)
        # The old stage steps aside before it goes, so that a kill at any point leaves a whole one behind.
        old = self.folder.with_name(f"{self.name}.old")
        if old.exists():
            shutil.rmtree(old)
        if self.folder.exists():
            self.folder.rename(old)
        self.part.rename(self.folder)
        if old.exists():
            shutil.rmtree(old)


def read_stage(folder: Path) -> StageFile:
    """Read the stage.json of a finished stage; RunError where it is missing or another version's."""
    path = folder / STAGE_FILE
    values = read_json(path)
    # One key that stages of before lack: a clip store that took hours is not made again for it.
    if isinstance(values, dict):
        values.setdefault("peak_gpu_bytes", None)
    return from_json(StageFile, values, str(path), "run its stage again")


def fingerprint(values: Any) -> str:
    """Hash JSON-like values to sixteen hex digits, independent of key order."""
    return hashlib.sha256(json.dumps(_plain(values), sort_keys=True).encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """List the versions that shape a result, of what is installed here."""
    found = {"pocketmood": __version__, "python": platform.python_version()}
    for package in _VERSIONED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def peak_rss_bytes() -> int | None:
    """Return the largest resident size of this process so far; None where the system does not tell."""
    if STATUS_FILE.exists():
        # Not getrusage: on Linux a child's ru_maxrss starts at its parent's peak, which may hold all of PyTorch.
        found = re.search(r"^VmHWM:\s+(\d+) kB$", STATUS_FILE.read_text(), re.MULTILINE)
        if found:
            return int(found.group(1)) * 1024
    if sys.platform != "darwin":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Put a file in a second place without copying its bytes, where the file system can; replaces what is there."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def write_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name and rename it: a reader sees all of it or the old one."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes like `write_text`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".tmp")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        # Else a power cut may keep the rename and lose the bytes.
        os.fsync(file.fileno())
    part.replace(path)


def write_json(path: Path, values: Any) -> None:
    """Write JSON like `write_text`, indented, keys in the order given."""
    write_text(path, json.dumps(_plain(values), indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; RunError for what is missing or no JSON."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise RunError(f"{path}: not found; was this run folder made by another version, or cut short?") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: damaged ({error}); delete its folder and run the stage again") from error


def _plain(values: Any) -> Any:
    """Turn paths, tuples, dataclasses and numpy scalars into what JSON knows."""
    if isinstance(values, Mapping):
        return {str(key): _plain(value) for key, value in values.items()}
    if isinstance(values, list | tuple | set | frozenset):
        return [_plain(value) for value in (sorted(values) if isinstance(values, set | frozenset) else values)]
    if isinstance(values, Path):
        return str(values)
    if is_dataclass(values) and not isinstance(values, type):
        return _plain(asdict(values))
    if hasattr(values, "item") and getattr(values, "ndim", 1) == 0:
        return values.item()
    return values
