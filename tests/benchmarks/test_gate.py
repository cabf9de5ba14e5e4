"""The gate is red for every broken limit, for what was not measured, and for what became worse; else it is green."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from benchmarks import gate
from benchmarks.gate import GateConfig, broken_limits
from benchmarks.record import Record, write_results
from pocketmood.errors import ConfigError, RunError
from tests.helpers import ROOT

ROWS = ("model.fp32.pte", "model.int8.pte")


def row(name: str, **figures: object) -> Record:
    known = {"ccc_mean": 0.64, "ccc_drop": 0.03, "latency_ratio": 3.0, "size_bytes": 5_000_000, "parity_error": 1e-6}
    known["speedup_over_teacher"] = 5.0
    return Record(name, status="passed", **{**known, **figures})  # type: ignore[arg-type]


def write_run(run: Path, *records: Record) -> Path:
    (run / "benchmarks").mkdir(parents=True)
    write_results(run / "benchmarks" / "results.json", records)
    return run


def test_green_where_every_limit_is_kept() -> None:
    config = GateConfig(
        rows=ROWS, max_drop=0.03, min_ccc=0.64, max_latency_ratio=3, max_size_mb=5, min_speedup_over_teacher=5
    )
    assert broken_limits(config, [row(name) for name in ROWS]) == []  # a limit itself is allowed


@pytest.mark.parametrize(
    ("limit", "figure", "line"),
    [
        ({"max_drop": 0.02}, {}, "CCC drop against the teacher is 0.03 (max-drop 0.02)"),
        ({"min_ccc": 0.65}, {}, "mean CCC is 0.64 (min-ccc 0.65)"),
        ({"max_latency_ratio": 2.9}, {}, "latency over the reference kernel's is 3 (max-latency-ratio 2.9)"),
        (
            {"min_speedup_over_teacher": 5.1},
            {},
            "speed over the teacher's is 5 (min-speedup-over-teacher 5.1)",
        ),
        ({"max_size_mb": 4.9}, {}, "size in MB is 5 (max-size-mb 4.9)"),
        ({"max_parity_error": 1e-7}, {}, "difference to PyTorch is 1e-06 (max-parity-error 1e-07)"),
        ({"max_memory_mb": 900}, {}, "peak memory in MB was not measured (max-memory-mb 900)"),
        ({"max_drop": 0.05}, {"ccc_drop": None}, "CCC drop against the teacher was not measured (max-drop 0.05)"),
        ({"max_drop": 0.05}, {"ccc_drop": float("nan")}, "CCC drop against the teacher is nan (max-drop 0.05)"),
        ({"max_drop": 0.05}, {"status": "failed", "reason": "bad bytes"}, "failed (bad bytes)"),
    ],
)
def test_red_with_one_line_per_broken_limit(limit: dict[str, float], figure: dict[str, object], line: str) -> None:
    damaged = row("model.int8.pte")
    for key, value in figure.items():
        setattr(damaged, key, value)
    assert broken_limits(GateConfig(rows=("model.int8.pte",), **limit), [damaged]) == [f"model.int8.pte: {line}"]


@pytest.mark.parametrize(
    ("low", "high", "broken", "known"),
    [
        (0.01, 0.02, False, True),
        (-0.01, 0.09, False, False),
        (0.021, 0.09, True, True),
        (float("nan"),) * 2 + (True, True),
    ],
)
def test_a_drop_is_judged_by_its_interval(low: float, high: float, broken: bool, known: bool) -> None:
    config = GateConfig(rows=("model.int8.pte",), max_drop=0.02)
    records = [row("model.int8.pte", ccc_drop=0.03, ccc_drop_low=low, ccc_drop_high=high)]
    assert bool(broken_limits(config, records)) == broken
    line = "model.int8.pte: a CCC drop of -0.010 to +0.090 cannot be told (max-drop 0.02)"
    assert gate.open_lines(config, records) == ([] if known else [line])


def test_a_row_that_is_not_there_keeps_no_limit() -> None:
    found = broken_limits(GateConfig(rows=ROWS, max_drop=0.1), [row("model.fp32.pte")])
    assert found == ["model.int8.pte: no such row in the results"]


def test_a_gate_without_limits_is_no_gate() -> None:
    with pytest.raises(ConfigError, match="no limit or no row to hold"):
        broken_limits(GateConfig(rows=ROWS), [])


def test_exit_code_and_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", *(row(name, peak_rss_bytes=10**8) for name in GateConfig.rows))
    assert gate.main(["--run", str(run), "--max-drop", "0.05"]) == 0
    assert "gate: green" in capsys.readouterr().out
    assert gate.main(["--run", str(run), "--max-drop", "0.01"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[-1].startswith("gate: RED: 3 rows")
    with pytest.raises(RunError, match="python -m benchmarks --run"):
        gate.main(["--run", str(tmp_path / "nothing")])


def test_limits_come_from_pyproject_and_flags_go_before_them(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text('[tool.pocketmood.gate]\nrows = ["a", "b"]\nmax-drop = 0.1\n')
    assert gate.settings(project) == GateConfig(rows=("a", "b"), max_drop=0.1)
    project.write_text("[tool.pocketmood.gate]\nmax-drops = 0.1\n")
    with pytest.raises(ConfigError, match="no key 'max-drops'; it knows max-drop"):
        gate.settings(project)
    project.write_text('[tool.pocketmood.gate]\nmax-drop = "small"\n')
    with pytest.raises(ConfigError, match="'small' is no number"):
        gate.settings(project)
    project.write_text("[tool.other]\n")
    assert gate.settings(project) == GateConfig()


def test_the_projects_own_limits_can_be_broken() -> None:
    config = gate.settings(ROOT / "pyproject.toml")
    bad = [Record(name, status="failed", reason="x") for name in config.rows]
    assert len(broken_limits(config, bad)) >= 2 * len(config.rows)


def test_the_pull_request_workflow_calls_commands_that_exist() -> None:
    text = (ROOT / ".github" / "workflows" / "gate.yml").read_text()
    workflow = yaml.safe_load(text)
    assert "pull_request" in workflow[True]  # YAML reads the key `on` as a truth
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = " \n".join(step.get("run", "") for step in steps)
    modules = re.findall(r"python -m (benchmarks\.[\w.]+)", commands)
    assert {"benchmarks.gate", "benchmarks.studies.gate_self_test"} <= set(modules)
    for module in modules:
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
    flags = {word for line in commands.splitlines() if "benchmarks.gate " in line for word in shlex.split(line)}
    known = {f"--{name.replace('_', '-')}" for name in GateConfig.__dataclass_fields__}
    assert {flag for flag in flags if flag.startswith("--")} <= known


def test_the_ccc_of_signs_is_named_so() -> None:
    limit = next(limit for limit in gate.LIMITS if limit.flag == "min_ccc")
    of_ratings = Record("a", ccc_mean=0.4)
    assert gate.broken_line(limit, 0.5, of_ratings) == "mean CCC is 0.4 (min-ccc 0.5)"
    of_signs = Record("a", ccc_mean=0.4, auc_valence=0.8)
    assert gate.broken_line(limit, 0.5, of_signs) == "mean CCC of signs is 0.4 (min-ccc 0.5)"
