"""Arms against the first one: means over seeds, paired intervals, sentences, tables; and the teacher's own ablation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies import ablation
from benchmarks.studies.teacher_ablation import ARMS, PRESETS, TeacherAblationConfig, TeacherData, run, train_arm
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError, DataError, RunError
from pocketmood.metrics import paired_difference, score
from teacher.presets import PRESETS as TEACHERS


def noisy(label: np.ndarray, noise: float, seed: int) -> np.ndarray:
    return label + noise * np.random.default_rng(seed).standard_normal(label.shape)


@pytest.fixture
def label() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.8, 0.8, (80, 2))


def test_arms_are_means_over_seeds_with_paired_intervals(label: np.ndarray) -> None:
    worse = np.stack([noisy(label, 0.5, seed) for seed in (1, 2)])
    better = np.stack([noisy(label, 0.2, seed) for seed in (3, 4)])
    first, second = ablation.compare({"plain": worse, "more": better}, label, facts={"more": {"steps": 7}})
    points = [score(of_seed, label)["ccc_mean"] for of_seed in better]
    assert second.ccc == pytest.approx(np.mean(points), rel=0, abs=1e-12)
    assert second.seed_deviation == pytest.approx(abs(points[0] - points[1]) / np.sqrt(2), rel=0, abs=1e-12)
    assert first.difference is None and second.difference == pytest.approx(second.ccc - first.ccc, rel=0, abs=1e-12)
    assert first.low < first.ccc < first.high and second.difference_low is not None and second.difference_low > 0
    assert (first.facts, second.facts, second.seeds) == ({}, {"steps": 7}, 2)


def test_one_seed_is_the_plain_paired_difference(label: np.ndarray) -> None:
    a, b = noisy(label, 0.3, 5), noisy(label, 0.3, 6)
    row = ablation.compare({"a": a[None], "b": b[None]}, label)[1]
    plain = paired_difference(b, a, label)
    assert (row.difference, row.difference_low, row.difference_high) == pytest.approx(tuple(plain), rel=0, abs=1e-12)
    assert row.seed_deviation is None and ablation.scatter(None) == "" and ablation.scatter(0.0126) == "±0.013"
    assert "songs, all arms" in ablation.intervals(1) and "songs and seeds, all arms" in ablation.intervals(2)


def test_seeds_that_scatter_widen_the_interval(label: np.ndarray) -> None:
    plain = np.stack([noisy(label, 0.3, seed) for seed in (1, 2, 3)])
    steady = np.stack([noisy(label, 0.25, seed) for seed in (4, 5, 6)])
    lucky = np.stack([noisy(label, noise, seed) for noise, seed in ((0.05, 4), (0.3, 5), (0.5, 6))])
    rows = {row.name: row for row in ablation.compare({"plain": plain, "steady": steady, "lucky": lucky}, label)}
    widths = {name: row.high - row.low for name, row in rows.items()}
    assert widths["lucky"] > 2 * widths["steady"]
    slow = [
        np.mean([score(of_seed, label)["ccc_mean"] for of_seed in lucky[list(pick)]]) for pick in np.ndindex(3, 3, 3)
    ]
    # All 27 draws of seeds on the songs as they are: the interval spans about what these do.
    assert widths["lucky"] == pytest.approx(np.percentile(slow, 97.5) - np.percentile(slow, 2.5), rel=0.4, abs=0)


def test_sentences_follow_the_interval(label: np.ndarray) -> None:
    arms = {"plain": noisy(label, 0.3, 1), "good": noisy(label, 0.05, 2), "same": noisy(label, 0.3, 3), "bad": -label}
    plain, good, same, bad = ablation.compare({name: pred[None] for name, pred in arms.items()}, label)
    assert "helped" in ablation.verdict(good, "It") and "did harm" in ablation.verdict(bad, "It")
    assert "no difference that these songs could show" in ablation.verdict(same, "It")
    with pytest.raises(DataError, match="compared with"):
        ablation.verdict(plain, "It")


def test_predictions_of_another_shape_are_refused(label: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"arm 'a'.*\(80, 2\).*want \[seeds, songs, 2\]"):
        ablation.compare({"a": label}, label)
    with pytest.raises(DataError, match="at least one arm"):
        ablation.compare({}, label)


def test_the_table_names_its_command(label: np.ndarray, tmp_path: Path) -> None:
    arms = {"plain": noisy(label, 0.3, 1)[None], "more": noisy(label, 0.2, 2)[None]}
    rows = ablation.compare(arms, label, facts={"plain": {"steps": 4}, "more": {"steps": 5}})
    printed = ablation.write(tmp_path / "table", rows, "A title", "python -m something --seeds 1", ["One note."])
    text = (tmp_path / "table.md").read_text()
    lines = text.splitlines()
    assert lines[0] == "# A title" and lines[2] == "    python -m something --seeds 1" and lines[-1] == "One note."
    assert printed == "\n".join(lines[4:])
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 4 and len({line.count("|") for line in table}) == 1 and table[3].startswith("| more | 0.")
    assert table[3].split("|")[4:6] == [" 1 ", "  "]  # one seed scatters nowhere
    stored = json.loads((tmp_path / "table.json").read_text())
    assert [arm["name"] for arm in stored["arms"]] == ["plain", "more"]


@pytest.mark.slow
def test_the_gans_worth_is_measured_at_equal_steps(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from teacher import finetune
    from teacher.stage import run as run_teacher

    teacher = replace(TEACHERS["smoke"], run=tiny_run, baseline=False, listen_s=0.0)
    config = TeacherAblationConfig(teacher=teacher, seeds=1, out=tmp_path / "gan")
    with pytest.raises(RunError, match=f"make teacher RUN={tiny_run}"):
        run(config)
    run_teacher(teacher)
    run(config)
    text = (tmp_path / "gan.md").read_text()
    stored = json.loads((tmp_path / "gan.json").read_text())
    assert [arm["name"] for arm in stored["arms"]] == list(ARMS)
    # 16 songs and 8 synthetic ones in batches of 8: two epochs of three steps, three epochs of two.
    assert [arm["facts"] for arm in stored["arms"]] == [
        {"items": 16, "steps": 6}, {"items": 24, "steps": 6}, {"items": 24, "steps": 6},
    ]  # fmt: skip
    for arm, epochs in (("real", 3), ("gan", 2), ("crops", 2)):
        history = (tiny_run / "ablation" / "teacher" / f"{arm}-0" / "metrics.jsonl").read_text().splitlines()
        assert len(history) == epochs and json.loads(history[-1])["step"] == 6
    assert "The GAN (8 clips)" in text and "against as many re-cropped songs" in text
    before = (tiny_run / "ablation" / "teacher" / "gan-0" / "stage.json").stat().st_mtime_ns
    run(config)
    assert (tmp_path / "gan.md").read_text() == text  # kept trainings are not done again
    assert (tiny_run / "ablation" / "teacher" / "gan-0" / "stage.json").stat().st_mtime_ns == before

    # Another generator asks for the arm that hears it, and for no other.
    data, inputs = TeacherData.open(RunFolder(tiny_run)), {"data": RunFolder(tiny_run).fingerprint("data")}
    other = replace(data.synthetic, record=replace(data.synthetic.record, generator="another"))
    data = replace(data, synthetic=other)
    monkeypatch.setattr(finetune, "train", None)
    for arm in ("real", "crops"):
        train_arm(arm, teacher, data, inputs)
    with pytest.raises(TypeError, match="NoneType"):
        train_arm("gan", teacher, data, inputs)


def test_numbers_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigError, match="seeds 0"):
        replace(PRESETS["demo"], seeds=0)
