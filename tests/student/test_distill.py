"""Distillation: who teaches through what, what gets a gradient, and what is never saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketmood.data.clips import Clip, ClipStore
from pocketmood.spec import MelSpec
from pocketmood.training.checkpoints import load_tensors
from student.config import LossConfig
from student.distill import Distiller
from student.mobilevit import Student, save_student
from student.training_set import SoftTargetCrops, TrainingData, collate
from teacher.soft_targets import SoftTargets, target_ids
from tests.helpers.soft_targets import CROPS, FEATURES
from tests.helpers.student_configs import smoke

SPEC = MelSpec()


def test_music_without_ratings_reaches_the_student_and_teaches_through_the_teacher_only(
    data: TrainingData, tmp_path: Path
) -> None:
    rated, split = data.store, data.split
    ids = split.train[:2]
    clips = [rated.clips[rated.index(id_)] for id_ in ids] + [Clip("unlabelled-x", None, None, None)]
    waves = [rated.waveform(id_) for id_ in (*ids, split.train[2])]
    run = tmp_path / "unlabelled"
    store = ClipStore.write(run / "data" / "store", clips, waves, SPEC)
    clip_ids = target_ids(store, replace(split, train=ids))
    assert clip_ids == [*ids, "unlabelled-x"]
    rng = np.random.default_rng(0)
    table = {name: rng.normal(0, 0.3, (3, len(CROPS), size)).astype(np.float32) for name, size in
            (("emotion", 2), ("rater_sd", 2), ("features", FEATURES))}  # fmt: skip
    soft_targets = SoftTargets(tuple(clip_ids), tuple(map(tuple, CROPS)), 5, 256, SPEC.hash, "made up", **table)
    crops = SoftTargetCrops(store, soft_targets, SPEC, smoke())
    assert len(crops) == 3
    batch = collate([crops[index] for index in range(3)])
    assert batch["labelled"].tolist() == [True, True, False]
    torch.manual_seed(0)
    distiller = Distiller(Student("mobilevit_xxs", layers=1), FEATURES, LossConfig()).requires_grad_(False)
    terms = distiller(**batch)
    other = {**batch, "labels": batch["labels"].clone(), "deviations": batch["deviations"].clone()}
    other["labels"][2], other["deviations"][2] = 0.9, 0.1  # whatever stands where nobody rated
    again = distiller(**other)
    for name in ("labels", "rater_sd", "response", "features"):
        assert torch.equal(terms[name], again[name]), name
    other = {**batch, "emotion": batch["emotion"].clone(), "features": batch["features"].clone()}
    other["emotion"][2] += 0.5
    other["features"][2] *= -1
    again = distiller(**other)
    assert torch.equal(terms["labels"], again["labels"]) and torch.equal(terms["rater_sd"], again["rater_sd"])
    assert abs(float(terms["response"]) - float(again["response"])) > 1e-3
    assert abs(float(terms["features"]) - float(again["features"])) > 1e-3


@pytest.mark.parametrize("measure", ["cosine", "relational"])
def test_projector_and_front_end_never_reach_the_saved_student(measure: str, tmp_path: Path) -> None:
    student = Student("mobilevit_xxs", frames=64)
    distiller = Distiller(student, FEATURES, LossConfig(feature_measure=measure))  # type: ignore[arg-type]
    assert any(name.startswith("projector.") for name in distiller.state_dict()) == (measure == "cosine")
    save_student(distiller.student, tmp_path)
    saved = load_tensors(tmp_path / "model.safetensors")
    assert saved.keys() == Student("mobilevit_xxs", frames=64).state_dict().keys()
    assert not any("project" in name or "front" in name for name in saved if not name.startswith("body."))
    assert not any(FEATURES in tensor.shape for tensor in saved.values())


@pytest.mark.parametrize("measure", ["cosine", "relational", "distance-correlation"])
def test_a_batch_gives_every_part_a_gradient(measure: str, data: TrainingData) -> None:
    store, soft_targets = data.store, data.soft_targets
    crops = SoftTargetCrops(store, soft_targets, SPEC, smoke())
    torch.manual_seed(0)
    weights = LossConfig(feature_measure=measure, gate=True)  # type: ignore[arg-type]
    distiller = Distiller(Student("mobilevit_xxs", layers=1), FEATURES, weights)
    terms = distiller(**collate([crops[index] for index in range(4)]))
    terms["loss"].backward()
    assert [name for name, value in distiller.named_parameters() if value.grad is None] == []
    shown = {name for name in terms if "share" not in name}  # what an epoch's line prints
    assert shown == {"loss", "labels", "response", "features", "rater_sd"} and len(terms) == 10
