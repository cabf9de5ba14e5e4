"""The study of time-stretch and pitch-shift: its arms, their equal steps, and what it keeps."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.studies.augmentations import ARMS, PRESETS, AugmentationsConfig, of_arm, run
from pocketmood.errors import ConfigError
from pocketmood.training.variants import VariantsConfig
from teacher.presets import PRESETS as TEACHERS


def test_arms_change_tempo_pitch_or_both() -> None:
    config = VariantsConfig(2, 1.3, 4.0)
    assert of_arm("stretch", config) == VariantsConfig(2, 1.3, 0.0)
    assert of_arm("pitch", config) == VariantsConfig(2, 1.0, 4.0)
    assert of_arm("both", config) == config
    assert PRESETS["demo"].teacher == replace(TEACHERS["demo"], variants=VariantsConfig(2))


@pytest.mark.parametrize("variants", [VariantsConfig(), VariantsConfig(2, 1.0, 1.0), VariantsConfig(2, 1.1, 0.0)])
def test_arms_that_are_the_same_are_refused(variants: VariantsConfig) -> None:
    with pytest.raises(ConfigError, match=r"pass --teacher.variants.count 2"):
        AugmentationsConfig(teacher=replace(TEACHERS["smoke"], variants=variants))
    with pytest.raises(ConfigError, match="seeds 0"):
        replace(PRESETS["demo"], seeds=0)


@pytest.mark.slow
def test_all_arms_take_equal_steps_and_are_kept(tiny_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("librosa")
    teacher = replace(PRESETS["smoke"].teacher, run=tiny_run, variants=VariantsConfig(1))
    config = AugmentationsConfig(teacher=teacher, seeds=1, workers=1, out=tmp_path / "table")
    run(config)
    text, stored = (tmp_path / "table.md").read_text(), json.loads((tmp_path / "table.json").read_text())
    # 16 songs in batches of 8, two epochs.
    assert [(arm["name"], arm["facts"]) for arm in stored["arms"]] == [(arm, {"steps": 4}) for arm in ARMS]
    assert len({arm["ccc"] for arm in stored["arms"]}) == len(ARMS)  # what they heard was not the same

    made = tiny_run / "ablation" / "augmentations"
    changes = {}
    for arm in ARMS[1:]:
        with (made / f"variants-{arm}" / "changes.csv").open(newline="") as file:
            changes[arm] = [(float(row["tempo"]), float(row["semitones"])) for row in csv.DictReader(file)]
    assert {semitones for _, semitones in changes["stretch"]} == {0} and {tempo for tempo, _ in changes["pitch"]} == {1}
    # Drawn alike in all arms: `both` has the tempos of the one and the pitches of the other.
    mixed = zip(changes["stretch"], changes["pitch"], strict=True)
    assert changes["both"] == [(tempo, semitones) for (tempo, _), (_, semitones) in mixed]

    before = {path: path.stat().st_mtime_ns for path in made.glob("*/stage.json")}
    run(config)
    assert {path: path.stat().st_mtime_ns for path in before} == before and (tmp_path / "table.md").read_text() == text
