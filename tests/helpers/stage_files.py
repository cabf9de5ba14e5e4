"""A stage.json without its stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketmood.runs import STAGE_FILE, StageFile, write_json


def write_stage_file(folder: Path, record: dict[str, Any], wall_s: float = 1.0) -> StageFile:
    """Write the stage.json of a folder that holds this result, with nothing made up that a test may lean on."""
    done = StageFile(folder.name, "0" * 16, {}, {}, record, {}, wall_s, None, continued_after_a_stop=False)
    write_json(folder / STAGE_FILE, done)
    return done
