"""Containment of CoreML packages: what a package names must lie in it, before coremltools opens it.

coremltools (9.0) follows a path of `Manifest.json` out of the package, by `..`, by an absolute path, or by a link, also
on Linux: a bundle from elsewhere would make it read any file of this machine.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from pocketmood.errors import BundleError

MANIFEST = "Manifest.json"


def refuse_escapes(package: Path) -> None:
    """Raise BundleError where a package holds a link, or a manifest that names anything outside of its parts."""
    if not package.is_dir():
        raise BundleError(f"{package}: no CoreML package here (it is a folder)")
    # Before a single file is read, the manifest included. The package itself may be reached through a link.
    links = [path for path in sorted(package.rglob("*")) if path.is_symlink()]
    if links:
        raise _outside(package, f"{links[0].relative_to(package)} is a link")

    manifest = _manifest(package)
    parts = manifest.get("itemInfoEntries")
    if not isinstance(parts, dict) or manifest.get("rootModelIdentifier") not in parts:
        raise _outside(package, f"{MANIFEST} names no program")
    for part in parts.values():
        name = part.get("path") if isinstance(part, dict) else None
        if not isinstance(name, str) or not _is_below(name):
            raise _outside(package, f"{MANIFEST} names {name!r}, which is no part of it")


def _manifest(package: Path) -> dict[str, Any]:
    """Read a manifest; BundleError for one that is missing, no JSON object, or says a key twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Of two values for a key, another parser may take the other.
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key stands there twice")
        return dict(pairs)

    try:
        values = json.loads((package / MANIFEST).read_text(encoding="utf-8"), object_pairs_hook=once)
    except (OSError, ValueError) as error:
        raise _outside(package, f"{MANIFEST} cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise _outside(package, f"{MANIFEST} is no object")
    return values


def _is_below(name: str) -> bool:
    """Tell whether a path stays below the folder that it begins at; a backslash may separate on another system."""
    path = PurePosixPath(name)
    return bool(name) and "\\" not in name and "\0" not in name and not path.is_absolute() and ".." not in path.parts


def _outside(package: Path, why: str) -> BundleError:
    return BundleError(f"{package}: {why}; no package of ours does that, so it is not opened. Export the bundle again")
