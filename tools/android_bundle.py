"""`python -m tools.android_bundle`: the part of a bundle that a phone needs, copied into the Android app's assets.

One program (the smallest that passed its gate, or the one asked for), the golden pairs, bundle.json and parity.json.
A bundle of another schema, or one whose bytes are not those that were exported, is refused before anything is copied.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from export.golden import GOLDEN_FILES
from export.parity_record import PARITY_FILE, read_records
from pocketmood import command
from pocketmood.bundle import Bundle
from pocketmood.errors import BundleError

ASSETS = Path("android/app/src/main/assets/bundle")
AGAIN = "export it again with `python -m export`"


@dataclass(frozen=True)
class AndroidBundleConfig:
    """What to copy, and where to."""

    bundle: Path
    """the bundle's folder"""
    to: Path = ASSETS
    """where to"""
    precision: Literal["int8", "fp32"] | None = None
    """which program; left out, the smallest that passed"""


def main(args: Sequence[str] | None = None) -> int:
    """Copy the bundle of a command line."""
    return run(command.parse(AndroidBundleConfig, "python -m tools.android_bundle", __doc__, args, positional=True))


def run(config: AndroidBundleConfig) -> int:
    """Copy; return 0, or raise BundleError for a bundle that does not fit."""
    names = copy(config.bundle, config.to, config.precision)
    print(f"{config.to}: {', '.join(names)}")
    return 0


def copy(folder: Path, target: Path, precision: str | None = None) -> list[str]:
    """Check a bundle and replace `target` by what the app needs of it; return the files' names."""
    bundle = Bundle.open(folder)
    bundle.verify()
    names = ["bundle.json", *_needed(bundle, (*GOLDEN_FILES, PARITY_FILE)), program(bundle, precision)]

    # Beside the target and renamed when whole: a copy that breaks off leaves the one before as it was.
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for name in names:
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, part / name)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    return names


def program(bundle: Bundle, precision: str | None) -> str:
    """Return the file of the smallest ExecuTorch program that passed its gate, or of the one asked for."""
    passed = {record.artefact for record in read_records(bundle.folder) if record.passed}
    wanted = f".{precision or ''}.pte" if precision else ".pte"
    programs: list[str] = [name for name in bundle.files if name.endswith(wanted)]
    proven = [name for name in programs if name in passed]
    if not proven:
        found = f"{', '.join(programs)} did not pass" if programs else f"there is no model.{precision or '*'}.pte"
        raise BundleError(f"{bundle.folder}: no ExecuTorch program that passed parity ({found}); {AGAIN}")
    return min(proven, key=lambda name: (bundle.folder / name).stat().st_size)


def _needed(bundle: Bundle, names: Sequence[str]) -> Sequence[str]:
    """Return the names; BundleError for the first that bundle.json does not list."""
    for name in names:
        if name not in bundle.files:
            raise BundleError(f"{bundle.folder}: bundle.json lists no {name}, which the app needs; {AGAIN}")
    return names


if __name__ == "__main__":
    command.start(main)
