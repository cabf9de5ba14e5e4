"""Synthetic clips beside real ones: what the student hears of them, and that they teach by soft targets alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketmood.data.clips import ClipStore
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import DataError, RunError
from pocketmood.spec import MelSpec
from pocketmood.training.checkpoints import load_tensors
from student import stage
from student.config import PRESETS, AugmentConfig, LossConfig
from student.distill import Distiller
from student.mobilevit import Student
from student.training_set import SoftTargetCrops, TrainingData, collate
from teacher import stage as teacher_stage
from teacher.presets import PRESETS as TEACHERS
from teacher.soft_targets import SyntheticTargets
from tests.helpers.soft_targets import CROPS, FEATURES, make_synthetic, make_teacher
from tests.helpers.student_configs import smoke
from tests.student.test_stage import KillError, kill_at_epoch

SPEC = MelSpec()
DRAWN = 3


@pytest.fixture
def both(tiny_run: Path) -> TrainingData:
    """Return the tiny run with 3 synthetic clips beside its 16 training clips."""
    make_synthetic(make_teacher(tiny_run), DRAWN)
    return TrainingData.open(RunFolder(tiny_run), synthetic=True)


def crops_of(data: TrainingData, draws: int = 1, augment: AugmentConfig | None = None) -> SoftTargetCrops:
    """Return the crops of a run, unchanged unless asked."""
    config = smoke(draws=draws, augment=augment or AugmentConfig(0, 0, 0))
    return SoftTargetCrops(data.store, data.soft_targets, SPEC, config, data.synthetic)


def test_real_crops_are_the_same_with_synthetic_clips_and_without(both: TrainingData) -> None:
    with_, without = crops_of(both, draws=2), crops_of(both._replace(synthetic=None), draws=2)
    assert (len(with_), len(without), both.clips) == (2 * (16 + DRAWN), 2 * 16, 16 + DRAWN)
    for index in (0, 17, 31):
        beside, alone = with_[index], without[index]
        assert beside.keys() == alone.keys() and "mel" not in beside
        assert all(np.array_equal(beside[name], alone[name]) for name in beside)  # type: ignore[literal-required]


def test_a_synthetic_crop_is_a_slice_of_what_the_generator_drew(both: TrainingData) -> None:
    assert both.synthetic is not None
    crops, table = crops_of(both, draws=2), both.synthetic.table
    for index in range(32, 38):  # clips 0, 1, 2 and once more, behind 2 x 16 real crops
        item, clip = crops[index], (index - 32) % DRAWN
        assert "context" not in item and item["mel"].shape == (1, 128, 64) and item["mel"].dtype == np.float32
        (k,) = [k for k in range(1, len(CROPS)) if np.array_equal(item["emotion"], table.emotion[clip, k])]
        assert np.array_equal(item["features"], table.features[clip, k])
        start = CROPS[k][0]
        # By hand: 64 frames, every fifth of the 1292, from the crop's start on.
        expected = both.synthetic.mels[clip, :, :, start : start + 5 * 64 : 5]
        assert np.array_equal(item["mel"], expected.astype(np.float32))
        assert np.isnan(item["labels"]).all() and np.isnan(item["deviations"]).all()
    draws = [(crops[index]["emotion"], crops[index + DRAWN]["emotion"]) for index in range(32, 35)]
    assert not all(np.array_equal(first, again) for first, again in draws)  # another draw of the same clips


def test_whole_clips_at_the_end_are_whole_for_synthetic_ones_too(both: TrainingData) -> None:
    assert both.synthetic is not None
    config = smoke(whole_share=0.5)
    crops = SoftTargetCrops(both.store, both.soft_targets, SPEC, config, both.synthetic)
    crops.epoch = 1
    assert crops[16]["mel"].shape == (1, 128, 256)
    assert np.array_equal(crops[16]["emotion"], both.synthetic.table.emotion[0, 0])


def test_a_batch_of_rated_unrated_and_synthetic_clips_keeps_targets_with_their_sounds(
    both: TrainingData, tmp_path: Path
) -> None:
    whole, ids = both.store, list(both.soft_targets.ids)
    clips = [whole.clips[whole.index(id_)] for id_ in ids]
    clips[8:] = [replace(clip, label=None, deviation=None) for clip in clips[8:]]
    store = ClipStore.write(tmp_path / "half", clips, [whole.waveform(id_) for id_ in ids], SPEC)
    crops = crops_of(both._replace(store=store))

    # Synthetic, unrated, synthetic, rated: sounds come first, each kind in its order.
    mixed = [crops[index] for index in (17, 9, 16, 2)]
    batch = collate(mixed)
    order = [mixed[1], mixed[3], mixed[0], mixed[2]]
    assert batch["context"].shape[0] == 2 and batch["mel"].shape == (2, 1, 128, 64)
    assert torch.equal(batch["mel"], torch.from_numpy(np.stack([mixed[0]["mel"], mixed[2]["mel"]])))
    for name in ("emotion", "features", "mask"):
        assert np.array_equal(batch[name].numpy(), np.stack([item[name] for item in order]))  # type: ignore[literal-required]
    assert batch["labelled"].tolist() == [False, True, False, False]
    assert torch.equal(batch["labels"][1], torch.from_numpy(store.labels([ids[2]])[0]))


@pytest.mark.parametrize("rows", [(0, 16, 17), (16, 17, 18)])
def test_a_step_on_synthetic_clips_has_all_terms(both: TrainingData, rows: tuple[int, ...]) -> None:
    crops = crops_of(both)
    torch.manual_seed(0)
    distiller = Distiller(Student("mobilevit_xxs", layers=1), FEATURES, LossConfig())
    terms = distiller(**collate([crops[index] for index in rows]))
    terms["loss"].backward()
    assert torch.isfinite(terms["loss"]) and terms["response"] > 0
    if rows[0] >= 16:  # nobody rated any of them
        assert terms["labels"] == 0 and terms["rater_sd"] == 0


def test_mixup_leaves_synthetic_clips_alone(both: TrainingData) -> None:
    plain, mixed = crops_of(both), crops_of(both, augment=AugmentConfig(0, 0, 0, mixup=0.5))
    assert np.array_equal(plain[17]["mel"], mixed[17]["mel"])
    assert not np.array_equal(plain[3]["context"], mixed[3]["context"])


def test_without_synthetic_clips_the_flag_is_refused_with_the_command(tiny_run: Path) -> None:
    make_teacher(tiny_run)
    config = replace(PRESETS["smoke"], run=tiny_run, synthetic_clips=True)
    with pytest.raises(RunError, match=rf'make teacher RUN={tiny_run} TEACHER="--gan.force-synthetic"'):
        stage.run(config)
    assert not (tiny_run / "student.part").exists()


def test_soft_targets_of_another_teacher_are_refused(both: TrainingData) -> None:
    assert both.synthetic is not None
    both.refuse_foreign(smoke(), SPEC)
    for foreign in ({"teacher": "another"}, {"crops": tuple(both.soft_targets.crops[:1])}, {"spec_hash": "another"}):
        table = replace(both.synthetic.table, **foreign)
        wrong = both._replace(synthetic=replace(both.synthetic, table=table))
        with pytest.raises(DataError, match="do not fit those of the songs"):
            wrong.refuse_foreign(smoke(), SPEC)


def test_soft_targets_of_other_clips_are_refused(tiny_run: Path) -> None:
    make_synthetic(make_teacher(tiny_run), DRAWN)
    index = tiny_run / "teacher" / "synthetic_soft_targets" / "soft_targets.json"
    index.write_text(index.read_text().replace("synthetic-00003", "synthetic-00004"))
    with pytest.raises(DataError, match=r"not made for the 3 clips in .*synthetic; run the teacher again"):
        SyntheticTargets.open(RunFolder(tiny_run))


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_weights(
    tiny_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_synthetic(make_teacher(tiny_run))
    config = replace(PRESETS["smoke"], run=tiny_run, synthetic_clips=True)
    with monkeypatch.context() as patch, pytest.raises(KillError):
        kill_at_epoch(patch, 1)
        stage.run(config)
    stage.run(config)
    assert "16 rated clips and 0 unrated and 6 synthetic" in capsys.readouterr().out
    killed = load_tensors(tiny_run / "student" / "model.safetensors")
    steps = [json.loads(line)["step"] for line in (tiny_run / "student" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [2, 4]  # 22 crops make 2 batches of 8

    second = tiny_run.with_name("second")
    second.mkdir()
    for name in ("data", "teacher"):
        (second / name).symlink_to(tiny_run / name, target_is_directory=True)
    stage.run(replace(config, run=second))
    whole = load_tensors(second / "student" / "model.safetensors")
    assert [name for name in whole if not torch.equal(killed[name], whole[name])] == []


@pytest.mark.slow
def test_a_forced_teacher_leaves_what_the_student_needs(tiny_run: Path) -> None:
    small = TEACHERS["smoke"]
    forced = replace(small, run=tiny_run, baseline=False, gan=replace(small.gan, force_synthetic=True))
    teacher_stage.run(forced)
    data = TrainingData.open(RunFolder(tiny_run), synthetic=True)
    assert data.synthetic is not None and len(data.synthetic.table.ids) == len(data.synthetic.mels) == 8
    # Of the same teacher at the same crops; the songs' own table holds none of them.
    data.refuse_foreign(smoke(), SPEC)
    assert set(data.soft_targets.ids) == set(data.split.train) and data.clips == 16 + 8
    stage.run(replace(PRESETS["smoke"], run=tiny_run, synthetic_clips=True))
    assert json.loads((tiny_run / "student" / "stage.json").read_text())["config"]["synthetic_clips"] is True
