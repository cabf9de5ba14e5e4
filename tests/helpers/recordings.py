"""Recorded music for tests, from Debian's packages: played and produced by people, not rendered by this project.

| package                    | pieces | by                    | licence      | what it is                              |
| -------------------------- | ------ | --------------------- | ------------ | --------------------------------------- |
| fretsonfire-songs-muldjord | 4 OGG  | El Senator (Muldjord) | CC-BY-SA 3.0 | a metal band, its guitars left out      |
| fretsonfire-songs-sectoid  | 4 OGG  | Carlos Viola Iborra   | MIT          | guitar instrumentals, their guitars out |
| asc-music                  | 3 MP3  | Michael Kievernagel   | GPL-2+       | electronic                              |
| singularity-music          | 16 OGG | Max McCracken         | CC-BY-SA 3.0 | ambient, orchestral colours             |

Licences as each package's own `copyright` file states them. The music lies in a git-ignored folder of the checkout, is
used by tests on this machine only and never redistributed.

`make recordings` (`python -m tests.helpers.recordings`) downloads the packages (about 120 MB) with apt-get, which
checks their signatures, and unpacks them without installing anything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "recordings"
PACKAGES = {
    "fretsonfire-songs-muldjord": 4,
    "fretsonfire-songs-sectoid": 4,
    "asc-music": 3,
    "singularity-music": 16,
}
"""Package name -> pieces in it."""
SUFFIXES = {".ogg", ".mp3"}
FEWEST = 10
COMMAND = "make recordings"


def pieces() -> list[Path]:
    """Return the fetched pieces in a fixed order; empty where nothing was fetched."""
    return sorted(path for package in PACKAGES for path in (FOLDER / package).glob("*") if path.suffix in SUFFIXES)


def missing() -> str:
    """Say why a test on recorded music cannot run and what to type, or "" where it can."""
    found = len(pieces())
    return "" if found >= FEWEST else f"{found} of at least {FEWEST} recorded pieces are here; type `{COMMAND}`"


def fetch(package: str, count: int) -> str:
    """Bring one package's music into FOLDER; return a line about it. RuntimeError says why not."""
    target = FOLDER / package
    if target.is_dir():
        return f"{package}: already here"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{package}.", dir=FOLDER) as name:
        folder = Path(name)
        call("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package, folder=folder)
        call("dpkg-deb", "-x", next(folder.glob("*.deb")).name, "unpacked", folder=folder)
        part = folder / "music"
        part.mkdir()
        for source in sorted((folder / "unpacked").rglob("*")):
            # A Frets on Fire song is a folder: song.ogg is the band, guitar.ogg what the player adds.
            if source.is_file() and source.suffix in SUFFIXES and source.stem != "guitar":
                stem = source.parent.name if source.stem == "song" else source.stem
                shutil.move(source, part / f"{stem.replace(' ', '_')}{source.suffix}")
        found = len(list(part.iterdir()))
        if found < count:
            raise RuntimeError(f"holds {found} pieces where {count} were expected; has the package changed?")
        part.rename(target)
    return f"{package}: {found} pieces"


def call(*command: str, folder: Path) -> None:
    """Run a command quietly; RuntimeError carries its last words."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
        raise RuntimeError(f"{command[0]}: {words[-1]}")


def main() -> int:
    """Fetch all packages; say what could not be had, and return 1 where tests would have too little."""
    if not all(map(shutil.which, ("apt-get", "dpkg-deb"))):
        print("recordings: no apt-get and dpkg-deb here (not Debian or Ubuntu); tests on it will be skipped")
        return 1
    complete = all((FOLDER / package).is_dir() for package in PACKAGES)
    if not complete and os.geteuid() == 0:
        # A new machine knows no package lists; without root we hope that somebody fetched them.
        subprocess.run(["apt-get", "-qq", "update"], check=False, stdin=subprocess.DEVNULL)
    for package, count in PACKAGES.items():
        try:
            print(f"recordings: {fetch(package, count)}", flush=True)
        except RuntimeError as error:
            print(f"recordings: {package}: {error}", file=sys.stderr)
    print(f"recordings: {missing() or f'{len(pieces())} pieces ready'}")
    return int(bool(missing()))


if __name__ == "__main__":
    sys.exit(main())
