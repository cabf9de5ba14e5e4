"""The printed table, its Markdown twin, and the keys of results.json."""

from __future__ import annotations

import json

import pytest

from benchmarks import __main__, table
from benchmarks.config import BenchmarksConfig
from benchmarks.record import KEYS, Record, read_results, to_json, write_results
from pocketmood.data.by_corpus import CorpusScores
from pocketmood.errors import RunError
from tests.helpers.stage_files import write_stage_file

# design 3, word for word
DESIGN = (
    "name, runtime, precision, size_bytes, params, ccc_valence, ccc_arousal, ccc_mean, ccc_mean_low, ccc_mean_high, "
    "ccc_drop, latency_ms_median, latency_ms_p95, threads, peak_rss_bytes, delegated_subgraphs, undelegated_ops, "
    "status, reason"
)


def full_row() -> Record:
    return Record(
        "model.int8.pte", "ExecuTorch", "int8", 2_912_345, 953_000, 0.5912, 0.7301, 0.66065, 0.6012, 0.7188, 0.0021,
        8.71, 9.64, 2, 412_000_000, 2, 5, "passed", "",
    )  # fmt: skip


def test_what_a_row_lost_by_hand():
    row = full_row()
    row.ccc_drop_low, row.ccc_drop_high, row.parity_error = -0.0104, 0.0151, 1.07e-3
    assert table.cells(row) == (
        *("model.int8.pte", "0.591", "0.730", "0.661", "0.60..0.72", "+0.002", "-0.01..0.02", "1e-03", "2+5"),
        "passed",
    )


def test_what_a_row_costs_by_hand():
    row = full_row()
    row.real_time_factor, row.latency_ratio, row.first_ms, row.load_ms = 8.71e-3 / 30, 1.874, 11.26, 104.6
    row.latency_ms_by_threads, row.speedup_over_teacher = {"1": 15.04, "8": 6.02}, 2.574
    assert table.costs(row) == (
        *("model.int8.pte", "8.7", "9.6", "1/3444", "1.87", "2.57x", "11.3", "105"),
        *("15.0", "6.0", "2.9", "0.95", "412"),
    )
    row.latency_ms_by_threads = {"1": 15.04}  # two cores: all of them are what was timed first
    assert table.costs(row)[8:10] == ("15.0", "8.7")


@pytest.mark.parametrize(
    ("value", "cell"), [(None, "-"), (0.634, "0.63x"), (1.0, "1.00x"), (12.34, "12.3x"), (432.2, "432x")]
)
def test_how_many_times_faster_has_three_digits(value, cell):
    assert table.times_faster(value) == cell


def test_nothing_measured_is_a_dash_and_never_a_zero():
    assert set(table.cells(Record("x"))[1:-1]) == set(table.costs(Record("x"))[1:]) == {"-"}


def test_a_row_stands_only_where_it_has_something_to_say():
    rows = [Record("timed only", latency_ms_median=3.0), Record("scored only", ccc_mean=0.5)]
    lost, won = table.plain_text(rows, "legend").split("\n\n")[:2]
    assert "scored only" in lost and "timed only" not in lost
    assert "timed only" in won and "scored only" not in won


def test_numbers_that_round_to_zero_carry_no_sign():
    assert table.number(-0.0002, signed=True) == "0.000"
    assert table.number(0.0002, signed=True) == "0.000"
    assert table.number(-0.0006, signed=True) == "-0.001"
    assert table.number(0.0006, signed=True) == "+0.001"
    assert table.number(None) == "-"


@pytest.mark.parametrize(
    ("status", "word"),
    [("failed validation", "invalid"), ("not run: needs macOS", "not run"), ("failed", "failed"), ("passed", "passed")],
)
def test_statuses_fit_the_column(status, word):
    assert table.status_word(Record("x", status=status)) == word


def test_the_table_fits_120_columns_and_lines_up():
    rows = [full_row(), Record("librosa + mobilevit_xxs", status="failed", reason="word " * 60)]
    rows.append(
        Record(
            "librosa + mobilevit_xxs 128x256.pte",
            latency_ms_median=123.4,
            latency_ms_p95=234.5,
            params=86_200_000,
            real_time_factor=1e-4,
            latency_ratio=123.45,
            speedup_over_teacher=0.12,
            first_ms=1234.5,
            load_ms=1234.5,
            latency_ms_by_threads={"1": 1234.5, "8": 123.4},
            size_bytes=345_000_000,
            peak_rss_bytes=1_234_000_000,
        )
    )
    rows.append(Record("a name that is much longer than any sensible name of a row", ccc_drop=-0.123, load_ms=1234.5))
    text = table.plain_text(rows, table.legend(130, 2, 30.0))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 120
    ends = {line.index(word) + len(word) for line, word in zip((lines[0], lines[2]), ("drop", "+0.002"), strict=True)}
    assert len(ends) == 1
    assert "librosa + mobilevit_xxs: word word" in text


def test_equal_remarks_are_said_once():
    rows = [Record("a", reason="no macOS"), Record("b", reason=""), Record("c", reason="no macOS")]
    assert table.remarks(rows) == [("a, c", "no macOS")]


def test_markdown_holds_the_same_cells():
    lines = table.markdown([full_row()], "legend").splitlines()
    assert lines[2] == "| " + " | ".join(table.cells(full_row())) + " |"
    assert {line.count("|") for line in lines[:3]} == {len(table.COLUMNS) + 1}
    assert lines[6] == "| " + " | ".join(table.costs(full_row())) + " |"


def test_keys_are_those_of_the_design():
    assert ", ".join(KEYS).startswith(DESIGN)


def test_results_survive_the_disk_and_hold_no_nan(tmp_path):
    path = tmp_path / "results.json"
    timed = full_row()
    timed.cpu_time_ratios = [1.5, 1.25, 1.75]
    write_results(path, [timed, Record("x", ccc_mean=float("nan"))])
    assert '"cpu_time_ratios": [1.5, 1.25, 1.75]' in path.read_text()  # compact: one line
    assert "NaN" not in path.read_text()
    rows = read_results(path)
    assert rows[0] == timed and rows[1].ccc_mean is None
    assert list(json.loads(path.read_text())[0]) == list(KEYS)


def test_results_of_another_version_are_refused(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{**to_json([full_row()])[0], "speed": 1}]))
    with pytest.raises(RunError, match=r"a row needs exactly .*'speed'.*run the benchmarks again"):
        read_results(path)
    path.write_text("{}")
    with pytest.raises(RunError, match=r"no list of rows; run the benchmarks again"):
        read_results(path)


def test_a_table_of_another_version_is_made_anew(tmp_path, monkeypatch):
    for name in __main__.STAGES_READ:
        write_stage_file(tmp_path / name, {})
    now = __main__.make_stage(BenchmarksConfig(run=tmp_path)).fingerprint
    assert __main__.make_stage(BenchmarksConfig(run=tmp_path)).fingerprint == now
    monkeypatch.setattr(__main__, "KEYS", KEYS[:-1])
    assert __main__.make_stage(BenchmarksConfig(run=tmp_path)).fingerprint != now


def test_reasons_add_up():
    record = Record("x")
    record.note("first")
    record.note("first")
    record.fail("second")
    assert (record.status, record.reason) == ("failed", "first; second")


def test_of_signs_the_table_begins_with_auc_and_quadrants():
    row = full_row()
    row.auc_valence, row.auc_arousal, row.quadrant_accuracy = 0.81, 0.92, 0.58
    row.auc_valence_low, row.auc_valence_high = 0.743, 0.871
    text = table.plain_text([row], table.legend(85, 2, 30.0, "quadrants"))
    lines = text.splitlines()
    assert "AUC V" in lines[0] and "quadrants" in lines[0]
    assert "0.810" in lines[2] and "0.743..0.871" in lines[2]
    assert "CCC of signs: V" in lines[4]
    assert "expert tags, not ratings" in text and max(map(len, lines)) <= 120
    assert table.markdown([row], "legend").startswith("|  | AUC V | 95 % | AUC A | 95 % | quadrants | 95 % |")
    assert "AUC" not in table.plain_text([full_row()], table.legend(85, 2, 30.0))


def test_a_mixed_run_has_a_table_by_corpus_and_its_tags_are_named():
    scores = [
        CorpusScores(name, kind, "student", 40, 0.5, 0.6, 0.55, 0.4, 0.7, 0.8, None, 0.75)
        for name, kind in (("4q", "quadrants"), ("deam", "ratings"), ("all", "mixed"))
    ]
    text = table.plain_text([full_row()], table.legend(85, 2, 30.0, "mixed"), (), scores)
    assert "4q (tags)  student" in text and "[0.400, 0.700]" in text and max(map(len, text.splitlines())) <= 120
    assert "ratings by people, part of them expert tags" in " ".join(text.split())
    page = table.markdown([full_row()], "legend", (), scores)
    assert "| deam | student | 40 | 0.500 | 0.600 | 0.550 | [0.400, 0.700] | 0.800 | - | 0.750 |" in page
