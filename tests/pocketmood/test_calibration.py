"""The calibration of intervals and the two coverages, by hand and against drawn listeners."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketmood.calibration import LEVELS, conformal_factor, coverage, expected_inside
from pocketmood.errors import RunError
from pocketmood.runs import read_json, write_json
from student.mobilevit import Student, load_student, save_student

ONE = math.erf(1 / math.sqrt(2))
"""Share of a normal distribution within one standard deviation: .6827."""


def both(*values: float) -> np.ndarray:
    """Make [N, 2] whose axes are alike."""
    return np.array([[value, value] for value in values])


def test_factor_by_hand() -> None:
    # misses of .1 .. .9 over deviations of .5; of nine, the ceil(.6827 * 10) = 7th smallest: .7 / .5
    misses = np.array([0.3, -0.9, 0.1, 0.5, -0.7, 0.2, -0.4, 0.8, 0.6])
    factor = conformal_factor(both(*np.zeros(9)), both(*np.full(9, 0.5)), both(*misses))
    assert factor == pytest.approx([1.4, 1.4], rel=1e-12, abs=0)


def test_axes_and_songs_count_by_their_own_deviations() -> None:
    # misses in deviations: valence .2 / .1, .2 / .4, .3 / .2 = 2, .5, 1.5; arousal 3, 1, 1; of three, the third
    emotion, labels = np.zeros((3, 2)), np.array([[0.2, 0.3], [-0.2, 0.2], [0.3, 0.1]])
    rater_sd = np.array([[0.1, 0.1], [0.4, 0.2], [0.2, 0.1]])
    assert conformal_factor(emotion, rater_sd, labels) == pytest.approx([2, 3], rel=1e-12, abs=0)


def test_too_few_songs_take_the_largest_miss() -> None:
    assert conformal_factor(both(0), both(0.5), both(0.2)) == pytest.approx([0.4, 0.4], rel=1e-12, abs=0)


@pytest.mark.parametrize("scatter", ["normal", "heavy tails"])
def test_new_songs_lie_inside_as_promised(scatter: str) -> None:
    rng = np.random.default_rng(1)
    draw = rng.standard_normal if scatter == "normal" else partial(rng.standard_t, 3)
    rater_sd = rng.uniform(0.2, 0.4, (20_000, 2)) * [0.5, 3]  # one axis too sure, one not sure enough
    labels = 0.2 * rater_sd / [0.5, 3] * draw(size=rater_sd.shape)
    predictions = np.zeros_like(labels)
    shares = []
    for known in np.array_split(np.arange(10_000), 100):  # as many calibrations on 100 songs
        wide = rater_sd[10_000:] * conformal_factor(predictions[known], rater_sd[known], labels[known])
        found = coverage(predictions[10_000:], wide, labels[10_000:], np.full_like(wide, math.nan))
        shares.append(found["songs"]["68"]["mean"])
    # the mean over calibrations is rank / (N + 1) = 69 / 101; each scatters by .033 (two axes), their mean by .0033
    assert np.mean(shares) == pytest.approx(69 / 101, rel=0, abs=0.012)


def test_listeners_by_hand() -> None:
    # a right prediction and a right interval hold .683; a prediction one deviation off holds (Phi(2) - Phi(0)) = .477
    inside = expected_inside(both(0.1, 0.4), both(0.3, 0.3), both(0.1, 0.1), both(0.3, 0.3))
    assert inside[:, 0] == pytest.approx([ONE, math.erf(2 / math.sqrt(2)) / 2], rel=1e-9, abs=0)
    # listeners who all agree are all inside or all outside
    assert expected_inside(both(0, 0), both(0.2, 0.2), both(0.1, 0.3), both(0, 0))[:, 0].tolist() == [1, 0]


def test_coverage_of_listeners_and_of_songs() -> None:
    found = coverage(both(0, 0), both(0.3, 0.1), both(0, 0.15), both(0.3, math.nan))
    assert found["listeners"]["68"]["mean"] == pytest.approx(ONE, rel=1e-9, abs=0)  # the first song alone
    assert found["listeners"]["95"]["valence"] == pytest.approx(math.erf(1.96 / math.sqrt(2)), rel=1e-9, abs=0)
    assert found["songs"]["68"]["mean"] == 0.5 and found["songs"]["95"]["arousal"] == 1  # .15 lies beyond .1, in .196
    alone = coverage(both(0), both(0.3), both(0), both(math.nan))
    assert alone["listeners"] == dict.fromkeys(LEVELS) and alone["songs"]["68"]["mean"] == 1


def test_listeners_are_those_that_one_would_draw() -> None:
    rng = np.random.default_rng(1)
    labels = rng.normal(0, 0.3, (400, 2))
    deviations, interval68 = rng.uniform(0.25, 0.45, labels.shape), rng.uniform(0.2, 0.5, labels.shape)
    emotion = labels + rng.normal(0, 0.2, labels.shape)
    found = coverage(emotion, interval68, labels, deviations)
    ratings = labels + deviations * rng.standard_normal((500, *labels.shape))
    for level, half_width in LEVELS.items():
        drawn = (np.abs(ratings - emotion) < half_width * interval68).mean((0, 1))
        expected = [found["listeners"][level][axis] for axis in ("valence", "arousal")]
        assert drawn == pytest.approx(expected, rel=0, abs=0.005)  # 200 000 ratings per axis


def test_scale_is_part_of_the_student(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = Student("mobilevit_xxs", frames=64, layers=1).eval()
    mel = torch.rand(1, 1, 128, 64)
    with torch.no_grad():
        before = student(mel)
        student.interval_scale.copy_(torch.tensor([0.5, 2.0]))
        after = student(mel)
    assert torch.equal(after.emotion, before.emotion)
    assert torch.equal(after.interval68, before.interval68 * torch.tensor([0.5, 2.0]))
    save_student(student, tmp_path)
    assert read_json(tmp_path / "config.json")["interval_scale"] == [0.5, 2.0]
    back, _ = load_student(tmp_path)
    with torch.no_grad():
        assert torch.equal(back(mel).interval68, after.interval68)


@pytest.mark.parametrize("schema", [3, 9])
def test_students_of_another_schema_are_refused(schema: int, tmp_path: Path) -> None:
    save_student(Student("mobilevit_xxs", frames=64, layers=1), tmp_path)
    write_json(tmp_path / "config.json", read_json(tmp_path / "config.json") | {"schema": schema})
    with pytest.raises(RunError, match=f"schema {schema}, this version reads 5; run: python -m student --run"):
        load_student(tmp_path)
