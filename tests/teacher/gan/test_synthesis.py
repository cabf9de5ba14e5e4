"""Synthetic clips: a store of their own, drawn the same each time, and refused where only real music may be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketmood.data.clips import Clip
from pocketmood.data.split import Split, refuse_leaks
from pocketmood.emotion import Emotion
from pocketmood.errors import DataError, RunError
from teacher.gan import synthesis
from teacher.gan.model import Generator, save_generator
from teacher.gan.synthesis import SyntheticStore
from tests.helpers.gan import gan_record

LABELS = np.array([[0.5, 0.2], [-0.6, -0.3], [0.1, 0.7]], np.float32)


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gan")
    torch.manual_seed(0)
    save_generator(Generator(8, 4, 2, bands=32, frames=48), folder, gan_record("0" * 16))
    return folder


def test_a_store_holds_what_was_drawn(gan: Path, tmp_path: Path) -> None:
    made = synthesis.draw_clips(gan, LABELS, 20, tmp_path / "store", seed=1)
    store = SyntheticStore.open(tmp_path / "store")
    assert store.ids[0] == "synthetic-00001" and store.ids[-1] == "synthetic-00020" and len(store) == 20
    assert store.mels.shape == (20, 1, 32, 48) and store.mels.dtype == np.float16
    assert np.abs(store.mels).max() <= 1 and not store.mels.flags.writeable
    assert store.labels.shape == (20, 2) and np.array_equal(store.labels, made.labels)
    # Asked for: emotions of the songs, blurred by less than five deviations.
    assert np.abs(store.labels[:, None] - LABELS).max(2).min(1).max() < 0.25
    assert store.record.synthetic is True
    assert [clip.synthetic for clip in store.clips] == [True] * 20
    assert store.clips[3].label == Emotion(*map(float, store.labels[3]))


def test_the_same_seed_draws_the_same_clips(gan: Path, tmp_path: Path) -> None:
    one, two, other = (
        synthesis.draw_clips(gan, LABELS, 3, tmp_path / name, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert np.array_equal(one.mels, two.mels) and np.array_equal(one.labels, two.labels)
    assert not np.array_equal(one.mels, other.mels)


def test_a_clip_is_what_the_generator_draws_for_its_label(gan: Path, tmp_path: Path) -> None:
    from teacher.gan.model import load_generator

    store = synthesis.draw_clips(gan, LABELS, 18, tmp_path / "store", seed=1)  # 18: the last one is in a second batch
    generator, _ = load_generator(gan)
    noise = torch.from_numpy(np.random.default_rng([1, 17, 1]).standard_normal((1, 8), np.float32))
    with torch.no_grad():
        wanted = generator(noise, torch.from_numpy(store.labels[17:]))
    np.testing.assert_allclose(store.mels[17:], wanted.numpy(), rtol=0, atol=1e-3)  # float16 near 1: 5e-4


def test_a_damaged_generator_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    from teacher.gan.model import load_generator

    save_generator(Generator(8, 4, 2, bands=32, frames=48), tmp_path, gan_record("0" * 16))
    (tmp_path / "generator.safetensors").write_bytes(b"no")
    with pytest.raises(RunError, match=r"generator.safetensors: damaged.*delete .* and run the teacher stage again"):
        load_generator(tmp_path)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_validation_and_test_refuse_synthetic_clips(gan: Path, tmp_path: Path, part: str) -> None:
    synthetic = synthesis.draw_clips(gan, LABELS, 2, tmp_path / "store", seed=0)
    real = [Clip(str(number), None, Emotion(0.1, 0.2), None) for number in range(3)]
    split = Split(("0",), ("1",), ("2",), seed=0, by="song")
    refuse_leaks(split, [*real, *synthetic.clips])
    leaky = replace(split, **{part: (*getattr(split, part), "synthetic-00001")})
    with pytest.raises(DataError, match=f"synthetic-00001 synthetic, yet in {part}"):
        refuse_leaks(leaky, [*real, *synthetic.clips])


def test_damaged_stores_are_refused(gan: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no synthetic clips here"):
        SyntheticStore.open(tmp_path)
    with pytest.raises(RunError, match="no trained generator"):
        synthesis.draw_clips(tmp_path, LABELS, 2, tmp_path / "store", seed=0)
    synthesis.draw_clips(gan, LABELS, 2, tmp_path / "store", seed=0)
    path = tmp_path / "store" / synthesis.MEL_FILE
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match=r"mels\.f16.*6142 bytes, 2 clips need 6144"):
        SyntheticStore.open(tmp_path / "store")
    with pytest.raises(DataError, match="no NaN"):
        synthesis.draw_clips(gan, LABELS * np.nan, 2, tmp_path / "store", seed=0)
