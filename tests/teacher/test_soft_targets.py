"""The table of soft targets: which crops, which clips, the same frames as the student's, and what a kill leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from pocketmood.data.clips import Clip, ClipStore
from pocketmood.data.split import Split
from pocketmood.errors import DataError, RunError
from pocketmood.mel import MelFrontEnd, context
from teacher import soft_targets
from teacher.config import SoftTargetsConfig, VitConfig
from teacher.crop_predictions import ARRAYS, crop_list
from teacher.gan.synthesis import SyntheticStore
from teacher.soft_targets import SoftTargets, Source
from teacher.vit import Teacher, build_teacher
from tests.helpers.soft_targets import make_synthetic, make_teacher

SMALL = VitConfig(width=16, layers=1, heads=2, period_frames=64)
CONFIG = SoftTargetsConfig(crops=3)


@pytest.fixture
def teacher() -> Teacher:
    torch.manual_seed(0)
    return build_teacher(SMALL).eval()


@pytest.fixture
def store(tiny_data: Path) -> ClipStore:
    return ClipStore.open(tiny_data / "data" / "store")


def test_crops_begin_with_the_whole_clip_and_reach_from_end_to_end() -> None:
    crops = crop_list(SoftTargetsConfig())
    assert len(crops) == 9 and crops[0] == (0, 256) and crops[1] == (0, 64)
    # By hand: the last starts at frame 256 - 64 = 192, and hops are 5 per frame.
    assert crops[-1] == (960, 64)
    assert all(start % 5 == 0 for start, _ in crops) and len(set(crops)) == 9
    assert crop_list(SoftTargetsConfig(crops=0)) == [(0, 256)]
    assert crop_list(SoftTargetsConfig(crops=1)) == [(0, 256), (0, 64)]


def test_held_out_songs_have_no_soft_targets() -> None:
    clips = [Clip(name, None, None, None) for name in ("new", "held")]
    split = Split(("b", "a"), ("held",), ("t",), 0, "song")
    assert soft_targets.target_ids(SimpleNamespace(clips=clips), split) == ["b", "a", "new"]


def test_soft_targets_are_for_the_frames_that_the_student_cuts(
    teacher: Teacher, store: ClipStore, tmp_path: Path
) -> None:
    ids = [store.ids[5], store.ids[2]]
    table = soft_targets.build(Source(teacher, SMALL, "abc"), store, ids, CONFIG, tmp_path)
    assert table.emotion.shape == table.rater_sd.shape == (2, 4, 2) and table.features.shape == (2, 4, 32)
    assert (table.ids, table.teacher, table.stride, table.frames) == (tuple(ids), "abc", 5, 256)
    front = MelFrontEnd(stride=5)
    for row, id_ in enumerate(ids):
        for column, (start, frames) in enumerate(table.crops):
            cut = context(store.raw[store.index(id_)], start, frames, front.spec, 5)
            with torch.no_grad():
                emotion, rater_sd, features = teacher(front.from_context(torch.from_numpy(cut)[None]))
            np.testing.assert_allclose(table.emotion[row, column], emotion[0].numpy(), rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(table.rater_sd[row, column], rater_sd[0].numpy(), rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(table.features[row, column], features[0].numpy(), rtol=1e-3, atol=2e-3)
    assert table.index(store.ids[2]) == 1
    with pytest.raises(DataError, match="'x'"):
        table.index("x")


def test_a_teacher_of_every_frame_predicts_for_the_same_time(store: ClipStore, tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    class Listener(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, mel: torch.Tensor) -> tuple[torch.Tensor, ...]:
            seen.append(tuple(mel.shape[1:]))
            return mel.new_zeros(len(mel), 2), mel.new_ones(len(mel), 2), mel[:, 0, :, :3].mean(1)

    vit = VitConfig(size="base", stride=1, frames=1292)
    soft_targets.build(Source(Listener(), vit, "t"), store, store.ids[:1], SoftTargetsConfig(crops=2), tmp_path)
    assert seen == [(1, 128, 1292), (1, 128, 320), (1, 128, 320)]  # 64 frames at stride 5 last 320 hops


def test_asked_for_the_whole_clip_every_crop_has_its_prediction(
    teacher: Teacher, store: ClipStore, tmp_path: Path
) -> None:
    ids, source = store.ids[:2], Source(teacher, SMALL, "t")
    crops = soft_targets.build(source, store, ids, CONFIG, _made(tmp_path / "crops"))
    whole = soft_targets.build(source, store, ids, replace(CONFIG, ask="whole"), _made(tmp_path / "whole"))
    assert whole.crops == crops.crops and whole.emotion.shape == (2, 4, 2)
    for name in ARRAYS:
        asked, answered = getattr(crops, name), getattr(whole, name)
        # One and the same pass for the whole clip on both sides, so to the last bit.
        for column in range(4):
            np.testing.assert_array_equal(answered[:, column], asked[:, 0])
    assert not np.array_equal(crops.emotion[:, 1], crops.emotion[:, 0])


def test_synthetic_clips_are_predicted_for_as_they_were_drawn(teacher: Teacher, tiny_run: Path, tmp_path: Path) -> None:
    make_synthetic(make_teacher(tiny_run), 3)
    drawn = SyntheticStore.open(tiny_run / "teacher" / "synthetic")
    ids = [drawn.ids[2], drawn.ids[0]]
    table = soft_targets.build(Source(teacher, SMALL, "t"), drawn, ids, CONFIG, tmp_path)
    assert table.ids == tuple(ids)
    for row, clip in enumerate((2, 0)):
        for column, (start, frames) in enumerate(table.crops):
            # Every fifth frame from the crop's start on, as many as the crop has.
            cut = drawn.mels[clip : clip + 1, :, :, start::5][..., :frames].astype(np.float32)
            with torch.no_grad():
                emotion, _, features = teacher(torch.from_numpy(cut))
            np.testing.assert_allclose(table.emotion[row, column], emotion[0].numpy(), rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(table.features[row, column], features[0].numpy(), rtol=1e-3, atol=2e-3)


def test_parts_of_a_killed_run_are_kept(
    teacher: Teacher, store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soft_targets, "CHUNK", 2)
    ids = store.ids[:5]
    source = Source(teacher, SMALL, "t")
    whole = soft_targets.build(source, store, ids, CONFIG, _made(tmp_path / "whole"))
    original, calls = soft_targets.predict_crops, []

    def dying(*args: object) -> object:
        calls.append(args[3])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args)  # type: ignore[arg-type]

    killed = _made(tmp_path / "killed")
    monkeypatch.setattr(soft_targets, "predict_crops", dying)
    with pytest.raises(KeyboardInterrupt):
        soft_targets.build(source, store, ids, CONFIG, killed)
    with pytest.raises(RunError, match="no soft targets here"):
        SoftTargets.open(killed)
    table = soft_targets.build(source, store, ids, CONFIG, killed)
    assert calls == [ids[:2], ids[2:4], ids[4:], ids[4:]]
    np.testing.assert_array_equal(table.features, whole.features)
    assert sorted(path.name for path in killed.iterdir()) == ["soft_targets.json", "soft_targets.safetensors"]


def test_damaged_or_unfitting_tables_are_refused(teacher: Teacher, store: ClipStore, tmp_path: Path) -> None:
    soft_targets.build(Source(teacher, SMALL, "t"), store, store.ids[:2], SoftTargetsConfig(crops=0), tmp_path)
    index = tmp_path / "soft_targets.json"
    good = index.read_text()
    index.write_text(good.replace('"ids": [', '"ids": ["more",'))
    with pytest.raises(DataError, match="does not hold 3 clips"):
        SoftTargets.open(tmp_path)
    index.write_text(good)
    table = load_file(tmp_path / "soft_targets.safetensors")
    table["features"][1, 0, 3], table["features"][0, 0, 1] = np.nan, np.inf
    save_file(table, tmp_path / "soft_targets.safetensors")
    with pytest.raises(DataError, match=r"features holds 2 values that are no finite numbers; delete .* -m teacher"):
        SoftTargets.open(tmp_path)
    (tmp_path / "soft_targets.safetensors").write_bytes(b"no")
    with pytest.raises(DataError, match="damaged"):
        SoftTargets.open(tmp_path)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
