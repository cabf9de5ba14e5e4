"""The sources that decide what a student is lowered to, as one hash: programs of other sources are made anew."""

from __future__ import annotations

from pathlib import Path

from pocketmood.runs import file_hash, fingerprint

ROOM = Path(__file__).resolve().parent


def exporter(room: Path = ROOM) -> str:
    """Return a hash of all Python files of this room, and of the spectrogram that every program begins with."""
    root = room.parent
    sources = [*sorted(room.rglob("*.py")), root / "pocketmood" / "mel.py"]
    return fingerprint({path.relative_to(root).as_posix(): file_hash(path) for path in sources})
