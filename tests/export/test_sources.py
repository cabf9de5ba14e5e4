"""The hash of the exporter's sources: which files change it."""

from __future__ import annotations

from pathlib import Path

from export.sources import exporter


def test_another_exporter_is_another_hash(tmp_path: Path) -> None:
    for name in ("export/a.py", "export/b.py", "pocketmood/mel.py", "pocketmood/other.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    room = tmp_path / "export"
    first = exporter(room)
    (tmp_path / "pocketmood" / "other.py").write_text("changed")
    assert exporter(room) == first
    for name in ("export/b.py", "pocketmood/mel.py"):
        (tmp_path / name).write_text("changed")
        assert exporter(room) != first
        (tmp_path / name).write_text(name)
    assert exporter(room) == first != exporter()
