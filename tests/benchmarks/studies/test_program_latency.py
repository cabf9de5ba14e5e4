"""Latency of whole programs: what is compared with what, goals by processor, and the parts of a program, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies import program_latency
from benchmarks.studies.program_latency import TEACHER, ProgramLatencyConfig, Results, Speedup, Timed
from pocketmood.errors import ConfigError

STOCK = "net librosa + stock 256 x 256 x 3 in ONNX Runtime"


def results(flags: list[str], *rows: Timed) -> Results:
    speedups = (Speedup("net", "net int8.pte", STOCK, 3.0), Speedup("net", "net int8.pte", TEACHER, 13.0))
    return Results(rows, speedups, 2, {"torch": 2}, 40, {"cpu": "Some CPU", "flags": flags})


def test_the_best_program_is_compared_round_by_round() -> None:
    times = {
        "net fp32.pte": np.array([4.0, 4.0, 8.0]),
        "net int8.pte": np.array([2.0, 4.0, 3.0]),  # median 3, below the other's 4
        STOCK: np.array([8.0, 8.0, 9.0]),  # ratios 4, 2, 3
        "other librosa + stock": np.array([1.0, 1.0, 1.0]),
        TEACHER: np.array([20.0, 40.0, 60.0]),  # ratios 10, 10, 20
    }
    assert program_latency.compare("net", times) == [
        Speedup("net", "net int8.pte", STOCK, 3.0),
        Speedup("net", "net int8.pte", TEACHER, 10.0),
    ]


@pytest.mark.parametrize(("flags", "verdicts"), [(["avx2"], ["holds", "holds"]), (["avx_vnni"], ["MISSED", "holds"])])
def test_goals_are_higher_where_the_processor_has_int8_dot_products(flags: list[str], verdicts: list[str]) -> None:
    _, lines = program_latency.notes(results(flags))
    # 3 times faster than stock: 2.5 are asked of AVX2, 4 of VNNI; 13 than the teacher: 8 and 12
    assert [line.split(": ")[-1].removesuffix(")") for line in lines.splitlines()] == verdicts


def test_the_parts_add_up_to_the_whole() -> None:
    rows = [Timed(f"net {name}.pte", ms, ms, 1_500_000, 2, 5) for name, ms in
            (("fp32", 10.0), ("front", 3.0), ("network", 6.5))]  # fmt: skip
    found = results([], *rows)
    assert program_latency.notes(found)[-1] == "- net fp32.pte 10.0 ms = front end 3.0 + network 6.5 + rest +0.5"
    assert program_latency.table(found).splitlines()[2] == "| net fp32.pte | 10.0 | 10.0 | 1.5 | 2+5 |"


def test_nothing_is_measured_with_nothing() -> None:
    assert ProgramLatencyConfig().out == Path("benchmarks/studies/results/whole-program")
    with pytest.raises(ConfigError, match="--threads 0 and --repeats 40 must be at least 1"):
        ProgramLatencyConfig(threads=0)
