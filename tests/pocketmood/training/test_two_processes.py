"""The teacher stage under torchrun: two processes on CPUs end with the same loss curves as one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pocketmood.predictions import read_predictions
from pocketmood.runs import read_json
from pocketmood.training.history import read_history, read_records
from student.config import PRESETS as STUDENTS
from teacher.__main__ import main
from teacher.config import PRESETS
from teacher.gan.turns import TurnRecord
from tests.helpers import ROOT

# No batch norm (it would see half a batch; on GPUs it is synchronised) and no dropout (each process draws its own).
FLAGS = [
    *("--preset", "smoke", "--vit.size", "ast", "--vit.dropout", "0", "--training.schedule.epochs", "3"),
    *("--training.unfreeze", "1", "0", "2", "1", "--training.mask-bands", "0"),
    *("--no-baseline", "--synthetic", "8", "--listen-s", "0"),
]


@pytest.mark.slow
def test_two_processes_have_the_loss_curves_of_one(tiny_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "data").symlink_to(tiny_run / "data", target_is_directory=True)
    main([*FLAGS, "--run", str(tiny_run)])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "-m", "--", "teacher", *FLAGS, "--run", str(other)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("teacher: done") == 1  # only one process speaks
    one, two = tiny_run / "teacher", other / "teacher"

    gan = [read_records(folder / "gan", TurnRecord) for folder in (one, two)]
    assert len(gan[0]) == len(gan[1]) == 2
    for ours, theirs in zip(*gan, strict=True):
        for key in ("discriminator_loss", "generator_loss", "accuracy_real", "accuracy_fake"):
            assert getattr(theirs, key) == pytest.approx(getattr(ours, key), rel=0, abs=1e-3)
    vit = [read_history(folder / "vit") for folder in (one, two)]
    assert len(vit[0]) == len(vit[1]) == 3
    for ours, theirs in zip(*vit, strict=True):
        assert theirs.terms == pytest.approx(ours.terms, rel=0, abs=1e-3)
        assert theirs.validation["ccc_mean"] == pytest.approx(ours.validation["ccc_mean"], rel=0, abs=1e-3)
    assert vit[0][0].terms["ccc"] > 0.1  # a curve, not a row of zeros
    answers = [read_predictions(folder / "predictions.csv").emotion for folder in (one, two)]
    assert abs(answers[0] - answers[1]).max() < 1e-3
    assert read_json(two / "stage.json")["record"]["synthetic"] == read_json(one / "stage.json")["record"]["synthetic"]


def test_the_presets_batches_divide_among_processes() -> None:
    for name in ("full", "streamlined"):
        for count in (2, 3, 4):
            assert PRESETS[name].training.schedule.batch_size % count == 0
            assert STUDENTS[name].schedule.batch_size % count == 0
        for count in (2, 4, 8):
            assert PRESETS[name].gan.batch_size % count == 0
