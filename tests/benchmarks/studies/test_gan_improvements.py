"""What each improvement of the generator is worth: configs, averages, the table, and a small run of it all."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies import gan_improvements
from benchmarks.studies.result_files import command_line, parse_command
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import RunError
from teacher.gan.config import DEMO, GanConfig
from teacher.presets import PRESETS as TEACHER_PRESETS

BASE = GanConfig(
    latent=6, embedding=4, width=2, batch_size=2, accumulation=1, epochs=1, steps_per_epoch=1, quality_clips=8,
)  # fmt: skip
TABLE = ("real, other half", "synthetic", "noise")


def test_improvements_add_up_to_the_demo_preset() -> None:
    found = gan_improvements.configs(replace(DEMO, upsampling="transpose", instance_noise=9.0))
    assert found[0] == replace(DEMO, upsampling="transpose", band_bias=False, instance_noise=0.0, feature_matching=0.0)
    changed = [
        {name for name, value in vars(after).items() if value != getattr(before, name)}
        for before, after in pairwise(found)
    ]
    assert changed == [{"band_bias"}, {"upsampling"}, {"instance_noise"}, {"feature_matching"}]
    assert found[-1] == DEMO == TEACHER_PRESETS["demo"].gan


def measure(args: list[str]) -> None:
    module = "benchmarks.studies.gan_improvements"
    config, typed = parse_command(gan_improvements.GanImprovementsConfig, module, None, args)
    gan_improvements.run(config, typed, BASE, synthetic=4, variants=gan_improvements.VARIANTS[:2])


def record(score: float, seconds: float | None) -> dict[str, object]:
    rows = [{"candidate": name, "score": score, "similarity_profile": score / 100} for name in TABLE]
    rows[1]["conditioning_ccc"] = score / 1000
    return {"seconds": seconds, "losses": dict.fromkeys(gan_improvements.LOSSES, score), "table": rows}


def test_seeds_are_averaged_and_interrupted_times_left_out() -> None:
    row = gan_improvements.mean_row([record(10, 3.0), record(20, None), record(60, 5.0)])
    assert (row["score"], row["score_low"], row["score_high"]) == (30, 10, 60)
    assert row["seconds"] == 4 and row["generator_loss"] == 30
    np.testing.assert_allclose([row["similarity_profile"], row["conditioning_ccc"]], [0.3, 0.03], rtol=1e-9, atol=0)
    assert gan_improvements.mean_row([record(10, None)])["seconds"] is None


def test_the_command_names_no_folder_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inside, outside = str(tmp_path / "runs" / "demo"), str(tmp_path.parent / "my results")
    found = command_line("benchmarks.studies.gan_improvements", ["--run", inside, "--epochs", "2", "--out", outside])
    assert found == "python -m benchmarks.studies.gan_improvements --run runs/demo --epochs 2 --out 'my results'"


def test_without_a_ridge_the_command_to_type_is_named(tiny_run: Path) -> None:
    with pytest.raises(RunError, match=r"no ridge .* python -m teacher --run"):
        gan_improvements.main(["--run", str(tiny_run)])


@pytest.mark.parametrize("band_bias", [True, False])
def test_the_bias_per_band_is_the_songs_mean_or_nothing(band_bias: bool, tiny_run: Path) -> None:
    from accelerate import Accelerator

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from teacher.gan import train
    from teacher.gan.training_songs import TrainingSongs

    data = tiny_run / "data"
    songs = TrainingSongs(ClipStore.open(data / "store"), replace(Split.load(data / "split.json"), train=("2", "3")))
    training = train.GanTraining(songs, replace(BASE, band_bias=band_bias), Accelerator(cpu=True), 0)
    found = np.tanh(training.generator.band_bias.detach().numpy()[:, 0])
    wanted = songs.mels(["2", "3"]).mean((0, 1, 3)).numpy() if band_bias else np.zeros(128)
    np.testing.assert_allclose(found, np.clip(wanted, -0.999, 0.999), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_small_run_writes_both_files_and_continues(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from teacher import floor
    from teacher.gan import plots, train

    # Twelve pictures, tested elsewhere, would take most of the time.
    for name in ("sheet", "training_curves", "side_by_side", "distributions", "score_bars", "conditioning"):
        monkeypatch.setattr(plots, name, lambda *values: None)
    rng = np.random.default_rng(0)
    weights = 0.1 * rng.standard_normal((384, 2))
    ridge = floor.Ridge(np.zeros(384), np.ones(384), weights, np.zeros(2), 1.0, np.ones(2))
    ridge_file = RunFolder(tiny_run).ridge
    ridge_file.parent.mkdir(parents=True)
    ridge.save(ridge_file)
    args = ["--run", str(tiny_run), "--out", str(tmp_path / "results" / "gan-steps")]
    measure(args)
    results = json.loads((tmp_path / "results" / "gan-steps.json").read_text())
    text = (tmp_path / "results" / "gan-steps.md").read_text()
    assert next(iter(results)) == "command" and results["command"] in text.splitlines()[2]
    assert str(tmp_path) not in text + json.dumps(results)
    assert [row["name"] for row in results["rows"]] == ["plain", "band-bias"]
    plain, biased = results["rows"]
    # With so few steps the mean spectrum is all that can be right: only the bias brings the profile.
    assert biased["similarity_profile"] > plain["similarity_profile"] + 0.3 and biased["score"] > plain["score"]
    assert plain["seconds"] > 0 and 0 <= plain["accuracy_real"] <= 1 and -1 <= plain["conditioning_ccc"] <= 1
    scores = {row["candidate"]: row["score"] for row in results["references"]}
    assert "synthetic" not in scores and scores["real, other half"] > scores["noise"]
    assert sum(line.startswith("| ") for line in text.splitlines()) == 2 + 2 + len(scores)
    assert "clips drawn, one seed" in text

    monkeypatch.setattr(train, "train", None)  # nothing may train again
    capsys.readouterr()
    measure(args)
    assert capsys.readouterr().out.count("up to date") == 2
    assert json.loads((tmp_path / "results" / "gan-steps.json").read_text()) == results
