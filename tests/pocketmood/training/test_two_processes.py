"""The teacher stage under torchrun: two processes on CPUs end with the same loss curves as one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pocketmood.predictions import read_predictions
from pocketmood.runs import read_json
from pocketmood.training.checkpoints import load_tensors
from pocketmood.training.history import read_history, read_records
from student.config import PRESETS as STUDENTS
from teacher.__main__ import main
from teacher.gan.turns import TurnRecord
from teacher.presets import PRESETS
from tests.helpers import ROOT

# No batch norm (it would see half a batch; on GPUs it is synchronised) and no dropout (each process draws its own).
FLAGS = [
    *("--preset", "smoke", "--vit.size", "ast", "--vit.dropout", "0", "--training.schedule.epochs", "3"),
    *("--training.unfreeze", "1", "0", "2", "1", "--training.mask-bands", "0"),
    *("--no-baseline", "--synthetic", "8", "--listen-s", "0"),
]

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
# The CCC of a batch is not the mean of its halves': it needs `gather`. 24 items are 3 batches of 8: 2 passes, then 1.
TINY_TRAINING = """
import itertools
import sys
from pathlib import Path
import numpy as np, torch
from pocketmood.training.distributed import gather, join
from pocketmood.training.fit import Training, fit
from pocketmood.training.schedule import Schedule
from teacher.losses import ccc_loss

class Points:
    epoch = 0
    def __len__(self): return 24
    def __getitem__(self, index): return np.random.default_rng([self.epoch, index]).normal(size=4).astype(np.float32)

class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 2)
    def forward(self, x):
        return {"loss": ccc_loss(gather(self.layer(x)), gather(x[:, :2].abs())).mean()}

join()
schedule = Schedule(epochs=3, batch_size=8, accumulation=2, learning_rate=0.05, ema_decay=0.5)
collate = lambda items: {"x": torch.from_numpy(np.stack(items))}
rising = itertools.count()  # the last epoch is the best one
fit(Training(Line(), Points(), collate, lambda _: {"ccc_mean": float(next(rising))}, Path(sys.argv[1]), schedule))
"""


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
    predictions = [read_predictions(folder / "predictions.csv").emotion for folder in (one, two)]
    assert abs(predictions[0] - predictions[1]).max() < 1e-3
    assert read_json(two / "stage.json")["record"]["synthetic"] == read_json(one / "stage.json")["record"]["synthetic"]


@pytest.mark.slow
def test_two_processes_have_the_weights_of_one_with_accumulated_passes(tmp_path: Path) -> None:
    script = tmp_path / "tiny_training.py"
    script.write_text(TINY_TRAINING)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    launchers = {"one": [sys.executable], "two": [*TORCHRUN, "--nproc-per-node=2"]}
    for name, launcher in launchers.items():
        command = [*launcher, str(script), str(tmp_path / name)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.count("epoch   3/3") == 1  # only one process speaks
    one, two = (load_tensors(tmp_path / name / "best.safetensors") for name in launchers)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-6)
    steps = [[record.step for record in read_history(tmp_path / name)] for name in launchers]
    assert steps == [[2, 4, 6]] * 2


@pytest.mark.slow
def test_two_processes_agree_on_smaller_passes_where_one_of_them_lacks_memory(tmp_path: Path) -> None:
    script = tmp_path / "tiny_training.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    weights, printed = {}, {}
    # The mean of the squares does not depend on the passes; the second process alone holds two items, not four.
    plain = TINY_TRAINING.replace("ccc_loss(gather(self.layer(x)), gather(x[:, :2].abs()))", "self.square(x)")
    plain += "\n"
    for name, holds in {"whole": 4, "parts": 2}.items():
        method = f"""
    def square(self, x):
        if len(x) > {holds} and distributed.get_rank() == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return ((self.layer(x) - x[:, :2].abs()) ** 2).mean()
"""
        source = plain.replace("    def forward", f"{method}\n    def forward", 1)
        script.write_text(
            source.replace("import numpy as np, torch", "import numpy as np, torch\nfrom torch import distributed")
        )
        command = [*TORCHRUN, "--nproc-per-node=2", str(script), str(tmp_path / name)]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr[-2000:]
        weights[name], printed[name] = load_tensors(tmp_path / name / "best.safetensors"), done.stdout
    assert "memory ran out" not in printed["whole"]
    assert printed["parts"].count("memory ran out with 4 items per pass; going on from the last epoch with 2") == 1
    for key, value in weights["whole"].items():
        torch.testing.assert_close(weights["parts"][key], value, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_process_that_runs_out_in_the_middle_of_an_epoch_says_what_to_type(tmp_path: Path) -> None:
    script = tmp_path / "tiny_training.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    late = """
    def forward(self, x):
        # The rehearsal in eval mode fits; the first step of training does not.
        if self.training and len(x) > 2 and distributed.get_rank() == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.whole(x)
    def whole"""
    source = TINY_TRAINING.replace("    def forward", late, 1)
    script.write_text(
        source.replace("import numpy as np, torch", "import numpy as np, torch\nfrom torch import distributed")
    )
    command = [*TORCHRUN, "--nproc-per-node=2", str(script), str(tmp_path / "run")]
    first, second = (
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
        for _ in range(2)
    )
    assert first.returncode != 0
    assert "Type the same command again: it goes on from the last epoch with 2 items per pass" in first.stderr
    assert second.returncode == 0, second.stderr[-2000:]


def test_the_presets_batches_divide_among_processes() -> None:
    for name in ("full", "streamlined"):
        for count in (2, 3, 4):
            assert PRESETS[name].training.schedule.batch_size % count == 0
            assert STUDENTS[name].schedule.batch_size % count == 0
        for count in (2, 4, 8):
            assert PRESETS[name].gan.batch_size % count == 0
