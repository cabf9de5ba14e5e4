"""The study of what the teacher is asked: its arms, its table by hand, and a small run of it all that is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies import soft_target_crops
from benchmarks.studies.soft_target_crops import PRESETS, SoftTargetCropsConfig, trained_on
from benchmarks.studies.soft_target_crops_table import ARMS, MEASURES, NETWORKS, Choice, Found, table
from pocketmood.errors import ConfigError
from teacher.presets import PRESETS as TEACHERS

SONGS = ("a", "b", "c", "d", "e", "f")
LABELS = np.array([[-0.6, 0.2], [-0.2, -0.5], [0.0, 0.6], [0.3, -0.1], [0.5, 0.4], [0.7, -0.6]])


def test_arms_train_on_what_they_say() -> None:
    whole = trained_on(ARMS[0], TEACHERS["demo"], 0.5)
    assert (whole.crop_frames, whole.whole_batches) == (256, 0.0)
    both = trained_on(ARMS[1], TEACHERS["demo"], 0.25)
    assert (both.crop_frames, both.whole_batches) == (64, 0.25)
    # ViT-B sees every frame, the student every fifth: 64 x 5.
    assert trained_on(ARMS[1], TEACHERS["full"], 0.5).crop_frames == 320
    assert trained_on(ARMS[0], TEACHERS["full"], 0.5).crop_frames == 1292


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_arms_that_would_be_the_same_are_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=f"--whole-batches {share}"):
        SoftTargetCropsConfig(whole_batches=share)


def found(seeds: int = 2) -> Found:
    """Return predictions of perfect teachers and students, but for the first arm, which knows nothing of crops."""

    def predictions(choice: Choice, seed: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        crops = np.repeat(LABELS, 3, 0) if choice != ARMS[0] else np.zeros((18, 2))
        crops = crops + rng.normal(0, 1e-3, crops.shape)
        noise = 0.3 * rng.standard_normal(LABELS.shape) if choice == ARMS[0] else 0
        return {"whole": LABELS, "song": crops.reshape(6, 3, 2).mean(1), "single": crops, "student": LABELS + noise}

    arms = {choice: [predictions(choice, seed) for seed in range(seeds)] for choice in ARMS}
    return Found(dict.fromkeys(NETWORKS, arms), SONGS, LABELS)


def test_every_measure_is_taken_beside_the_first_arm() -> None:
    study = found()
    rows = {measure: study.compare("picture", measure) for measure in MEASURES}
    assert [arm.name for arm in rows["single"]] == ["whole, crops", "both, crops", "whole, whole", "both, whole"]
    # A perfect prediction has a CCC of 1, one that knows nothing 0; the noise is a thousandth.
    assert [round(arm.ccc, 2) for arm in rows["single"]] == [0, 1, 1, 1]
    assert [arm.difference for arm in rows["whole"]] == [None, 0, 0, 0]
    assert rows["song"][2].difference == pytest.approx(1, rel=0, abs=0.02)
    lines = table(rows).splitlines()
    assert len(lines) == 2 + 4 and lines[3].startswith("| both, crops | 1.000 | +0.000 [+0.000, +0.000] | 1.000 |")
    assert lines[0].count("less whole, crops") == len(MEASURES)
    assert "For the student, (whole, whole) against (both, crops) made no difference" in study.conclusions("hybrid")[-1]


def test_an_unfinished_study_says_so(tmp_path: Path) -> None:
    found(1).write(tmp_path / "one", "python -m x", "Teachers.", wanted=3)
    text = (tmp_path / "one.md").read_text()
    assert "1 seeds. UNFINISHED: 3 were asked for" in text
    found(3).write(tmp_path / "all", "python -m x", "Teachers.", wanted=3)
    assert "UNFINISHED" not in (tmp_path / "all.md").read_text()
    assert json.loads((tmp_path / "all.json").read_text())["hybrid"]["student"][0]["seeds"] == 3


@pytest.mark.slow
def test_a_small_study_is_kept_and_continued(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    smoke = PRESETS["smoke"]
    config = replace(smoke, student=replace(smoke.student, run=tiny_run), out=tmp_path / "out")
    assert soft_target_crops.run(config, "python -m x") == 0
    result = json.loads((tmp_path / "out.json").read_text())
    for network in NETWORKS:
        # Asked for the whole clip, the teacher says the same of every crop; it is one teacher for both questions.
        rows = {name: {arm["name"]: arm["ccc"] for arm in arms} for name, arms in result[network].items()}
        for trained in ("whole", "both"):
            assert rows["whole"][f"{trained}, crops"] == rows["whole"][f"{trained}, whole"]
            assert rows["single"][f"{trained}, whole"] == pytest.approx(rows["whole"][f"{trained}, whole"], abs=1e-6)
        assert rows["single"]["both, crops"] != rows["single"]["both, whole"]
    stages = {path.name for path in (tiny_run / "ablation" / "soft_target_crops").iterdir()}
    assert {"picture-whole-0", "picture-whole-0-crops", "student-hybrid-both-whole-0"} <= stages

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("teacher.finetune.train", refuse)
    monkeypatch.setattr("student.train_once.train_student", refuse)
    assert soft_target_crops.run(config, "python -m x") == 0
    assert json.loads((tmp_path / "out.json").read_text()) == result
    capsys.readouterr()
