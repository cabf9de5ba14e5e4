"""Our training loop beside a plain one: the sums, the turns, and a small run of it all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.studies import training_throughput as bench
from pocketmood.errors import ConfigError, RunError
from student.config import PRESETS
from tests.helpers.soft_targets import make_teacher


def test_shares_are_paired_by_round() -> None:
    # ours takes .2 and .4 s, plain .1 and .4: half as fast, then the same; medians of 2 are means
    seconds = {bench.OURS: [0.2, 0.4], bench.PLAIN: [0.1, 0.4], bench.LAST: [0.1, 0.2]}
    found = bench.summary(seconds, batch_size=8)
    row = found["rows"][bench.PLAIN]
    assert row["crops_per_second"] == pytest.approx((80 + 20) / 2, rel=1e-12, abs=0)
    assert [row[name] for name in ("ours_over_this", "lowest", "highest")] == pytest.approx([0.75, 0.5, 1])
    assert not found["within_limit"] and found["rows"][bench.OURS]["ours_over_this"] == 1
    assert bench.summary({**seconds, bench.OURS: [0.11, 0.44]}, 8)["within_limit"]


def test_loops_take_turns_in_changing_order_after_a_warm_up() -> None:
    called: list[tuple[str, int]] = []

    def loop(name: str) -> Callable[[int], float]:
        def train(steps: int) -> float:
            called.append((name, steps))
            return float(len(called))

        return train

    found = bench.in_turns({name: loop(name) for name in "abc"}, steps=7, rounds=6)
    rounds = [tuple(name for name, _ in called[first : first + 3]) for first in range(0, 21, 3)]
    assert all(set(names) == set("abc") for names in rounds) and len(set(rounds)) > 1
    assert {steps for _, steps in called} == {7} and all(len(times) == 6 for times in found.values())
    assert min(min(times) for times in found.values()) > 3  # nothing of the first round


def test_without_a_teacher_the_command_to_type_is_named(tiny_run: Path) -> None:
    with pytest.raises(RunError, match="make teacher RUN="):
        bench.main(["--run", str(tiny_run), "--preset", "smoke"])
    with pytest.raises(ConfigError, match="--rounds 0 must be at least 1"):
        bench.main(["--run", str(tiny_run), "--rounds", "0"])


@pytest.mark.slow
def test_a_small_run_writes_both_files(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_teacher(tiny_run)
    monkeypatch.setitem(
        PRESETS, "smoke", replace(PRESETS["smoke"], schedule=replace(PRESETS["smoke"].schedule, batch_size=2))
    )
    args = ["--run", str(tiny_run), "--preset", "smoke", "--steps", "1", "--rounds", "1"]
    bench.main([*args, "--out", str(tmp_path / "throughput")])
    found = json.loads((tmp_path / "throughput.json").read_text())
    assert all(row["crops_per_second"] > 0 for row in found["rows"].values())
    assert len(found["seconds_per_step"][bench.OURS]) == 1 and found["batch_size"] == 2
    text = (tmp_path / "throughput.md").read_text()
    assert "limit of 90%" in text and str(tmp_path) not in text and text.strip().endswith(").")
    assert "channels last" in capsys.readouterr().out
