"""Alternatives are stock networks behind librosa: the picture they see, their programs, and what they cost."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest

from benchmarks import alternatives
from benchmarks.alternatives import OURS, OWN, Alternative
from pocketmood.spec import MelSpec

SPEC = MelSpec(seconds=1.0)
WAVE = (0.1 * np.random.default_rng(0).standard_normal(SPEC.samples)).astype(np.float32)


def test_names_and_files_tell_peers_apart() -> None:
    both = [Alternative("net", size, runtime) for size in (OWN, OURS) for runtime in ("ONNX Runtime", "ExecuTorch")]
    assert [alternative.name for alternative in both[::2]] == ["librosa + net", "librosa + net 128x256"]
    assert len({alternative.file for alternative in both}) == 4
    assert str(OWN) == "256 x 256 x 3"


@pytest.mark.slow
@pytest.mark.parametrize("size", [OWN, OURS])
def test_the_picture_is_librosas_mel_in_equal_channels(size: alternatives.Picture) -> None:
    image = alternatives.picture(WAVE, SPEC, size)
    assert image.shape == (1, *size) and image.dtype == np.float32
    np.testing.assert_array_equal(image[0, 0], image[0, -1])
    mel = librosa.power_to_db(librosa.feature.melspectrogram(y=WAVE, sr=22_050, n_mels=128), ref=1.0, top_db=None)
    # resizing keeps the mean level, whatever 128 x 44 values become
    assert image.mean() == pytest.approx(mel.mean(), abs=0.5)


@pytest.mark.slow
def test_an_alternative_predicts_for_a_waveform_and_is_written_once(tmp_path: Path) -> None:
    """It is written beside the test, in the process where another one just failed."""
    alternative = Alternative("mobilevit_xxs", OWN, "ONNX Runtime")
    path = tmp_path / "alternatives" / alternative.file
    with alternatives.made_beside(
        [Alternative("no such network", OWN, "ONNX Runtime"), alternative], tmp_path / "alternatives"
    ) as wait:
        wait()
        written = path.stat().st_mtime_ns
    opened = alternative.open(tmp_path / "alternatives", SPEC, threads=1)
    assert opened.size_bytes == path.stat().st_size
    assert opened.params is not None and 4 * opened.params == pytest.approx(opened.size_bytes, rel=0.1)  # float32
    emotion, _ = opened.predict(WAVE)
    assert len(emotion) == 2 and np.isfinite(emotion).all()
    again, _ = alternative.open(tmp_path / "alternatives", SPEC, threads=1).predict(WAVE)
    assert path.stat().st_mtime_ns == written
    np.testing.assert_allclose(again, emotion, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_both_runtimes_predict_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A network of one convolution, so that lowering takes no time."""
    import torch
    from torch import nn

    def stock(_architecture: str, channels: int) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(channels, 2, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()

    monkeypatch.setattr(alternatives, "stock", stock)
    predictions = [
        Alternative("tiny", OURS, runtime).open(tmp_path, SPEC, threads=1).predict(WAVE)[0]
        for runtime in alternatives.ENDINGS
    ]
    np.testing.assert_allclose(predictions[0], predictions[1], rtol=1e-4, atol=1e-4)
