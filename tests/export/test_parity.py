"""Parity records: figures worked by hand, and gates that close."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from export import parity
from export.parity_record import CccChange, DistanceToFp32, Facts
from tests.helpers.export_fixtures import measured

WANTED = np.array([[0.5, -0.5, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]], np.float32)


def test_figures_by_hand() -> None:
    found = WANTED.copy()
    found[0, 0] += 0.2
    found[1, 1] -= 0.1
    found[1, 3] += 0.3
    distance = parity.compare(found, WANTED)
    wanted = {
        "clips": 2,
        "max_error": 0.3,
        "emotion_max_error": 0.2,
        "emotion_mean_error": 0.3 / 4,
        "emotion_signed_error": 0.1 / 4,
        "emotion_sqnr_db": 10 * np.log10(0.55 / 0.05),
        "interval68_max_error": 0.3,
        "interval68_mean_error": 0.3 / 4,
        "interval68_signed_error": 0.3 / 4,
        "interval68_sqnr_db": 10 * np.log10(0.5 / 0.09),
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(getattr(distance, name), value, rtol=0, atol=1e-5, err_msg=name)


def test_equal_predictions_have_a_finite_ratio() -> None:
    assert parity.sqnr_db(WANTED, WANTED) == parity.MOST_DB


@pytest.mark.parametrize(
    ("error", "limit", "verdict"), [(9e-5, 1e-4, "passed"), (1.1e-4, 1e-4, "failed"), (float("nan"), 1e-4, "failed")]
)
def test_the_error_gate(error: float, limit: float, verdict: str) -> None:
    record = parity.judge(measured("a", error), limit, None)
    assert record.verdict == verdict
    assert bool(parity.failures([record])) == (verdict == "failed") == ("beyond" in record.reason)


NAN = float("nan")


@pytest.mark.parametrize(
    ("low", "drop", "high", "verdict"),
    [
        (-0.010, 0.004, 0.010, "passed"),  # at the limit is within
        (-0.010, 0.024, 0.047, "cannot be told"),  # beyond as a figure, and 8 songs cannot know it
        (-0.010, 0.004, 0.011, "cannot be told"),  # within as a figure, no better known
        (0.010, 0.024, 0.047, "cannot be told"),
        (0.011, 0.024, 0.047, "failed"),
        (None, None, None, "failed"),
        (NAN, NAN, NAN, "failed"),
    ],
)
def test_the_ccc_gate_looks_at_the_interval(
    low: float | None, drop: float | None, high: float | None, verdict: str
) -> None:
    record = parity.judge(replace(measured(), ccc=CccChange(8, 0.5, drop, low, high)), 1e-4, 0.01)
    assert record.ccc_verdict == verdict
    # What cannot be told closes no gate, and is named wherever the verdict is.
    assert record.passed == (verdict != "failed") and (verdict == "passed") == (not record.reason)
    assert (record.verdict_in_words == "passed, CCC cannot be told") == (verdict == "cannot be told")
    assert verdict != "cannot be told" or "on 8 songs cannot be told from the limit of 0.01" in record.reason


def test_the_ccc_of_a_single_song_tells_nothing() -> None:
    # Its variance is 0, and so is its CCC, however far from the rating a prediction lies.
    one = np.full((1, 4), 0.5, np.float32)
    change = parity.ccc_change(-one, one, np.array([[0.5, 0.5]]), ["only"])
    assert (change.ccc_drop, change.ccc_drop_low, change.ccc_drop_high) == (0, 0, 0)
    record = parity.judge(replace(measured(), ccc=change), 1e-4, 0.01)
    assert record.passed and record.ccc_verdict == "cannot be told"


def test_without_a_limit_the_ccc_is_only_told() -> None:
    record = parity.judge(replace(measured(), ccc=CccChange(8, 0.5, 0.5, 0.4, 0.6)), 1e-4, None)
    assert record.passed and record.ccc_verdict is None and record.ccc is not None


def test_a_wide_interval_excuses_no_difference_to_pytorch() -> None:
    record = parity.judge(replace(measured(max_error=2e-4), ccc=CccChange(8, 0.5, 0.0, -1.0, 1.0)), 1e-4, 0.01)
    assert not record.passed and record.ccc_verdict == "cannot be told" and record.verdict_in_words == "failed"


@pytest.mark.parametrize(
    ("limit", "to_fp32", "wanted"), [(1e-4, None, 1e-3), (2e-3, None, 2e-3), (5e-3, 0.01, 0.015), (1e-4, 0.01, 0.011)]
)
def test_devices_may_differ_by_their_kernels_and_by_what_the_precision_costs(
    limit: float, to_fp32: float | None, wanted: float
) -> None:
    record = replace(measured(), to_fp32=None if to_fp32 is None else DistanceToFp32(to_fp32, 0.0, 0.0, 0.0))
    gates = parity.judge(record, limit, None).gates
    assert gates is not None
    np.testing.assert_allclose(gates.tolerance, wanted, rtol=0, atol=1e-12)


def test_a_swapped_output_closes_the_gate() -> None:
    record = replace(measured(), distance=parity.compare(WANTED[:, [1, 0, 2, 3]], WANTED))
    assert parity.judge(record, 5e-3, None).verdict == "failed"


def test_ccc_change_is_the_loss_against_the_reference() -> None:
    rng = np.random.default_rng(0)
    labels = rng.uniform(-1, 1, (40, 2))
    reference = np.concatenate([labels + rng.normal(0, 0.1, (40, 2)), np.ones((40, 2))], 1).astype(np.float32)
    worse = reference + rng.normal(0, 0.3, (40, 4)).astype(np.float32)
    songs = [str(row) for row in range(40)]
    change = parity.ccc_change(worse, reference, labels, songs)
    assert change.ccc_drop_low is not None and change.ccc_drop is not None and change.ccc_drop_high is not None
    assert 0 < change.ccc_drop_low < change.ccc_drop < change.ccc_drop_high
    assert parity.ccc_change(reference, reference, labels, songs).ccc_drop == 0
    worse[3, 1] = np.nan
    assert parity.ccc_change(worse, reference, labels, songs) == CccChange(40)


def test_table_shows_what_was_and_what_was_not_written() -> None:
    good = replace(measured("a.onnx"), to_fp32=DistanceToFp32(0.012, 0.0, 0.0, 0.0), facts=Facts(size_bytes=5_500_000))
    good = parity.judge(good, 1e-4, None)
    text = parity.table([good, parity.not_written("b.pte", "no such operator")])
    assert "5.50" in text and "1.2e-02" in text and "b.pte: no such operator" in text
    assert [line.split()[-1] for line in text.splitlines()[1:3]] == ["passed", "failed"]


def test_the_worst_is_the_furthest_beyond_its_own_limit() -> None:
    """Twice a limit of 1e-3 is worse than one and a half times 1e-2, and no number is worse than any."""
    near, far = (
        parity.judge(measured(*given), limit, None) for given, limit in ((("b", 1.5e-2), 1e-2), (("c", 2e-3), 1e-3))
    )
    lost = parity.judge(measured("d", float("nan")), 1e-4, None)
    assert parity.worst([parity.not_written("a", "no such operator"), near, far]) == "c"
    assert parity.worst([near, lost, far]) == "d"
    assert parity.worst([parity.judge(measured(), 1e-4, None)]) is None
