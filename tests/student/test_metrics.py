"""The student's metrics: comparison on the same songs, the file that holds them, and the table for people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pocketmood.metrics import Paired
from pocketmood.predictions import Predictions
from student.metrics import PartMetrics, Scores, StudentMetrics, compare, table


def predictions(emotion: np.ndarray, labels: np.ndarray, split: str) -> Predictions:
    ids = tuple(f"{split} {row}" for row in range(len(labels)))
    return Predictions(ids, (split,) * len(ids), emotion, labels)


def joined(a: Predictions, b: Predictions) -> Predictions:
    arrays = (np.concatenate(pair) for pair in ((a.emotion, b.emotion), (a.labels, b.labels)))
    return Predictions(a.ids + b.ids, a.splits + b.splits, *arrays)


def test_comparison_follows_songs_not_rows() -> None:
    rng = np.random.default_rng(0)
    labels = rng.uniform(-0.7, 0.7, (60, 2))
    student, teacher, floor = (labels + rng.normal(0, noise, labels.shape) for noise in (0.1, 0.1, 0.5))

    def both(emotion: np.ndarray) -> Predictions:
        halves = [predictions(emotion[rows], labels[rows], part) for rows, part in
                  ((slice(0, 30), "validation"), (slice(30, 60), "test"))]  # fmt: skip
        return joined(*halves)

    turned = both(teacher).take(rng.permutation(60))
    parts = compare(both(student), {"teacher": turned, "floor": both(floor)})
    straight = compare(both(student), {"teacher": both(teacher), "floor": both(floor)})
    assert parts == straight
    test = parts["test"]
    kept, scores = test.ratio_to_teacher, test.student
    assert kept is not None and kept["low"] < kept["ratio"] < kept["high"]
    share = scores.values["ccc_mean"] / test.references["teacher"].values["ccc_mean"]
    assert kept["ratio"] == pytest.approx(share, rel=1e-9, abs=0)
    assert test.differences["floor"].low > 0


def metrics(**changes: object) -> StudentMetrics:
    """Return made-up metrics, their test part changed."""
    listeners = {"68": {"mean": 0.66}, "95": {"mean": 0.94}}
    coverage = {"listeners": listeners, "songs": {"68": {"mean": 0.91}, "95": {"mean": 1.0}}}
    means = {"student": 0.6, "teacher": 0.8, "floor": 0.5}
    scores = {
        name: Scores({"ccc_mean": mean, "ccc_valence": mean - 0.1, "ccc_arousal": mean + 0.1}, mean - 0.2, mean + 0.2)
        for name, mean in means.items()
    }
    gains = {"teacher": Paired(-0.2, -0.3, -0.1), "floor": Paired(0.1, 0.05, 0.15)}
    part = PartMetrics(
        songs=30,
        student=scores.pop("student"),
        references=scores,
        differences=gains,
        ratio_to_teacher={"ratio": 0.75, "low": 0.7, "high": 0.8},
        coverage=coverage,
    )
    parts = {"validation": part, "test": replace(part, **changes)}  # type: ignore[arg-type]
    scale = {"valence": 0.9, "arousal": 1.1}
    return StudentMetrics(parts, scale, parameters=7, epochs=2, step_seconds=0.5, examples_per_second=16.0)


def test_the_table_says_what_is_kept_and_what_lies_inside() -> None:
    text = table("x", metrics())
    assert "kept of the teacher: 75.0% [70.0%, 80.0%]" in text and "valence x0.90, arousal x1.10" in text
    assert "above the floor: +0.100 [+0.050, +0.150]" in text and "30 test songs; 16 crops per second" in text
    assert "student (x)                  0.600   0.600   [0.400, 0.800]     0.500    0.700" in text
    assert "inside the 68 % interval: the mean rating of 91% of songs, 66% of single ratings (expected)" in text
    untold = table("x", metrics(ratio_to_teacher=None))
    assert "kept of the teacher: no share can be told: too few songs, or too weak" in untold
    songs = {"68": {"mean": 0.91}, "95": {"mean": 1.0}}
    lonely = table("x", metrics(coverage={"listeners": {"68": None, "95": None}, "songs": songs}))
    assert "inside the 95 % interval: the mean rating of 100% of songs, (no deviations" in lonely


def test_the_file_has_the_students_scores_at_the_top_of_a_part() -> None:
    values = metrics().as_json()
    assert list(values) == ["validation", "test", "interval_scale", "parameters", "epochs", "step_seconds",
                            "examples_per_second"]  # fmt: skip
    test = values["test"]
    assert test["songs"] == 30 and test["ccc_mean"] == 0.6
    assert (test["ccc_mean_low"], test["ccc_mean_high"]) == pytest.approx((0.4, 0.8), rel=1e-12, abs=0)
    assert test["teacher"]["ccc_mean"] == 0.8 and test["floor"]["ccc_mean"] == 0.5
    assert test["difference_to_floor"] == {"difference": 0.1, "low": 0.05, "high": 0.15}
    assert test["ratio_to_teacher"] == {"ratio": 0.75, "low": 0.7, "high": 0.8}
    assert test["coverage"]["songs"]["68"] == {"mean": 0.91}


def test_of_signs_auc_and_quadrants_come_first() -> None:
    rng = np.random.default_rng(1)
    labels = rng.choice([-0.5, 0.5], (60, 2))
    halves = (("validation", slice(0, 30)), ("test", slice(30, 60)))

    def both(noise: float) -> Predictions:
        emotion = labels + np.random.default_rng(2).normal(0, noise, labels.shape)
        return joined(*(predictions(emotion[rows], labels[rows], part) for part, rows in halves))

    parts = compare(both(0.3), {"teacher": both(0.2), "floor": both(0.9)}, "quadrants")
    found = StudentMetrics(parts, {"valence": 1.0, "arousal": 1.0}, 10, 1, 0.1, 100.0)
    values = found.as_json()["test"]
    assert values["auc_valence_low"] <= values["auc_valence"] <= values["auc_valence_high"]
    assert "rmse_valence" not in values and "rmse_valence" not in values["teacher"]
    text = table("net", found, "quadrants")
    assert text.splitlines()[0].startswith("30 test songs") and "AUC V" in text.splitlines()[0]
    assert text.index("AUC V") < text.index("CCC of signs") and "mean CCC of signs on 30 test songs" in text
