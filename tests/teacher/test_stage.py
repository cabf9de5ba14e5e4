"""The whole teacher stage on 24 tiny songs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError, PocketmoodError, RunError
from pocketmood.predictions import read_predictions
from pocketmood.records import from_json
from pocketmood.runs import read_json
from pocketmood.training.schedule import Schedule
from teacher.__main__ import main
from teacher.config import FineTuneConfig, SoftTargetsConfig, TeacherConfig, VitConfig
from teacher.evaluate import Comparison
from teacher.presets import PRESETS
from teacher.record import TeacherRecord
from teacher.soft_targets import SoftTargets
from teacher.stage import run
from teacher.vit import load_teacher
from tests.helpers import tiny
from tests.helpers.tiny_weights import write_weights


@pytest.mark.slow
def test_stage_continues_after_a_kill_and_ends_with_the_same_numbers(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from teacher import finetune, soft_targets
    from teacher.gan import train

    whole = replace(PRESETS["smoke"], run=tiny_run, listen_s=1.0)
    other = tmp_path / "other"
    other.mkdir()
    (other / "data").symlink_to(tiny_run / "data", target_is_directory=True)
    run(whole)
    teacher = tiny_run / "teacher"
    record = from_json(TeacherRecord, read_json(teacher / "stage.json")["record"], "stage.json")
    assert {path.name for path in teacher.iterdir()} >= {
        "gan", "quality.json", "model.safetensors", "config.json", "predictions.csv", "floor.csv", "ast.csv",
        "metrics.json", "soft_targets", "plots", "listen", "report.html", "stage.json",
    }  # fmt: skip
    assert record.synthetic_accepted is False and record.synthetic_clips == 0
    plots = {"curves.png", "curves-ast.png", "scatter.png", "plane.png", "errors.png", "confusion.png"}
    plots |= {"attention.png", "sizes.png"}
    assert {path.name for path in (teacher / "plots").iterdir()} == plots
    metrics = from_json(Comparison, read_json(teacher / "metrics.json"), "metrics.json")
    assert metrics == record.metrics
    assert metrics.test.songs == 4 and list(metrics.validation.models) == ["floor", "ast", "teacher"]
    rows = read_predictions(teacher / "predictions.csv")
    assert rows.ids == read_predictions(teacher / "floor.csv").ids and len(rows.ids) == 24
    table = SoftTargets.open(teacher / "soft_targets")
    assert table.ids == read_predictions(teacher / "predictions.csv").only("train").ids
    assert table.crops == ((0, 256), (0, 64), (960, 64)) and table.features.shape == (16, 3, 64)
    # Crop 0 is the whole clip that predictions.csv speaks of; batches may round differently.
    np.testing.assert_allclose(table.emotion[:, 0], rows.only("train").emotion, rtol=1e-4, atol=1e-5)
    assert load_teacher(teacher)[1].training.training_clips == 16

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    again = replace(whole, run=other)
    for module, name in ((train, "save_generator"), (finetune, "save_teacher"), (soft_targets, "write_json")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, stop)
            with pytest.raises(KeyboardInterrupt):
                run(again)
    assert not (other / "teacher").exists()
    run(again)
    for name in (
        "model.safetensors",
        "predictions.csv",
        "floor.csv",
        "metrics.json",
        "soft_targets/soft_targets.safetensors",
    ):
        assert (other / "teacher" / name).read_bytes() == (teacher / name).read_bytes(), name
    capsys.readouterr()
    run(again)
    assert capsys.readouterr().out == "teacher: up to date\n"


def test_without_data_the_command_to_type_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"make data RUN="):
        run(TeacherConfig(run=tmp_path))


def test_command_line_overrides_a_preset(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="data"):
        main(["--preset", "smoke", "--run", str(tmp_path), "--training.schedule.epochs", "1"])


def test_presets_differ_where_they_should() -> None:
    assert list(PRESETS) == ["full", "streamlined", "demo", "recordings", "smoke"]
    full = PRESETS["full"]
    assert (full.vit.size, full.vit.hidden) == ("base", 256)
    assert (full.training.schedule.epochs, full.training.schedule.batch_size) == (24, 12)
    assert (full.training.schedule.learning_rate, full.training.backbone_learning_rate) == (1e-4, 1e-5)
    streamlined = PRESETS["streamlined"]
    assert (streamlined.synthetic, streamlined.gan.epochs, streamlined.training.schedule.epochs) == (3200, 10, 30)
    assert not streamlined.baseline and streamlined.listen_s == 0 and streamlined.training.unfreeze == ()
    demo = PRESETS["demo"]
    # What ViT-B learnt is what it is asked; the hybrid takes crops as they are.
    asked = {name: (preset.soft_targets.ask, preset.training.whole_batches) for name, preset in PRESETS.items()}
    assert set(asked.values()) == {("whole", 0.0), ("crops", 0.0)}
    assert asked["full"] == asked["streamlined"] == ("whole", 0.0) and asked["demo"] == asked["smoke"] == ("crops", 0.0)
    assert (demo.vit.size, demo.vit.width, demo.vit.layers, demo.training.crop_frames) == ("small", 128, 2, 128)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: VitConfig(frames=250), "frames 250"),
        (lambda: VitConfig(width=100, heads=3), "width 100"),
        (lambda: VitConfig(dropout=1.0), "dropout 1.0"),
        (lambda: VitConfig(stride=0), "stride 0"),
        (lambda: FineTuneConfig(schedule=Schedule(epochs=0)), "epochs 0"),
        (lambda: FineTuneConfig(schedule=Schedule(batch_size=1)), "batch_size 1"),
        (lambda: FineTuneConfig(valence_share=1.5), "valence share 1.5"),
        (lambda: FineTuneConfig(ccc_weight=0, mse_weight=0), "must count"),
        (lambda: FineTuneConfig(schedule=Schedule(ema_decay=1)), r"ema_decay 1 must be in \[0, 1\)"),
        (lambda: SoftTargetsConfig(crop_frames=300), "300 frames"),
        (lambda: TeacherConfig(training=FineTuneConfig(crop_frames=512)), "512"),
        (lambda: TeacherConfig(soft_targets=SoftTargetsConfig(stride=3)), "stride 3"),
        (lambda: TeacherConfig(soft_targets=SoftTargetsConfig(crop_frames=60)), "multiples of 16"),
    ],
)
def test_numbers_that_cannot_work_are_refused(make: object, match: str) -> None:
    with pytest.raises(PocketmoodError, match=match):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(("songs", "clips"), [(24, 3), (9, 8)])
def test_what_the_gate_cannot_judge_is_refused_before_a_generator_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, songs: int, clips: int
) -> None:
    from teacher.gan import train

    monkeypatch.setattr(train, "train", None)
    config = replace(PRESETS["smoke"], run=tiny.make_data(tmp_path, songs), synthetic=clips)
    left = len(RunFolder(tmp_path).split.train)
    match = rf"^{left} training songs and {clips} synthetic clips.*TEACHER=\"--synthetic 0\" with make"
    with pytest.raises(ConfigError, match=match):
        run(config)
    assert not (tmp_path / "teacher.part").exists()


@pytest.mark.parametrize("part", ["vit", "ast"])
def test_another_networks_weights_are_refused_before_a_generator_is_trained(tmp_path: Path, part: str) -> None:
    size, other = ("base", "ast-base") if part == "vit" else ("ast-base", "base")
    vit = VitConfig(size=size, stride=1, frames=1292, weights=write_weights(tmp_path / "other", other))
    run_folder = tiny.make_data(tmp_path / "run", 24)
    with pytest.raises(RunError, match=rf"other: holds a '.+', and .+ is a '.+'; .+--{part}\.weights"):
        run(replace(PRESETS["smoke"], run=run_folder, **{part: vit}))
    assert not (run_folder / "teacher.part").exists()
