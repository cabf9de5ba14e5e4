"""Mixup: what a mixture of two crops holds, and that no rating is lost to a pair."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketmood.data.clips import ClipStore
from pocketmood.spec import MelSpec
from student.config import AugmentConfig
from student.training_set import SoftTargetCrops, TrainingData, collate, mix
from teacher.soft_targets import SoftTargets
from tests.helpers.student_configs import smoke

MIXED = AugmentConfig(0, 0, 0, mixup=0.5)


@pytest.fixture
def half_rated(data: TrainingData, tmp_path: Path) -> tuple[ClipStore, SoftTargets]:
    """Give eight clips, of which the last four have lost their ratings, and soft targets for all of them."""
    whole, ids = data.store, data.split.train[:8]
    clips = [whole.clips[whole.index(id_)] for id_ in ids]
    clips[4:] = [replace(clip, label=None, deviation=None) for clip in clips[4:]]
    store = ClipStore.write(tmp_path / "half", clips, [whole.waveform(id_) for id_ in ids], MelSpec())
    soft_targets = data.soft_targets
    rows = [soft_targets.index(id_) for id_ in ids]
    parts = {name: getattr(soft_targets, name)[rows] for name in ("emotion", "rater_sd", "features")}
    return store, replace(soft_targets, ids=tuple(ids), **parts)


def test_mixture_by_hand() -> None:
    unlike = {"mask": np.array([0, 1, 0, 1]), "deviations": np.float32([0.2, np.nan]), "features": np.float32([1, 0])}
    unlike["agreement"] = np.float32([2, 1])
    one = {"context": np.float32([1, 0, 2]), "labels": np.float32([0.4, 0]), **unlike}
    one["emotion"] = np.float32([0.8, -0.8])
    other = {"context": np.float32([0, 3, 2]), "labels": np.float32([-0.4, 1]), "emotion": np.float32([0, 0])}
    other |= {"mask": np.zeros(4, int), "deviations": np.float32([0.6, 0.3]), "features": np.float32([0, 4])}
    other["agreement"] = np.float32([1, 0.6])
    found = mix(one, other, 0.25)
    half, rest = 0.5, np.sqrt(0.75)
    # roots of the shares: the first two samples, heard in one sound only, keep 1/4 and 3/4 of their energy
    assert np.allclose(found["context"], [half, 3 * rest, 2 * half + 2 * rest], rtol=1e-6, atol=0)
    assert np.allclose(found["labels"], [-0.2, 0.75], rtol=1e-6, atol=0)
    assert np.allclose(found["emotion"], [0.2, -0.2], rtol=1e-6, atol=0)
    assert np.allclose(found["features"], [0.25, 3], rtol=1e-6, atol=0)
    assert np.allclose(found["agreement"], [1.25, 0.7], rtol=1e-6, atol=0)
    assert np.allclose(found["deviations"], [0.5, np.nan], rtol=1e-6, atol=0, equal_nan=True)
    assert found["mask"] is one["mask"] and found["context"].dtype == found["labels"].dtype == np.float32


def test_energies_of_unrelated_sounds_add_up_by_their_shares() -> None:
    rng = np.random.default_rng(0)
    loud, soft = (level * rng.standard_normal(200_000).astype(np.float32) for level in (1.0, 0.1))
    nothing = {name: np.zeros(2, np.float32) for name in ("labels", "deviations", "emotion", "features", "agreement")}
    sound = mix({"context": loud, **nothing}, {"context": soft, **nothing}, 0.3)["context"]
    # 200 000 samples: the cross term scatters by 2 sqrt(.21) .1 / 447
    assert float((sound**2).mean()) == pytest.approx(0.3 * 1.0 + 0.7 * 0.01, rel=0.01, abs=0)


def test_a_pair_with_an_unrated_clip_has_no_label(half_rated: tuple[ClipStore, SoftTargets]) -> None:
    plain = SoftTargetCrops(*half_rated, MelSpec(), smoke())
    rated, unrated = plain[0], plain[5]
    batch = collate([mix(rated, unrated, 0.5), mix(unrated, rated, 1.0), mix(rated, rated, 0.5)])
    assert batch["labelled"].tolist() == [False, False, True]
    assert torch.isfinite(batch["labels"]).all() and torch.isfinite(batch["emotion"]).all()


def test_no_rating_is_lost_to_a_pair(half_rated: tuple[ClipStore, SoftTargets]) -> None:
    store, soft_targets = half_rated
    plain, mixed = (SoftTargetCrops(store, soft_targets, MelSpec(), smoke(draws=3, augment=augment)) for augment in
                    (AugmentConfig(0, 0, 0), MIXED))  # fmt: skip
    labelled = [collate([crops[index] for index in range(24)])["labelled"].tolist() for crops in (plain, mixed)]
    assert labelled[0] == labelled[1] == ([True] * 4 + [False] * 4) * 3
    known = {tuple(pair) for pair in soft_targets.emotion.reshape(-1, 2)}
    between = [tuple(mixed[index]["emotion"]) not in known for index in range(24)]
    assert sum(between) > 12  # mixed it is, with other clips and other crops
    labels = np.array([mixed[index]["labels"] for index in range(4)])
    assert not np.allclose(labels, store.labels(soft_targets.ids[:4]), rtol=0, atol=1e-3)
