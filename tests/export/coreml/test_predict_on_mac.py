"""The macOS script on whatever system this is: its reading, its arithmetic, its refusal; CoreML itself is faked."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from export.coreml import predict_on_mac, to_coreml
from export.golden import GOLDEN_FILES
from pocketmood.errors import BundleError, ExportError
from tests.helpers import ROOT
from tests.helpers.export_fixtures import write_bundle_json, write_parity

SAMPLES = 6
TOLERANCES = {"model.fp32.mlpackage": 1e-3, "model.int8.mlpackage": 5e-3, "model.fp32.pte": 1e-3}
SWIFT = ROOT / "export" / "coreml" / "swift" / "Sources" / "CheckBundle"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Make a bundle of three golden pairs whose emotion is the first two samples and whose interval68 is 0.25."""
    (tmp_path / "golden").mkdir()
    for name in TOLERANCES:
        (tmp_path / name).mkdir()
    write_parity(tmp_path, TOLERANCES)
    waves = np.arange(3 * SAMPLES, dtype="<f4").reshape(3, SAMPLES) / 100
    waves.tofile(tmp_path / "golden" / "waveform.f32")
    waves[:, :2].tofile(tmp_path / "golden" / "emotion.f32")
    np.full((3, 2), 0.25, "<f4").tofile(tmp_path / "golden" / "interval68.f32")
    write_bundle_json(tmp_path, SAMPLES)
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
def test_judges_each_program_by_its_tolerance(
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
    for record, wanted in zip(json.loads(records), passed, strict=True):
        assert record["passed"] == bool(wanted)
        np.testing.assert_allclose(record["max_error"], abs(offset), rtol=1e-3, atol=1e-8)
        np.testing.assert_allclose(record["signed_mean_error"], offset / 4, rtol=1e-3, atol=1e-8)


def test_a_changed_tolerance_in_parity_json_changes_the_verdict(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_mac(monkeypatch, 2e-3)
    verdicts = []
    for tolerance in (1e-3, 3e-3):
        write_parity(bundle, TOLERANCES | {"model.fp32.mlpackage": tolerance})
        verdicts.append(predict_on_mac.main(["--bundle", str(bundle)]))
    assert verdicts == [1, 0]


def test_swift_reads_the_tolerance_and_computes_none() -> None:
    """Swift cannot be run where there is no CoreML: the workflow's macOS job runs it, and this reads its source."""
    source = {path.stem: path.read_text() for path in SWIFT.glob("*.swift")}
    record = re.search(r"struct ParityRecord: Decodable \{(.*?)\}", source["ExportedBundle"], re.DOTALL)
    assert record and re.findall(r"let (\w+)", record[1]) == ["artefact", "tolerance"]
    assert "guard let tolerance = record.tolerance else" in source["ExportedBundle"]
    assert (
        "largest <= tolerance" in source["LoadedProgram"] and "tolerance = program.tolerance" in source["LoadedProgram"]
    )
    for text in source.values():  # no limit of its own, and no output by another name
        assert not re.search(r"\b\d*\.?\d+e-\d|\b0?\.0\d", text) and "spread" not in text
    assert '["emotion", "interval68"]' in source["LoadedProgram"]
    assert all(f'"{name}"' in source["ExportedBundle"] for name in GOLDEN_FILES)


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
    old = [{"artefact": "model.fp32.mlpackage", "verdict": "passed", "limit": 1e-4, "device_limit": 1e-3}]
    parity.write_text(json.dumps(old))
    with pytest.raises(
        BundleError, match=r"model\.fp32\.mlpackage has no tolerance and unknown device_limit; another version"
    ):
        predict_on_mac.main(["--bundle", str(bundle)])
    parity.write_text(json.dumps([{"artefact": "model.fp32.mlpackage", "verdict": "failed"}]))
    with pytest.raises(BundleError, match=r"model\.fp32\.mlpackage has no tolerance; export it again"):
        predict_on_mac.main(["--bundle", str(bundle)])
    write_parity(bundle, {"model.fp32.pte": 1e-3})
    with pytest.raises(BundleError, match="holds no CoreML program"):
        predict_on_mac.main(["--bundle", str(bundle)])
    parity.unlink()
    with pytest.raises(BundleError, match="so there are no tolerances"):
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
