"""`python -m tools.android_bundle`: the part of a bundle that a phone needs, copied into the Android app's assets.

One program (the smallest that passed its gate, or the one asked for), the golden pairs, bundle.json and parity.json.
A bundle of another schema, or one whose bytes are not those that were exported, is refused before anything is copied.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocketmood import command
from pocketmood.bundle import Bundle
from pocketmood.errors import BundleError

ASSETS = Path("android/app/src/main/assets/bundle")
GOLDEN = ("golden/waveform.f32", "golden/emotion.f32", "golden/interval68.f32")
PARITY = "parity.json"
AGAIN = "export it again with `python -m export`"


def main(args: Sequence[str] | None = None) -> int:
    """Copy; return 0, or raise BundleError for a bundle that does not fit."""
    parser = argparse.ArgumentParser(prog="python -m tools.android_bundle", description=__doc__)
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("--to", type=Path, default=ASSETS, help="where to (default: %(default)s)")
    parser.add_argument("--precision", choices=("int8", "fp32"), help="default: the smallest program that passed")
    chosen = parser.parse_args(args)
    names = copy(chosen.bundle, chosen.to, chosen.precision)
    print(f"{chosen.to}: {', '.join(names)}")
    return 0


def copy(folder: Path, target: Path, precision: str | None = None) -> list[str]:
    """Check a bundle and replace `target` by what the app needs of it; return the files' names."""
    bundle = Bundle.open(folder)
    bundle.verify()
    names = ["bundle.json", *_needed(bundle, (*GOLDEN, PARITY)), program(bundle, precision)]
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
    records: list[dict[str, Any]] = json.loads((bundle.folder / PARITY).read_text(encoding="utf-8"))
    passed = {record["artefact"] for record in records if record.get("verdict") == "passed"}
    wanted = f".{precision or ''}.pte" if precision else ".pte"
    programs = [name for name in bundle.about["files"] if name.endswith(wanted)]
    proven = [name for name in programs if name in passed]
    if not proven:
        found = f"{', '.join(programs)} did not pass" if programs else f"there is no model.{precision or '*'}.pte"
        raise BundleError(f"{bundle.folder}: no ExecuTorch program that passed parity ({found}); {AGAIN}")
    return min(proven, key=lambda name: (bundle.folder / name).stat().st_size)


def _needed(bundle: Bundle, names: Sequence[str]) -> Sequence[str]:
    """Return the names; BundleError for the first that bundle.json does not list."""
    for name in names:
        if name not in bundle.about["files"]:
            raise BundleError(f"{bundle.folder}: bundle.json lists no {name}, which the app needs; {AGAIN}")
    return names


if __name__ == "__main__":
    command.start(main)
