"""The macOS script on whatever system this is: its reading, its arithmetic, its refusal; CoreML itself is faked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from export.coreml import predict_on_mac, to_coreml
from pocketmood.errors import BundleError, ExportError

SAMPLES = 6


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Make a bundle of three golden pairs whose emotion is the first two samples and whose interval68 is 0.25."""
    (tmp_path / "golden").mkdir()
    limits = {"model.fp32.mlpackage": 1e-3, "model.int8.mlpackage": 5e-3, "model.fp32.pte": 1e-3}
    for name in limits:
        (tmp_path / name).mkdir()
    records = [{"artefact": name, "tolerance": limit} for name, limit in limits.items()]
    (tmp_path / "parity.json").write_text(json.dumps(records))
    waves = np.arange(3 * SAMPLES, dtype="<f4").reshape(3, SAMPLES) / 100
    waves.tofile(tmp_path / "golden" / "waveform.f32")
    waves[:, :2].tofile(tmp_path / "golden" / "emotion.f32")
    np.full((3, 2), 0.25, "<f4").tofile(tmp_path / "golden" / "interval68.f32")
    (tmp_path / "bundle.json").write_text(json.dumps({"input": {"shape": [1, SAMPLES]}}))
    return tmp_path


def on_a_mac(monkeypatch: pytest.MonkeyPatch, offset: float) -> None:
    """Pretend to be a Mac whose kernels are off by `offset` in arousal."""
    monkeypatch.setattr(predict_on_mac, "refuse_other_systems", lambda platform: None)
    monkeypatch.setattr(
        to_coreml, "read", lambda path: lambda wave: (wave[:, :2] + np.float32([0, offset]), np.full((1, 2), 0.25))
    )


@pytest.mark.parametrize(
    ("offset", "passed"),
    [(0.0, (1, 1)), (9e-4, (1, 1)), (-2e-3, (0, 1)), (6e-3, (0, 0)), (float("nan"), (0, 0))],
)
def test_judges_each_program_by_its_limit(
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    offset: float,
    passed: tuple[int, int],
) -> None:
    on_a_mac(monkeypatch, offset)
    assert predict_on_mac.main(["--bundle", str(bundle)]) == int(not all(passed))
    *sentences, records = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in sentences] == ["model.fp32.mlpackage", "model.int8.mlpackage"]
    assert ["BEYOND" not in line for line in sentences] == list(map(bool, passed))
    assert all("3 golden pairs" in line for line in sentences)
    for record, one in zip(json.loads(records), passed, strict=True):
        assert record["passed"] == bool(one)
        np.testing.assert_allclose(record["max_error"], abs(offset), rtol=1e-3, atol=1e-8)
        np.testing.assert_allclose(record["signed_mean_error"], offset / 4, rtol=1e-3, atol=1e-8)


def test_a_limit_of_ones_own(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_mac(monkeypatch, 9e-4)
    assert predict_on_mac.main(["--bundle", str(bundle), "--limit", "1e-4"]) == 1


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac can run CoreML programs")
def test_other_systems_say_so(bundle: Path) -> None:
    with pytest.raises(ExportError, match=f"macOS only, and this is {sys.platform}: nothing was checked"):
        predict_on_mac.main(["--bundle", str(bundle)])


@pytest.mark.skipif(sys.platform != "darwin", reason="CoreML programs run on macOS only; there: make test")
def test_apples_runtime_is_there() -> None:
    import coremltools

    assert coremltools.utils._macos_version() >= (14, 0)


def test_damaged_bundles_are_named(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_mac(monkeypatch, 0.0)
    (bundle / "model.int8.mlpackage").rmdir()
    with pytest.raises(BundleError, match=r"holds no model\.int8\.mlpackage"):
        predict_on_mac.main(["--bundle", str(bundle)])
    parity = bundle / "parity.json"
    parity.write_text('[{"artefact": "model.fp32.mlpackage"}]')
    with pytest.raises(BundleError, match="an older version wrote it"):
        predict_on_mac.main(["--bundle", str(bundle)])
    parity.write_text('[{"artefact": "model.fp32.pte"}]')
    with pytest.raises(BundleError, match="holds no CoreML program"):
        predict_on_mac.main(["--bundle", str(bundle)])
    parity.unlink()
    with pytest.raises(BundleError, match="so there are no limits"):
        predict_on_mac.main(["--bundle", str(bundle)])
    golden = bundle / "golden" / "emotion.f32"
    golden.write_bytes(golden.read_bytes()[:-4])
    with pytest.raises(BundleError, match=r"emotion\.f32: missing, or no whole number"):
        predict_on_mac.main(["--bundle", str(bundle)])
    golden.write_bytes(golden.read_bytes()[:8])
    with pytest.raises(BundleError, match="3 golden waveforms, 1 emotions, 3 intervals"):
        predict_on_mac.main(["--bundle", str(bundle)])
    (bundle / "bundle.json").unlink()
    with pytest.raises(BundleError, match=r"no bundle\.json"):
        predict_on_mac.main(["--bundle", str(bundle)])
