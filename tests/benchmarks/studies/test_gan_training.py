"""The generator given its time: what an epoch is summed up to, the tables, and a small study that is stopped."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.studies import gan_curve, gan_training
from benchmarks.studies.gan_arms import ARMS, BASE
from benchmarks.studies.gan_curve import Played
from benchmarks.studies.gan_training import GanTrainingConfig
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError, RunError
from teacher.gan.config import GanConfig
from teacher.gan.turns import TurnRecord

SMALL = replace(BASE, latent=6, embedding=4, width=2, batch_size=8)


def turn(accuracy_real: float, accuracy_fake: float, steps: int) -> TurnRecord:
    """A turn of which only the accuracies and the adversary's steps differ."""
    return TurnRecord(0, 0, 0.4, 1.2, None, None, 0.0, 3.0, accuracy_real, accuracy_fake, steps, 1)


def played(epoch: int, seconds: float) -> Played:
    return Played(epoch, 2, seconds, 1.0 + epoch, 0.5, 0.75, 0.9, 2, 3, 1, 0)


def test_an_epoch_is_summed_up_by_hand() -> None:
    found = Played.of(3, [turn(0.5, 0.5, 3), turn(1.0, 0.9, 1), turn(0.9, 1.0, 1), turn(1.0, 1.0, 1)], 1.234, 0.95)
    wanted = Played(3, 4, 1.23, 1.2, 0.4, 0.85, 0.85, 4, 6, weak_turns=1, strong_turns=1)
    assert asdict(found) == pytest.approx(asdict(wanted), rel=1e-9, abs=0)


def test_every_arm_is_the_recipe_with_one_change() -> None:
    assert next(iter(ARMS)) == "recipe" and ARMS["recipe"].change == {}
    for name, arm in ARMS.items():
        assert len(arm.change) == (name != "recipe") and gan_curve.differences(replace(BASE, **arm.change)) == {
            **gan_curve.differences(BASE),
            **arm.change,
        }
    # At the recipe's rules: only what one core cannot afford differs from it.
    assert gan_curve.differences(BASE) == {"width": 16, "batch_size": 8, "accumulation": 1}
    assert gan_curve.differences(GanConfig()) == {}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"arms": ("recipe", "magic")}, "--arms magic: choose among recipe"),
        ({"arms": ()}, r"--arms \(none\)"),
        ({"epochs": 0}, "--epochs 0"),
        ({"minutes": -1.0}, r"--minutes -1\.0"),
    ],
)
def test_trainings_that_cannot_be_are_refused(change: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        GanTrainingConfig(**({"run": Path("runs/x")} | change))


def write_arm(folder: Path, epochs: int, scores: dict[int, float]) -> None:
    """Write the folder of a training that nobody ran: epochs of 60 CPU seconds, and some measurements."""
    folder.mkdir(parents=True)
    (folder / gan_curve.SETTINGS).write_text(json.dumps({"gan": {"width": 16}}))
    lines = [json.dumps(asdict(played(epoch, 60.0))) + "\n" for epoch in range(1, epochs + 1)]
    (folder / gan_curve.PLAYED).write_text("".join(lines))
    for epoch, score in scores.items():
        place = folder / f"epoch-{epoch:04d}"
        place.mkdir()
        parts = {f"similarity_{name}": 0.5 for name in gan_curve.PARTS}
        (place / gan_curve.MEASURED).write_text(
            json.dumps({"score": score, "conditioning_ccc": 0.1, "variety": 0.4, **parts})
        )


def test_the_tables_compare_at_equal_epochs_and_count_from_the_beginning(tmp_path: Path) -> None:
    write_arm(tmp_path / "recipe", 4, {0: 1.0, 2: 30.0, 4: 20.0})
    write_arm(tmp_path / "r1", 2, {0: 1.0, 2: 40.0})
    facts = {"songs": 10, "clips": 5, "real_half": {"score": 99.0}, "seed": 0}
    results = gan_curve.collect(tmp_path, facts, epochs=4, minutes=90.0)
    recipe, r1 = results["arms"]
    assert (recipe["finished"], r1["finished"], r1["cpu_minutes"]) == (True, False, 2.0)
    assert gan_curve.collect(tmp_path, facts, 4, minutes=2.0)["arms"][1]["finished"]
    point = recipe["points"][1]
    assert (point["turns"], point["cpu_s"], point["discriminator_steps"]) == (4, 120.0, 6)
    assert point["generator_loss"] == 3.0 and recipe["points"][0]["generator_loss"] is None
    text = "\n".join(gan_curve.report(results))
    assert "| the recipe | 4 | yes | 4.0 | 20.0 | 20.0 | 30.0 | 2 | 0.10 |" in text
    assert "| R1 penalty of 1 | 2 | no | 2.0 | 40.0 | 30.0 | 40.0 | 2 | 0.10 |" in text


def test_a_kept_generator_is_described_as_the_stage_describes_its_own(tmp_path: Path) -> None:
    from accelerate import Accelerator

    from benchmarks.studies.gan_judge import complete
    from teacher.gan import progress
    from teacher.gan.model import RECORD_FILE, WEIGHTS_FILE
    from teacher.gan.train import GanTraining
    from tests.teacher.gan.test_options import SONGS, TINY

    training = GanTraining(SONGS, replace(TINY, epochs=2), Accelerator(cpu=True), seed=3)
    turns = [turn(0.5, 0.75, 3), turn(1.0, 0.5, 1), replace(turn(0.25, 0.5, 2), epoch=1)]
    epochs = [Played.of(1, turns[:2], 1.0, 0.95), Played.of(2, turns[2:], 1.0, 0.95)]
    for number in (0, 1, 2):
        (tmp_path / f"epoch-000{number}").mkdir()
        (tmp_path / f"epoch-000{number}" / WEIGHTS_FILE).touch()
    complete(tmp_path, training, epochs)
    begun, half, whole = (json.loads((tmp_path / f"epoch-000{n}" / RECORD_FILE).read_text()) for n in (0, 1, 2))
    assert (begun["generator_steps"], begun["last_epoch"]) == (0, {})
    assert (half["generator_steps"], half["discriminator_steps"]) == (2, 4)

    wanted = asdict(progress.summary(training, turns))
    assert wanted["last_epoch"].pop("loss_ratio") == 3.0  # an epoch's record has none
    assert whole.pop("generator") == training.generator.options
    assert whole == json.loads(json.dumps(wanted))


@pytest.mark.slow
def test_a_stopped_study_continues_to_the_same_generator_and_its_clips_can_be_drawn(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.studies import gan_judge
    from benchmarks.studies.teacher_ablation import TeacherData
    from pocketmood.training.checkpoints import load_tensors
    from teacher.gan import plots

    monkeypatch.setattr(plots, "sheet", lambda *values: values[-1].write_bytes(b""))

    def study(**change: Any) -> dict[str, Any]:
        settings = {"run": tiny_run, "epochs": 2, "every": 1, "listen_s": 0.0, "out": tmp_path / "out"} | change
        gan_training.run(GanTrainingConfig(**settings), "typed", SMALL)
        found: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
        return found

    whole = study()
    arm = tiny_run / gan_training.FOLDER / "recipe"
    assert [point["epoch"] for point in whole["arms"][0]["points"]] == [0, 1, 2] and whole["arms"][0]["finished"]
    # Nothing is trained, or measured, twice.
    with monkeypatch.context() as patch:
        patch.setattr(gan_judge.Judge, "_score", None)
        assert study(minutes=0.0)["arms"] == [whole["arms"][0] | {"finished": True}]
    with pytest.raises(RunError, match="begun with other settings"):
        study(seed=1)

    (arm / "epoch-0002" / "measured.json").unlink()
    # Read back, a generator computes in another memory layout, and rounds otherwise.
    scores = [[point["score"] for point in found["arms"][0]["points"]] for found in (study(minutes=0.0), whole)]
    np.testing.assert_allclose(*scores, rtol=1e-3, atol=0)
    arm.rename(arm.with_name("kept"))
    study(epochs=1)
    again = study()
    assert [point["score"] for point in again["arms"][0]["points"]] == [
        point["score"] for point in whole["arms"][0]["points"]
    ]
    weights = [load_tensors(place / "epoch-0002" / "generator.safetensors") for place in (arm, arm.with_name("kept"))]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])

    data = TeacherData.open(RunFolder(tiny_run), arm / "epoch-0002", count=3)
    assert len(data.synthetic) == 3 and data.of_arm("gan", 0)[1] is data.synthetic
