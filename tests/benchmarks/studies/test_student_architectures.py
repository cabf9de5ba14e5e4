"""The table of networks and strides: which crops they share, who is on the front, and a small run that continues."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.studies import ablation, student_table
from benchmarks.studies import student_architectures as bench
from benchmarks.studies.student_rows import ROWS, Choice, common_crops, counted_for, frames_of, recipe, row_from
from benchmarks.studies.student_table import ArchitectureRow, ArchitecturesResult, pareto
from pocketmood.data.clips import ClipStore
from pocketmood.errors import ConfigError, DataError, RunError
from pocketmood.mel import MelFrontEnd
from pocketmood.predictions import read_predictions
from pocketmood.runs import read_json, write_json
from pocketmood.spec import MelSpec
from student.config import PRESETS
from teacher.config import VitConfig
from teacher.record import SavedTeacher
from teacher.soft_targets import SoftTargets
from tests.helpers.fine_tuned import fine_tuned
from tests.helpers.soft_targets import make_teacher

EVERY_5TH, MEAN_OF_5 = Choice("mobilevit_xxs", 5), Choice("mobilevit_xxs", 5, mean=True)


def table(short: int) -> SoftTargets:
    """Make a table of the whole clip and two crops of so many frames at stride 5; values tell clip and crop."""
    emotion = np.arange(2 * 3 * 2, dtype=np.float32).reshape(2, 3, 2)
    crops = ((0, 256), (0, short), (100, short))
    return SoftTargets(("a", "b"), crops, 5, 256, MelSpec().hash, "made up", emotion, emotion, emotion)


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
    found = counted_for(Choice("mobilevitv2_050", 10), table(128), [0, 2])
    assert (found.crops, found.stride, found.frames) == (((0, 128), (100, 64)), 10, 128)
    assert np.array_equal(found.emotion, table(128).emotion[:, [0, 2]]) and found.features.shape == (2, 2, 2)
    config = recipe(PRESETS["demo"], Choice("mobilevitv2_050", 10), found, seed=4)
    assert (config.model, config.stride, config.frames, config.crop_frames, config.seed) == (
        "mobilevitv2_050", 10, 128, 64, 4,
    )  # fmt: skip
    whole = recipe(PRESETS["demo"], EVERY_5TH, counted_for(EVERY_5TH, table(64), [0]), seed=0)
    assert whole.crop_frames == whole.frames == 256


def test_table_for_means_counts_the_frames_that_are_computed() -> None:
    found = counted_for(MEAN_OF_5, table(128), [0, 2])
    assert (found.crops, found.stride, found.frames) == (((0, 1280), (100, 640)), 1, 1280)
    hiding = {choice: recipe(PRESETS["full"], choice, counted_for(choice, table(128), [0, 2]), seed=0)
              for choice in (EVERY_5TH, MEAN_OF_5)}  # fmt: skip
    assert hiding[EVERY_5TH].augment == PRESETS["full"].augment  # 8 shown frames
    assert hiding[MEAN_OF_5].augment == replace(PRESETS["full"].augment, mask_frames=40)
    config = hiding[MEAN_OF_5]
    assert (config.model, config.stride, config.frames, config.crop_frames) == ("mobilevit_xxs", 1, 1280, 640)


def table_row(name: str, ccc: float, ms: float | None) -> ArchitectureRow:
    return ArchitectureRow(name, "mobilevit_xxs", 5, False, "1 in 5", 256, 64, 7, 2, 0.1, ccc, ccc - 0.1, ccc + 0.1,
                           None, None, None, None, ms)  # fmt: skip


def test_front_by_hand() -> None:
    points = {"fast": (0.5, 3), "good": (0.7, 9), "between": (0.6, 5), "beaten": (0.59, 6), "twin": (0.7, 9)}
    rows = [table_row(name, ccc, ms) for name, (ccc, ms) in points.items()]
    rows.append(table_row("not lowered", 0.9, None))
    assert pareto(rows) == ("fast", "good", "between", "twin")


def test_without_a_teacher_the_command_to_type_is_named(tiny_run: Path) -> None:
    with pytest.raises(RunError, match=f"make teacher RUN={tiny_run}"):
        bench.main(["--run", str(tiny_run), "--preset", "smoke"])
    with pytest.raises(ConfigError, match="must be at least 1"):
        bench.main(["--run", str(tiny_run), "--seeds", "0"])
    with pytest.raises(ConfigError, match="at least one row"):
        bench.main(["--run", str(tiny_run), "--rows"])


def test_rows_as_they_are_typed() -> None:
    every, mean = row_from("mobilevit_s:10"), row_from("mobilevit_xxs:mean5")
    assert (every, mean) == (Choice("mobilevit_s", 10), MEAN_OF_5)
    assert [row_from(row.typed) for row in ROWS] == list(ROWS)
    assert (every.name, every.shown) == ("mobilevit_s-every10", "1 in 10")
    assert (mean.name, mean.shown) == ("mobilevit_xxs-mean5", "mean of 5")


@pytest.mark.parametrize("typed", ["mobilevit_s", "mobilevit_s:0", "mobilevit_s:x", "mobilevit_s:mean", "a:5mean"])
def test_other_rows_are_refused(typed: str, tiny_run: Path) -> None:
    with pytest.raises(ConfigError, match=f"{typed!r} is no row; write MODEL:STRIDE"):
        bench.main(["--run", str(tiny_run), "--rows", typed])


@pytest.mark.slow
def test_a_small_table_is_made_and_continued(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_teacher(tiny_run)
    saved = SavedTeacher(VitConfig(stride=5), None, fine_tuned(16))
    write_json(tiny_run / "teacher" / "config.json", saved)
    lowered: list[str] = []

    def lower(choice: Choice, folder: Path, path: Path) -> dict[str, Any]:
        lowered.append(folder.name)
        if choice.stride == 10 and lowered.count(folder.name) == 1:
            raise ValueError("no such operator\nand more")
        path.write_bytes(b"program")
        return {"delegated_subgraphs": 1, "undelegated_ops": 0}

    def timed(paths: dict[str, Path], wave: np.ndarray, repeats: int) -> dict[str, Any]:
        assert wave.shape == (1, MelSpec().samples) and all(path.is_file() for path in paths.values())
        return {name: (4.0 + place, 5.0) for place, name in enumerate(paths)}

    monkeypatch.setattr(bench, "pin_threads", lambda threads: {"torch": threads})
    rows = ("mobilevit_xxs:5", "mobilevit_xxs:10", "mobilevit_xxs:mean5")
    config = bench.ArchitecturesConfig(tiny_run, "smoke", rows, epochs=1, threads=1, repeats=2)
    trained = ["mobilevit_xxs-every5-0", "mobilevit_xxs-every10-0", "mobilevit_xxs-mean5-0"]

    def measure() -> ArchitecturesResult:
        return bench.measure(config, lower, timed)

    first = measure()
    assert [row.frames for row in first.rows] == [256, 128, 256] and first.crop_hops == 1280
    assert first.rows[1].reason == "not lowered: ValueError: no such operator"
    assert first.rows[1].ms is None and "mobilevit_xxs-every10" not in first.pareto
    from student import train_once

    monkeypatch.setattr(train_once, "train_student", None)  # nothing may train again
    second = measure()
    assert lowered == [*trained, "mobilevit_xxs-every10-0"]
    assert [row.ms for row in second.rows] == [4.0, 5.0, 6.0]
    assert [row.ccc for row in second.rows] == [row.ccc for row in first.rows]
    monkeypatch.setattr(bench, "exporter", lambda: "another")
    assert [row.ms for row in measure().rows] == [4.0, 5.0, 6.0]
    assert lowered[4:] == trained  # lowered anew, by the new exporter
    json.dumps(asdict(second))  # nothing but what JSON knows
    text = "\n\n".join([student_table.table(second), *student_table.notes(second)])
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 5 and len({line.count("|") for line in lines}) == 1 and "| 1+0 |" in lines[2]
    assert "| 1 in 5 |" in lines[2] and "| mean of 5 |" in lines[4]
    assert "the mean level of each n neighbours" in text and "crops of 29.7 s" in text
    assert "±" not in text and "the teacher itself has stride 5" in text and ablation.intervals(1) in text
    predictions_are_those_of_means(tiny_run)


def predictions_are_those_of_means(run: Path) -> None:
    """Compare the kept predictions with a plain student that is handed the means of whole clips' frames."""
    import torch

    from student.mobilevit import load_student

    folder = run / "student_architectures" / "mobilevit_xxs-mean5-0"
    assert read_json(folder / "stage.json")["config"]["pooled"] == 5
    store, kept = ClipStore.open(run / "data" / "store"), read_predictions(folder / "predictions.csv")
    waves = torch.from_numpy(np.stack([store.waveform(name) for name in kept.ids]))
    student, _ = load_student(folder)
    with torch.inference_mode():
        mels = MelFrontEnd()(waves)[..., :1280]  # [B, 1, M, T]
        means = torch.stack([mels[..., first : first + 5].sum(-1) / 5 for first in range(0, 1280, 5)], -1)
        expected, every_5th = student(means).emotion.numpy(), student(mels[..., ::5]).emotion.numpy()
    # float32 in another order; what is written has six decimals
    assert np.allclose(kept.emotion, expected, rtol=0, atol=1e-5)
    assert np.abs(kept.emotion - every_5th).max() > 1e-4
