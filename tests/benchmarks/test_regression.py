"""Better, worse and no change, against values by hand and runs whose noise is known."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import cpu_time, gate, regression
from benchmarks.record import Record, write_results
from benchmarks.studies import regression_false_alarms
from pocketmood.errors import RunError
from pocketmood.metrics import Paired
from pocketmood.predictions import Predictions, write_predictions

NAME = "model.int8.pte"
IDS = [str(song) for song in range(60)]
RNG = np.random.default_rng(0)
LABELS = RNG.uniform(-0.8, 0.8, (60, 2))


def noisy(level: float, seed: int, rounds: int = 60) -> list[float]:
    """Return ratios with 5 % of noise, and now and then a call that took half as long again."""
    rng = np.random.default_rng(seed)
    values = level * np.exp(rng.normal(0, 0.05, rounds)) * np.where(rng.random(rounds) < 0.1, 1.5, 1)
    return [float(value) for value in values]


def write_run(folder: Path, predictions: np.ndarray, ratios: list[float], size: int = 1000, **more: object) -> Path:
    figures = {"status": "passed", "size_bytes": size, "ccc_mean": 0.6, **more}
    record = Record(NAME, cpu_time_ratios=ratios, cpu_time_ratio=float(np.median(ratios)), **figures)
    folder.mkdir(parents=True)
    write_results(folder / "results.json", [record])
    write_predictions(
        folder / "predictions" / f"{NAME}.csv", Predictions(tuple(IDS), ("test",) * 60, predictions, LABELS)
    )
    return folder / "results.json"


def verdicts(then: Path, now: Path) -> dict[str, str]:
    return {change.what: change.verdict for change in regression.compare(then, now, [NAME])}


def test_the_same_run_twice_shows_no_change(tmp_path: Path) -> None:
    predictions = LABELS * 0.9
    then = write_run(tmp_path / "a", predictions, noisy(3.0, 1))
    now = write_run(tmp_path / "b", predictions, noisy(3.0, 2))
    assert verdicts(then, now) == {"status": "no change", "CCC": "no change", "latency": "no change",
                                   "size": "no change"}  # fmt: skip


def test_what_became_worse_or_better_is_told(tmp_path: Path) -> None:
    blurred = LABELS * 0.9 + RNG.normal(0, 0.2, LABELS.shape)
    then = write_run(tmp_path / "a", LABELS * 0.9, noisy(3.0, 1))
    now = write_run(tmp_path / "b", blurred, noisy(3.6, 2), size=1001, status="failed validation")
    every = ("status", "CCC", "latency", "size")
    assert verdicts(then, now) == dict.fromkeys(every, "worse")
    assert verdicts(now, then) == dict.fromkeys(every, "better")
    lines = [str(change) for change in regression.compare(then, now, [NAME])]
    assert f"{NAME}: size worse: 1000 bytes, now 1001 (+1)" in lines


def test_the_median_of_ratios_by_hand() -> None:
    # medians 2 and 3; every resampling of constants is the same, so the interval is the value itself
    assert regression.latency_change([2.0] * 7, [3.0] * 7) == Paired(1.5, 1.5, 1.5)
    assert regression.latency_change([1, 2, 9], [2, 3, 4]).difference == pytest.approx(1.5, abs=1e-12)


def test_an_interval_is_as_wide_as_the_noise_between_runs() -> None:
    changes = [regression.latency_change(noisy(3, seed), noisy(3, 100 + seed)) for seed in range(40)]
    inside = [change.low <= 1 <= change.high for change in changes]
    assert sum(inside) >= 37  # 99 % asked, 40 drawn


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (Paired(1.2, 1.1, 1.3), "worse"),
        (Paired(1.2, 0.99, 1.4), "no change"),  # may as well be noise
        (Paired(1.05, 1.04, 1.06), "no change"),  # sure, and too little to matter
        (Paired(0.8, 0.7, 0.9), "better"),
        (Paired(0.8, 0.7, 1.01), "no change"),
    ],
)
def test_a_latency_changed_only_if_surely_and_by_enough(change: Paired, verdict: str) -> None:
    assert regression.judge_latency(change) == verdict


def test_other_songs_are_not_compared(tmp_path: Path) -> None:
    then = write_run(tmp_path / "a", LABELS, noisy(3, 1))
    now = write_run(tmp_path / "b", LABELS, noisy(6, 2))
    labels = LABELS[::-1]
    write_predictions(
        now.parent / "predictions" / f"{NAME}.csv", Predictions(tuple(IDS), ("test",) * 60, LABELS, labels)
    )
    assert verdicts(then, now)["CCC"] == "not comparable"


def test_a_figure_or_a_row_that_went_missing_is_worse(tmp_path: Path) -> None:
    then = write_run(tmp_path / "a", LABELS, noisy(3, 1))
    now = write_run(tmp_path / "b", LABELS, noisy(3, 2), size=None, ccc_mean=None)  # type: ignore[arg-type]
    found = verdicts(then, now)
    assert (found["CCC"], found["size"], found["latency"]) == ("worse", "worse", "no change")
    write_results(now, [])
    assert verdicts(then, now) == {"row": "worse"}
    assert verdicts(now, then) == {"row": "not comparable"}


def test_predictions_must_lie_beside_the_results(tmp_path: Path) -> None:
    then = write_run(tmp_path / "a", LABELS, noisy(3, 1))
    now = write_run(tmp_path / "b", LABELS, noisy(3, 2))
    (then.parent / "predictions" / f"{NAME}.csv").unlink()
    with pytest.raises(RunError, match="keep the folder `predictions` beside"):
        regression.compare(then, now, [NAME])


def test_the_gate_is_red_for_a_slow_down_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    then = write_run(tmp_path / "a", LABELS, noisy(3.0, 1))
    write_run(tmp_path / "run" / "benchmarks", LABELS, noisy(3.6, 2), ccc_drop=0.0, parity_error=0.0, peak_rss_bytes=1)
    words = ["--run", str(tmp_path / "run"), "--rows", NAME, "--against", str(then), "--max-drop", ".1"]
    assert gate.main(words) == 1
    printed = capsys.readouterr().out
    assert f"gate: {NAME}: latency worse: " in printed and f"against: {NAME}: size no change" in printed


def test_trials_count_false_alarms_and_misses() -> None:
    twin = NAME + regression_false_alarms.SLOWED
    runs = [{NAME: noisy(3, seed), twin: noisy(3.6, 50 + seed)} for seed in range(4)]
    found = regression_false_alarms.judge(runs)
    assert found["holds"] and found["rows"][NAME]["identical"]["pairs"] == 12
    assert found["rows"][NAME]["slowed"]["called_worse_of_all_pairs"] == 12
    runs[2] = {NAME: noisy(4, 9), twin: noisy(3, 9)}
    found = regression_false_alarms.judge(runs)
    assert not found["holds"]
    assert found["rows"][NAME]["identical"]["called_worse"] == 1 and found["rows"][NAME]["slowed"]["called_worse"] == 2


def busy(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_slowed_call_takes_its_share_longer() -> None:
    begun = time.process_time()
    regression_false_alarms.slowed(lambda: busy(0.05), 0.4)()
    assert time.process_time() - begun == pytest.approx(0.07, abs=0.01)


def test_work_does_not_count_what_others_do_meanwhile() -> None:
    def crowded() -> None:
        busy(0.02)
        time.sleep(0.05)  # as if another process had the core

    found = cpu_time.ratios({"alone": lambda: busy(0.02), "crowded": crowded}, rounds=5)
    ratio = np.median(found["crowded"]) / np.median(found["alone"])
    assert ratio == pytest.approx(1, abs=0.25)
