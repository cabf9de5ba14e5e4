"""`pocketmood archive`: what is worth keeping or mailing of a run, in one zip.

Kept: pages, metrics, pictures, records and splits of every finished stage, the student, the bundle, the benchmarks.
Left out: music and what is made from it sample by sample (corpus, store, variants, synthetic clips), weights and soft
targets of the teacher, checkpoints, and whatever a stage has not finished. The same run gives the same bytes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from pocketmood.errors import RunError
from pocketmood.runs import STAGE_FILE, STAGES

LEFT_OUT = ("corpus", "data/store", "teacher/variants", "teacher/synthetic", "teacher/listen", "bundle.steps")
"""Folders of a run that hold music, in one form or another, and the programs of an unfinished export once more."""
WEIGHTS_KEPT = ("student", "bundle")
"""Stages that are the product: small, and nothing without their weights."""
_UNFINISHED = (".part", ".old", ".tmp")
_BULK = (".safetensors", ".f16", ".f32")
_OLDEST = (1980, 1, 1, 0, 0, 0)
"""The first date a zip can hold: real ones would make every archive another."""


def main(args: Sequence[str] | None = None) -> int:
    """Zip a run beside its folder, and print what it took."""
    top = argparse.ArgumentParser(
        prog="pocketmood archive",
        description="Zip pages, metrics, pictures, student, bundle and benchmarks of a run to RUN.zip; music, "
        "checkpoints and the teacher's weights stay out.",
    )
    top.add_argument("--run", type=Path, required=True, help="run folder, such as runs/demo")
    run: Path = top.parse_args(args).run
    path, names = archive(run)
    done = [stage for stage in STAGES if (run / stage / STAGE_FILE).is_file()]
    size = path.stat().st_size / 1e6
    print(f"archive: {path}, {size:.1f} MB, {len(names)} files of {', '.join(done)}", flush=True)
    return 0


def archive(run: Path) -> tuple[Path, list[str]]:
    """Write `<run>.zip` beside the run's folder; return its path and the names in it.

    RunError for a folder that is missing or holds no finished stage.
    """
    if not run.is_dir():
        raise RunError(f"{run}: no such run. Make one with `make demo`, or name one that is there: RUN=runs/NAME")
    if not any((run / stage / STAGE_FILE).is_file() for stage in STAGES):
        raise RunError(f"{run}: holds no finished stage, so there is nothing to keep. Type `make demo`, or name a run")
    run = run.absolute()  # "." has no name
    path = run.with_name(f"{run.name}.zip")
    # Renamed when it is whole: a kill leaves no zip that looks finished.
    part = path.with_name(f"{path.name}.part")
    names = sorted(kept(run))
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            _add(file, run / name, f"{run.name}/{name}")
    part.replace(path)
    return path, names


def kept(run: Path) -> Iterator[str]:
    """Yield what belongs into the archive, as paths inside the run with forward slashes."""
    for place, folders, files in os.walk(run):
        inside = PurePosixPath(Path(place).relative_to(run).as_posix())
        # Pruned before they are entered: a corpus or store may hold more files than all the rest.
        folders[:] = [name for name in folders if _wanted(inside / name)]
        yield from (str(inside / name) for name in files if _wanted(inside / name))


def _wanted(path: PurePosixPath) -> bool:
    """Tell whether a file or folder belongs into the archive."""
    if path.name == "checkpoints" or path.suffix in _UNFINISHED or str(path) in LEFT_OUT:
        return False
    return path.parts[0] in WEIGHTS_KEPT or path.suffix not in _BULK


def _add(file: zipfile.ZipFile, source: Path, name: str) -> None:
    """Add a file without its date, owner and rights."""
    about = zipfile.ZipInfo(name, _OLDEST)
    about.compress_type, about.create_system = zipfile.ZIP_DEFLATED, 3
    about.external_attr = 0o644 << 16
    about.file_size = source.stat().st_size  # lets zipfile choose the format for more than 2 GB
    with source.open("rb") as data, file.open(about, "w") as target:
        shutil.copyfileobj(data, target, 1 << 20)
