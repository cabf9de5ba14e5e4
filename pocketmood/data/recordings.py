"""Freely licensed recorded music from Debian's packages, for tests and as music without ratings.

`make recordings` fetches the few packages that tests listen to, `make recordings-more` all of them: music that a
teacher labels for the student (`UNLABELLED=.cache/recordings`). Packages and their licences: `recording_packages`. They
are downloaded by apt-get, which checks their signatures, and unpacked without being installed. The music lies in a
git-ignored folder; it is used on this machine and never passed on.

    FOLDER/PACKAGE/PACKAGE.PIECE.ogg    a piece; the package in front keeps names apart
    FOLDER/PACKAGE/copyright            the package's own word on licences and authors
    FOLDER/PACKAGE/package.json         version, hashes, lengths: the record of a package that is complete
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from pocketmood import audio, command
from pocketmood.data import same_music
from pocketmood.data.recording_packages import FEW, PACKAGES, RECORD_FILE, Package, PackageRecord, Piece
from pocketmood.errors import AudioError, RunError
from pocketmood.runs import file_hash, write_json

FOLDER = Path(".cache/recordings")
SHORTEST_S = 20.0
"""What is shorter is a jingle or a sound effect."""
FEWEST_FOR_TESTS = 10
SUFFIXES = {".ogg", ".oga", ".opus", ".mp3", ".flac", ".wav"}
ARCHIVES = {".zip", ".pk3"}
"""Games' own archives: they are zip files."""


@dataclass(frozen=True)
class RecordingsConfig:
    """Which music to fetch, and where to."""

    out: Path = FOLDER
    """Folder with a folder per package."""
    few: bool = False
    """Fetch only what tests listen to: four packages instead of all."""


def main(args: Sequence[str] | None = None) -> int:
    """Read the words of a command line and fetch."""
    return run(command.parse(RecordingsConfig, "python -m pocketmood.data.recordings", __doc__, args))


def run(config: RecordingsConfig) -> int:
    """Fetch what is not here yet, and leave out what is there twice; returns 1 where packages could not be had."""
    wanted = FEW if config.few else PACKAGES
    lacking = [package for package in wanted if not (config.out / package.name / RECORD_FILE).is_file()]
    failed: dict[str, str] = {}
    if lacking:
        _prepare(config.out, lacking)
    for number, package in enumerate(lacking, 1):
        try:
            line = describe([fetch(package, config.out)])
        except RunError as error:
            line = failed[package.name] = str(error)
        print(f"recordings: {number} of {len(lacking)}, {package.name}: {line}", flush=True)

    here = [package for package in wanted if package.name not in failed]
    records = same_music.leave_out(config.out, [PackageRecord.load(config.out / package.name) for package in here])
    print(f"recordings: {len(records)} packages, {describe(records)}, in {config.out}")
    licences = Counter(record.licence for record in records for _ in record.kept)
    print("  licences: " + "; ".join(f"{licence} ({count})" for licence, count in licences.most_common()))
    if not config.few:
        print(f"  to learn from it: make data UNLABELLED={config.out} DATA=--unlabelled-clips=8 ...")
    for name, reason in failed.items():
        print(f"  not here: {name} ({reason})", file=sys.stderr)
    return int(bool(failed))


def describe(records: Sequence[PackageRecord]) -> str:
    """Count pieces and hours of packages."""
    kept = [piece for record in records for piece in record.kept]
    twice = sum(len(record.pieces) for record in records) - len(kept)
    return f"{len(kept)} pieces, {sum(piece.seconds for piece in kept) / 3600:.2f} h" + (
        f" ({twice} more were the same music)" if twice else ""
    )


def fetch(package: Package, out: Path) -> PackageRecord:
    """Bring one package's music into `out`, whole or not at all; RunError says why not."""
    with tempfile.TemporaryDirectory(prefix=f"{package.name}.", dir=out) as name:
        work = Path(name)
        # apt's own user may not write into our folder.
        _call("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package.name, folder=work)
        deb = next(work.glob("*.deb"))
        version = _call("dpkg-deb", "--field", deb.name, "Version", folder=work).strip()
        part = work / "part"
        part.mkdir()
        pieces = unpack(deb, package, part)
        # A newer package may have gained or lost a few; half of them gone is another package.
        if 2 * len(pieces) < package.pieces:
            raise RunError(f"holds {len(pieces)} pieces where {package.pieces} were expected; has it changed?")
        record = PackageRecord(package.name, version, file_hash(deb), package.licence, tuple(pieces))
        write_json(part / RECORD_FILE, asdict(record))
        target = out / package.name
        shutil.rmtree(target, ignore_errors=True)  # without a record: of another version of this command
        part.rename(target)
    return record


def unpack(deb: Path, package: Package, folder: Path) -> list[Piece]:
    """Write the package's music and its `copyright` into a folder; what cannot be decoded, or is short, stays out."""
    found: list[Piece] = []
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as archive,
    ):
        for source, content in _files(archive):
            if source.endswith(f"/doc/{package.name}/copyright"):
                (folder / "copyright").write_bytes(content.read())
            elif _may_be_music(source, package):
                path = folder / f"{len(found)}{Path(source).suffix.lower()}"
                with path.open("wb") as file:
                    shutil.copyfileobj(content, file)
                found += _piece(path, source)
        # To the very end: a pipe closed before dpkg-deb has written its padding would look like a failure.
        while process.stdout and process.stdout.read(1 << 20):
            pass
    if process.returncode:
        raise RunError(f"dpkg-deb stopped with {process.returncode}; is the disk full?")
    return _named(found, package, folder)


def _files(archive: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield path and content of every file of a package, those in games' own archives included."""
    for member in archive:
        content = archive.extractfile(member) if member.isfile() else None
        if content is None:
            continue
        if Path(member.name).suffix.lower() not in ARCHIVES:
            yield member.name, content
            continue
        # A zip file's index stands at its end, and the package is a stream: it has to be written out first.
        with tempfile.TemporaryFile() as file:
            shutil.copyfileobj(content, file)
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as inner:
                    for entry in inner.infolist():
                        with inner.open(entry) as packed:
                            yield f"{member.name}!{entry.filename}", packed


def _may_be_music(source: str, package: Package) -> bool:
    return (
        Path(source).suffix.lower() in SUFFIXES
        and package.folder in source
        and not (package.without and package.without in source)
    )


def _piece(path: Path, source: str) -> list[Piece]:
    """Return the piece that a file holds; none, and no file, where it is short or no audio that can be decoded."""
    try:
        seconds = audio.duration_s(path)
    except AudioError:
        seconds = 0.0
    if seconds < SHORTEST_S:
        path.unlink()
        return []
    return [Piece(path.name, source, file_hash(path), round(seconds, 2))]


def _named(pieces: Sequence[Piece], package: Package, folder: Path) -> list[Piece]:
    """Give the files their names: package, folder where a package has several of that name, piece."""
    stems = Counter(Path(piece.source).stem for piece in pieces)
    names: set[str] = set()
    renamed = []
    for piece in sorted(pieces, key=lambda piece: piece.source):
        path = Path(piece.source.replace("!", "/"))
        stem = path.stem if stems[path.stem] == 1 else f"{path.parent.name}_{path.stem}"
        name = f"{package.name}.{stem}".replace(" ", "_")
        if name in names:  # the same folder in two places: the path tells them apart
            name += f".{hashlib.sha256(piece.source.encode()).hexdigest()[:6]}"
        names.add(name)
        name += path.suffix.lower()
        (folder / piece.file).rename(folder / name)
        renamed.append(Piece(name, piece.source, piece.sha256, piece.seconds))
    return renamed


def _prepare(out: Path, packages: Sequence[Package]) -> None:
    """Refuse a machine without apt, fetch its lists of packages, and say what the download takes."""
    if not all(map(shutil.which, ("apt-get", "apt-cache", "dpkg-deb"))):
        raise RunError(
            "recordings: no apt-get, apt-cache and dpkg-deb here (not Debian or Ubuntu). Copy the folder "
            f"{out} from a Debian machine, or go without: tests on recordings are skipped by name"
        )
    out.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        # A new machine knows no package lists; without root we hope that somebody fetched them.
        subprocess.run(["apt-get", "-qq", "update"], check=False, stdin=subprocess.DEVNULL)
    names = [package.name for package in packages]
    shown = subprocess.run(
        ["apt-cache", "show", "--no-all-versions", *names], capture_output=True, text=True, check=False
    )
    sizes = [int(line.split()[1]) for line in shown.stdout.splitlines() if line.startswith("Size: ")]
    free = shutil.disk_usage(out).free
    needed = sum(sizes) + 2 * max(sizes, default=0)  # all music at most, and the largest package beside it
    print(
        f"recordings: {len(names)} packages to fetch, {sum(sizes) / 1e9:.2f} GB; at most {needed / 1e9:.2f} GB of the "
        f"{free / 1e9:.0f} GB that are free",
        flush=True,
    )
    if needed > free:
        raise RunError(f"recordings: the disk of {out} has too little room; pass --out FOLDER on another one")


def _call(*words: str, folder: Path) -> str:
    """Run a command quietly and return what it prints; RunError carries its last words."""
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
        raise RunError(f"{words[0]}: {last[-1]}")
    return done.stdout


if __name__ == "__main__":
    command.start(main)
