"""A GAN whose passes do not fit: the same steps with smaller ones, from the last epoch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from pocketmood.errors import RunError
from teacher.gan import train
from teacher.gan.progress import smaller_pass
from teacher.gan.turns import TurnRecord
from tests.teacher.gan.test_options import SONGS, TINY


def test_smaller_passes_are_divisors_of_the_batch(capsys: pytest.CaptureFixture[str]) -> None:
    config = replace(TINY, batch_size=24, accumulation=2)
    sizes, size = [], 24
    while size > 1:
        sizes.append(size := smaller_pass(size, config, 1))
    assert sizes == [12, 6, 3, 1]
    printed = capsys.readouterr().out.splitlines()[0]
    assert printed.startswith(
        "gan: memory ran out with 24 clips per pass; going on from the last epoch with 12, 2 passes"
    )
    with pytest.raises(
        RunError, match=r"gan: memory ran out even with 1 item.*expandable_segments.*--gan\.width below"
    ):
        smaller_pass(1, config, 1)
    # 24 x 2 clips per step, 12 of each batch in each of two processes.
    with pytest.raises(RunError, match=r"one of 2 processes; train with --gan\.batch-size 12 --gan\.accumulation 4"):
        smaller_pass(12, config, 2)


def test_smaller_passes_take_the_same_steps() -> None:
    config = replace(TINY, batch_size=4, accumulation=2, steps_per_epoch=2, instance_noise=0.1, feature_matching=0.0)
    turns: list[list[TurnRecord]] = []
    for size in (4, 2, 1):
        training = train.GanTraining(SONGS, config, Accelerator(cpu=True), 0, size)
        assert len(training._passes()) == 2 * 4 // size
        turns.append(training.epoch(0))
    for other in turns[1:]:
        for ours, theirs in zip(turns[0], other, strict=True):
            # Adam's steps are signs at first: a rounding that flips one moves the next loss in its fourth digit.
            assert theirs.discriminator_loss == pytest.approx(ours.discriminator_loss, rel=0, abs=2e-3)
            assert theirs.generator_loss == pytest.approx(ours.generator_loss, rel=0, abs=2e-3)


def test_it_goes_on_from_the_last_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    played: list[tuple[int, int]] = []
    whole = train.GanTraining.epoch

    def epoch(self: train.GanTraining, number: int) -> list[TurnRecord]:
        played.append((number, self.pass_size))
        if number == 1 and self.pass_size > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, number)

    monkeypatch.setattr(train.GanTraining, "epoch", epoch)
    monkeypatch.setattr(train, "TrainingSongs", lambda *_: SONGS)
    # The songs are a stand-in without a spectrogram, and these two would name it.
    monkeypatch.setattr(train, "summary", lambda *_: None)
    monkeypatch.setattr(train, "save_generator", lambda *_: None)
    config = replace(TINY, batch_size=4, accumulation=1, epochs=2, steps_per_epoch=1)
    train.train(None, None, config, tmp_path, 0)  # type: ignore[arg-type]
    assert played == [(0, 4), (1, 4), (1, 2), (1, 1)]
    assert "parameters of the generator" in capsys.readouterr().out
