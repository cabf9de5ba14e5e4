"""The calibration of spreads and the two coverages, by hand and against drawn listeners."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketmood.errors import DataError, RunError
from pocketmood.runs import read_json, write_json
from student.mobilevit import Student, load_student, save_student
from student.spread import LEVELS, calibration, coverage, expected_inside

ONE = math.erf(1 / math.sqrt(2))
"""Share of a normal distribution within one standard deviation: .6827."""


def both(*values: float) -> np.ndarray:
    """Make [N, 2] whose axes are alike."""
    return np.array([[value, value] for value in values])


def test_scale_by_hand() -> None:
    # second moments .3^2 + .4^2 = .25 and .6^2 + .8^2 = 1, over spreads of .5 and .5: mean of 1 and 4
    scale = calibration(both(0, 0), both(0.5, 0.5), both(0.4, -0.8), both(0.3, 0.6))
    assert scale == pytest.approx([math.sqrt(2.5)] * 2, rel=1e-12, abs=0)


def test_songs_without_deviations_do_not_count() -> None:
    scale = calibration(both(0, 9), both(0.5, 0.5), both(0.4, 0), both(0.3, math.nan))
    assert scale == pytest.approx([1, 1], rel=1e-12, abs=0)
    with pytest.raises(DataError, match="none of 1 songs has a deviation"):
        calibration(both(0), both(0.5), both(0), both(math.nan))


def test_no_other_scale_is_likelier() -> None:
    rng = np.random.default_rng(0)
    emotion, labels = rng.normal(0, 0.3, (2, 50, 2))
    spread, deviations = rng.uniform(0.2, 0.6, (2, 50, 2))

    def likelihood(scale: np.ndarray) -> np.ndarray:
        moment = deviations**2 + (labels - emotion) ** 2
        return (np.log(scale * spread) + moment / (2 * (scale * spread) ** 2)).mean(0)

    best = calibration(emotion, spread, labels, deviations)
    assert (likelihood(best) < likelihood(1.02 * best)).all() and (likelihood(best) < likelihood(0.98 * best)).all()


def test_listeners_by_hand() -> None:
    # a right answer and a right spread hold .683; an answer one deviation off holds (Phi(2) - Phi(0)) = .477
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


def test_calibrated_spreads_hold_the_drawn_listeners() -> None:
    rng = np.random.default_rng(1)
    labels = rng.normal(0, 0.3, (400, 2))
    deviations = rng.uniform(0.25, 0.45, labels.shape)
    emotion = labels + rng.normal(0, 0.2, labels.shape)
    spread = rng.uniform(0.9, 1.1, labels.shape) * [0.2, 0.9]  # one axis too sure, one not sure enough
    spread *= calibration(emotion, spread, labels, deviations)
    found = coverage(emotion, spread, labels, deviations)
    ratings = labels + deviations * rng.standard_normal((500, *labels.shape))
    for level, half_width in LEVELS.items():
        drawn = (np.abs(ratings - emotion) < half_width * spread).mean((0, 1))
        expected = [found["listeners"][level][axis] for axis in ("valence", "arousal")]
        assert drawn == pytest.approx(expected, rel=0, abs=0.005)  # 200 000 ratings per axis
        assert drawn == pytest.approx(int(level) / 100, rel=0, abs=0.03)
    # means over listeners scatter less than listeners
    assert found["songs"]["68"]["mean"] > 0.9


def test_scale_is_part_of_the_student(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = Student("mobilevit_xxs", frames=64, layers=1).eval()
    mel = torch.rand(1, 1, 128, 64)
    with torch.no_grad():
        before = student(mel)
        student.spread_scale.copy_(torch.tensor([0.5, 2.0]))
        after = student(mel)
    assert torch.equal(after.emotion, before.emotion)
    assert torch.equal(after.spread, before.spread * torch.tensor([0.5, 2.0]))
    save_student(student, tmp_path, {})
    assert read_json(tmp_path / "config.json")["spread_scale"] == [0.5, 2.0]
    back, _ = load_student(tmp_path)
    with torch.no_grad():
        assert torch.equal(back(mel).spread, after.spread)


@pytest.mark.parametrize("schema", [2, 9])
def test_students_of_another_schema_are_refused(schema: int, tmp_path: Path) -> None:
    save_student(Student("mobilevit_xxs", frames=64, layers=1), tmp_path, {})
    write_json(tmp_path / "config.json", read_json(tmp_path / "config.json") | {"schema": schema})
    with pytest.raises(RunError, match=f"schema {schema}, this version reads 3; run: python -m student --run"):
        load_student(tmp_path)
