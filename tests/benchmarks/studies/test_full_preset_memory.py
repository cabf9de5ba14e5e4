"""The full preset's memory check: what it counts, by hand, and a run of it at the smallest size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.studies import full_preset_memory
from benchmarks.studies.full_preset_memory import LIMIT_BYTES, Step
from benchmarks.studies.result_files import parse_command
from pocketmood.training.schedule import Schedule
from teacher.config import FineTuneConfig, TeacherConfig, VitConfig
from teacher.gan.config import GanConfig

TINY = TeacherConfig(
    gan=GanConfig(latent=6, embedding=4, width=2, batch_size=2, accumulation=2),
    vit=VitConfig(size="ast", width=16, layers=1, heads=2, stride=5, frames=256, period_frames=64),
    training=FineTuneConfig(Schedule(batch_size=3), crop_frames=64),
)


def test_the_peak_is_the_largest_sum_of_what_lives_at_once() -> None:
    def step() -> None:
        first = torch.empty(250_000)  # 1 MB
        second = torch.empty(500_000)  # and 2 MB: 3 MB, the peak
        del first
        third = torch.empty(125_000)  # 2.5 MB
        del second, third
        torch.empty(600_000)

    _, peak, how = full_preset_memory.measured(step, torch.device("cpu"), before=10)
    assert peak == 3_000_000 + 10 and how == full_preset_memory.ON_CPU


def test_tensors_that_live_through_the_step_count_once() -> None:
    network = nn.Linear(10, 5)  # 220 bytes
    network.register_buffer("again", network.weight.detach())
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 10)).sum().backward()
    before = full_preset_memory.tensor_bytes([network], [optimizer])
    assert before == 2 * 220  # weights and gradients
    optimizer.step()
    # Two moments, and a step count of 4 bytes for weight and bias each; then a batch of 40 bytes.
    assert full_preset_memory.tensor_bytes([network], [optimizer], [torch.zeros(10)]) == 4 * 220 + 8 + 40


def test_the_verdict_is_plain() -> None:
    step = Step("a step", 1, 24, 2.0, LIMIT_BYTES, full_preset_memory.ON_CPU)
    assert step.verdict == "a step: 4.70 GB of 4.7 GB, fits" and step.values()["images_per_second"] == 12
    large = replace(step, peak_bytes=LIMIT_BYTES + 1)
    assert large.verdict.endswith("DOES NOT FIT") and not large.values()["fits"]
    assert [line.split("|")[-2].strip() for line in full_preset_memory.table([step, large]).splitlines()[2:]] == [
        "yes",
        "NO",
    ]


def measure(args: list[str]) -> None:
    module = "benchmarks.studies.full_preset_memory"
    config, typed = parse_command(full_preset_memory.FullPresetMemoryConfig, module, None, args)
    assert full_preset_memory.run(config, typed, TINY) == 0


@pytest.mark.slow
def test_tiny_networks_take_the_real_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measure(["--out", str(tmp_path / "full-size")])
    results = json.loads((tmp_path / "full-size.json").read_text())
    assert results["command"] == "python -m benchmarks.studies.full_preset_memory --out full-size"
    names = ["GAN, adversary", "GAN, generator", "fine-tuning, ast"]
    assert [step["name"] for step in results["steps"]] == names
    assert [step["images"] for step in results["steps"]] == [8, 4, 3]
    for step in results["steps"]:
        # Weights, gradients and two moments, to the least, and one spectrogram.
        assert step["peak_bytes"] > 16 * step["parameters"] and step["fits"] and step["seconds"] > 0
    text = (tmp_path / "full-size.md").read_text()
    assert str(tmp_path) not in text and "fine-tuning, ast: 0." in text
    assert capsys.readouterr().out.count(" fits\n") == 3


def test_one_part_alone(tmp_path: Path) -> None:
    measure(["--vit", "--out", str(tmp_path / "x")])
    assert [step["name"] for step in json.loads((tmp_path / "x.json").read_text())["steps"]] == ["fine-tuning, ast"]
