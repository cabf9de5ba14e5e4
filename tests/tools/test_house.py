"""What the house counts in a file: joins of stage names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.house import measure


@pytest.mark.parametrize(
    ("line", "joins"),
    [
        ('run / "teacher"', True),
        ('run / "data/store"', True),
        ('RunFolder(run).made("teacher") / "synthetic"', True),
        ('run.folder("teacher") / f"{name}.csv"', True),
        ('run.folder("teacher") / "floor" / RIDGE_FILE', True),
        ('run.folder("teacher") / PREDICTIONS_FILE', False),
        ('run.made("data") / STORE', False),
        ('ROOT / "student"', False),
        ('work / "clips.csv"', False),
    ],
)
def test_a_join_of_stage_names_is_seen(tmp_path: Path, line: str, joins: bool) -> None:
    (tmp_path / "a.py").write_text(f"path = {line}\n")
    assert measure(tmp_path / "a.py").stage_joins == (("line 1",) if joins else ())
