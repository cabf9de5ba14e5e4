"""Spectrograms of whole clips for training are those of the one front end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pocketmood import mel
from pocketmood.data.clips import Clip, ClipStore
from pocketmood.mel import MelFrontEnd
from pocketmood.spec import MelSpec
from pocketmood.training.crops import whole_mels

SPEC = MelSpec(seconds=2.0)


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    rng = np.random.default_rng(0)
    clips = [Clip(name, None, None, None) for name in "abc"]
    return ClipStore.write(tmp_path / "store", clips, (0.1 * rng.standard_normal(SPEC.samples) for _ in clips), SPEC)


@pytest.mark.parametrize("frames", [None, 10, 100])  # all that there are, fewer, and more
@pytest.mark.parametrize("stride", [1, 5])
def test_whole_clips_are_padded_and_cut_as_by_the_front_end(stride: int, frames: int | None, store: ClipStore) -> None:
    front = MelFrontEnd(SPEC, stride, frames)
    found = dict(row for names, mels in whole_mels(store, store.ids, front, 2) for row in zip(names, mels, strict=True))
    assert list(found) == store.ids
    for name, spectrogram in found.items():
        alone = front(torch.from_numpy(store.waveform(name))[None])[0]
        # In [-1, 1]; products of two clips at once may be blocked otherwise than those of one, which moves last bits.
        np.testing.assert_allclose(spectrogram, alone, rtol=0, atol=1e-6)


def test_whole_clips_move_with_the_definition(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    before = next(whole_mels(store, ["a"], MelFrontEnd(SPEC, 5)))[1]
    monkeypatch.setattr(mel, "_DB_PER_LN", 1.01 * mel._DB_PER_LN)
    after = next(whole_mels(store, ["a"], MelFrontEnd(SPEC, 5)))[1]
    assert float((after - before).abs().max()) > 1e-3
