"""Learning curves: what is drawn, and which epoch is marked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from pocketmood.runs import write_json
from pocketmood.training import curves
from pocketmood.training.history import (
    BestRecord,
    EpochRecord,
    Learning,
    TrainingFacts,
    write_facts,
    write_history,
)

LOSSES = (0.9, 0.5, 0.7)
CCCS = (0.1, 0.2, 0.6)  # the best by CCC is another epoch than the best by loss


def validation(number: int) -> dict[str, float]:
    scores = {
        f"{metric}_{axis}": CCCS[number]
        for metric in ("ccc", "mae", "pearson")
        for axis in ("valence", "arousal", "mean")
    }
    return scores | {"loss": LOSSES[number]}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Figure]:
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: figures.append(self))

    def draw(records: list[EpochRecord], kind: str = "ratings") -> Figure:
        write_history(tmp_path, records)
        curves.draw(tmp_path, tmp_path / "plots" / "curves.png", "whole clips", kind=kind)
        return figures[-1]

    return draw


def records(**changes: Any) -> list[EpochRecord]:
    terms = {"loss": 1.0, "ccc": 0.5, "mse": 0.1, "ccc_share": 0.9}
    return [
        EpochRecord(n + 1, n, 1e-3, terms, changes.get("validation", validation(n)), 1.0, 0.1)
        for n in range(len(LOSSES))
    ]


def test_of_tags_no_error_is_drawn(drawn: Callable[..., Figure]) -> None:
    assert [axes.get_title() for axes in drawn(records(), "quadrants").axes][2:] == [
        "CCC of signs, validation songs", "Pearson r, validation songs"
    ]  # fmt: skip
    assert drawn(records()).axes[3].get_title() == "mean absolute error, validation songs"


def test_both_losses_the_scores_and_the_epoch_that_was_kept(drawn: Callable[..., Figure], tmp_path: Path) -> None:
    write_json(tmp_path / "best.json", asdict(BestRecord(2, "loss", 0.5)))
    write_facts(tmp_path, TrainingFacts(8, (Learning(1, 10, 4), Learning(3, 10, 10))))
    figure = drawn(records())
    lines = [{line.get_label(): line for line in axes.lines if line.get_label()[0] != "_"} for axes in figure.axes]
    assert [set(named) for named in lines] == [
        {"training, whole clips", "validation, whole clips"},
        {"1 - CCC", "mse"},
        {"valence", "arousal", "mean"},
        {"valence", "arousal", "mean"},
    ]
    assert tuple(lines[0]["validation, whole clips"].get_ydata()) == LOSSES
    assert tuple(lines[3]["mean"].get_ydata()) == CCCS

    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["kept: epoch 2 of 3, the best by validation loss", "further layers join"]
    upright = [line.get_xdata()[0] for line in figure.axes[2].lines if line.get_label().startswith("_")]
    assert upright == [2, 2.5]


def test_what_an_earlier_version_did_not_record_is_left_out(drawn: Callable[..., Figure]) -> None:
    figure = drawn(records(validation={"ccc_mean": 0.5}))
    assert not figure.legends
    assert [text.get_text() for text in figure.axes[3].texts] == ["not recorded"]
    assert [line.get_label() for line in figure.axes[0].lines] == ["training, whole clips"]
