"""The table of networks and strides: which crops they share, who is on the front, and a small run that continues."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import student_choices as bench
from benchmarks.student_choices import Choice, at_stride, common_crops, frames_of, pareto, recipe
from pocketmood import ablation
from pocketmood.errors import DataError, RunError
from pocketmood.runs import write_json
from pocketmood.spec import MelSpec
from student.config import PRESETS
from teacher.answers import Answers
from tests.answers import make_teacher


def table(short: int) -> Answers:
    """Make a table of the whole clip and two crops of so many frames at stride 5; values tell clip and crop."""
    emotion = np.arange(2 * 3 * 2, dtype=np.float32).reshape(2, 3, 2)
    crops = ((0, 256), (0, short), (100, short))
    return Answers(("a", "b"), crops, 5, 256, MelSpec().hash, "made up", emotion, emotion, emotion)


@pytest.mark.parametrize(
    ("hops", "stride", "frames"),
    [(1280, 5, 256), (1280, 10, 128), (1280, 3, 384), (1280, 1, 1280), (640, 10, 64), (640, 3, 192), (320, 5, 64),
     (320, 10, 0), (320, 3, 0), (640, 4, 0), (1280, 7, 0)],
)  # fmt: skip
def test_frames_that_stand_for_a_crop(hops: int, stride: int, frames: int) -> None:
    # 3: 426 frames come to 384, 1152 of 1280 hops, just nine tenths; 320 hops are 106 frames, 64 of them too few
    assert frames_of(hops, stride) == frames


def test_all_strides_hear_the_crops_that_all_can_express() -> None:
    assert common_crops(table(64), [5]) == [0, 1, 2]
    assert common_crops(table(64), [5, 10]) == [0]  # 320 hops are too short for 64 frames at stride 10
    assert common_crops(table(128), [3, 5, 10]) == [0, 1, 2]
    with pytest.raises(DataError, match=r"strides \[5, 7\]: a whole clip of 1280 hops"):
        common_crops(table(64), [5, 7])


def test_table_at_another_stride() -> None:
    found = at_stride(table(128), [0, 2], 10)
    assert (found.crops, found.stride, found.frames) == (((0, 128), (100, 64)), 10, 128)
    assert np.array_equal(found.emotion, table(128).emotion[:, [0, 2]]) and found.features.shape == (2, 2, 2)
    config = recipe(PRESETS["demo"], Choice("mobilevitv2_050", 10), found, seed=4)
    assert (config.model, config.stride, config.frames, config.crop_frames, config.seed) == (
        "mobilevitv2_050", 10, 128, 64, 4,
    )  # fmt: skip
    whole = recipe(PRESETS["demo"], Choice("mobilevit_xs", 5), at_stride(table(64), [0], 5), seed=0)
    assert whole.crop_frames == whole.frames == 256


def test_another_exporter_is_another_hash(tmp_path: Path) -> None:
    for name in ("export/a.py", "export/b.py", "pocketmood/mel.py", "pocketmood/other.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    first = bench.exporter(tmp_path)
    (tmp_path / "pocketmood" / "other.py").write_text("changed")
    assert bench.exporter(tmp_path) == first
    for name in ("export/b.py", "pocketmood/mel.py"):
        (tmp_path / name).write_text("changed")
        assert bench.exporter(tmp_path) != first
        (tmp_path / name).write_text(name)
    assert bench.exporter(tmp_path) == first != bench.exporter()


def test_front_by_hand() -> None:
    points = {"fast": (0.5, 3), "good": (0.7, 9), "between": (0.6, 5), "beaten": (0.59, 6), "twin": (0.7, 9)}
    rows = [{"name": name, "ccc": ccc, "ms": ms} for name, (ccc, ms) in points.items()]
    rows.append({"name": "not lowered", "ccc": 0.9, "ms": None})
    assert pareto(rows) == ["fast", "good", "between", "twin"]


def test_without_a_teacher_the_command_to_type_is_named(tiny_run: Path) -> None:
    with pytest.raises(RunError, match="python -m teacher --run"):
        bench.main(["--run", str(tiny_run), "--preset", "smoke"])
    with pytest.raises(RunError, match="must be at least 1"):
        bench.main(["--run", str(tiny_run), "--seeds", "0"])


@pytest.mark.parametrize("typed", ["mobilevit_s", "mobilevit_s:0", "mobilevit_s:x"])
def test_a_row_is_a_model_and_a_stride(typed: str, tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.row_from("mobilevit_s:10") == Choice("mobilevit_s", 10)
    with pytest.raises(SystemExit):
        bench.main(["--run", str(tiny_run), "--rows", typed])
    assert f"{typed!r} is no row; write MODEL:STRIDE" in capsys.readouterr().err


@pytest.mark.slow
def test_a_small_table_is_made_and_continued(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_teacher(tiny_run)
    write_json(tiny_run / "teacher" / "config.json", {"vit": {"stride": 5}})
    lowered: list[str] = []

    def lower(folder: Path, path: Path) -> dict[str, Any]:
        lowered.append(folder.name)
        if "every10" in folder.name and len(lowered) < 3:
            raise ValueError("no such operator\nand more")
        path.write_bytes(b"program")
        return {"delegated_subgraphs": 1, "undelegated_ops": 0}

    def timed(paths: dict[str, Path], wave: np.ndarray, repeats: int) -> dict[str, Any]:
        assert wave.shape == (1, MelSpec().samples) and all(path.is_file() for path in paths.values())
        return {name: (4.0 + place, 5.0) for place, name in enumerate(paths)}

    monkeypatch.setattr(bench, "pin_threads", lambda threads: {"torch": threads})
    base = replace(PRESETS["smoke"], epochs=1)
    choices = [Choice("mobilevit_xxs", 5), Choice("mobilevit_xxs", 10)]

    def measure() -> dict[str, Any]:
        return bench.measure(tiny_run, base, choices, 1, 1, 2, lower, timed)

    first = measure()
    assert [row["frames"] for row in first["rows"]] == [256, 128] and first["crop_hops"] == 1280
    assert first["rows"][1]["reason"] == "not lowered: ValueError: no such operator"
    assert first["rows"][1]["ms"] is None and first["pareto"] == ["mobilevit_xxs-every5"]
    from student import trial

    monkeypatch.setattr(trial, "distil", None)  # nothing may train again
    second = measure()
    assert lowered == ["mobilevit_xxs-every5-0", "mobilevit_xxs-every10-0", "mobilevit_xxs-every10-0"]
    assert [row["ms"] for row in second["rows"]] == [4.0, 5.0]
    assert [row["ccc"] for row in second["rows"]] == [row["ccc"] for row in first["rows"]]
    monkeypatch.setattr(bench, "exporter", lambda: "another")
    assert [row["ms"] for row in measure()["rows"]] == [4.0, 5.0]
    assert lowered[3:] == ["mobilevit_xxs-every5-0", "mobilevit_xxs-every10-0"]  # lowered anew, by the new exporter
    json.dumps(second)  # nothing but what JSON knows
    text = "\n\n".join([bench.table(second), *bench.notes(second)])
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1 and "| 1+0 |" in lines[2]
    assert "the mean of neighbouring frames" in text and "crops of 29.7 s" in text
    assert "±" not in text and "the teacher itself has stride 5" in text and ablation.intervals(1) in text
