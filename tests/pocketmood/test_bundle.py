"""Reading a bundle: numpy and onnxruntime alone, hashes checked, every kind of damage named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pocketmood.bundle import Bundle
from pocketmood.emotion import Emotion
from pocketmood.errors import BundleError

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(exported_run: Path, tmp_path: Path) -> Path:
    """Return a bundle of the test's own."""
    return Path(shutil.copytree(exported_run / "bundle", tmp_path / "bundle"))


@pytest.mark.parametrize(
    ("runtime", "precision", "limit"),
    [("onnxruntime", "fp32", 1e-5), ("executorch", "fp32", 1e-5), ("executorch", "int8", 0.1)],
)
def test_predicts_the_golden_pairs(folder: Path, runtime: str, precision: str, limit: float) -> None:
    bundle = Bundle.open(folder)
    predict = bundle.predictor(runtime, precision, threads=1)
    waves = np.fromfile(folder / "golden" / "waveform.f32", "<f4").reshape(-1, bundle.samples)
    emotions, intervals = (
        np.fromfile(folder / "golden" / f"{n}.f32", "<f4").reshape(-1, 2) for n in ("emotion", "interval68")
    )
    assert len(waves) == len(emotions) == len(intervals) == 2
    for wave, emotion, interval68 in zip(waves, emotions, intervals, strict=True):
        found = predict(wave)
        assert all(isinstance(part, Emotion) for part in found)
        np.testing.assert_allclose(found, (emotion, interval68), rtol=0, atol=limit)


def test_a_whole_bundle_verifies(folder: Path) -> None:
    Bundle.open(folder).verify()


@pytest.mark.parametrize("name", ["model.fp32.onnx", "golden/emotion.f32", "MODEL_CARD.md", "parity.json"])
def test_a_flipped_bit_is_found(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name}: its SHA-256"):
        Bundle.open(folder).verify()


def test_what_is_loaded_is_checked(folder: Path) -> None:
    with (folder / "model.fp32.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match=r"model.fp32.onnx: its SHA-256.*export it again"):
        Bundle.open(folder).predictor()
    (folder / "model.fp32.pte").unlink()
    with pytest.raises(BundleError, match=r"model\.fp32\.pte: cannot be read"):
        Bundle.open(folder).predictor("executorch")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "schema 99, this version of pocketmood reads 2; install the version that fits"),
        (
            {"schema": 1},
            "schema 1, this version .* reads 2: .* `spread` is called `interval68` since. Type `make export",
        ),
        ({"spec": {"hop": 1}}, "damaged.*mel spec needs exactly"),
        ({"spec_hash": "0" * 16}, "do not fit their hash"),
        ({"files": None}, "damaged"),
        ({"files": {"model.fp32.onnx": 1}}, "damaged .a file without its hash"),
        ({"input": 3}, "damaged"),
        ({"input": {"shape": []}}, "damaged"),
    ],
)
def test_a_bundle_json_that_is_wrong(folder: Path, change: dict[str, object], message: str) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match=message):
        Bundle.open(folder)


def test_no_bundle_and_half_a_bundle(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle here.*python -m export"):
        Bundle.open(tmp_path / "nowhere")
    text = (folder / "bundle.json").read_text()
    (folder / "bundle.json").write_text(text[: len(text) // 2])
    with pytest.raises(BundleError, match="damaged"):
        Bundle.open(folder)


def test_a_path_out_of_the_bundle_is_refused(folder: Path) -> None:
    path = folder / "bundle.json"
    about = json.loads(path.read_text())
    about["files"]["../secret"] = "0" * 64
    path.write_text(json.dumps(about))
    with pytest.raises(BundleError, match="outside of the bundle"):
        Bundle.open(folder).verify()


def test_what_the_bundle_lacks_is_named(folder: Path) -> None:
    path = folder / "bundle.json"
    about = json.loads(path.read_text())
    del about["files"]["model.int8.onnx"]
    path.write_text(json.dumps(about))
    bundle = Bundle.open(folder)
    with pytest.raises(BundleError, match=r"no model.int8.onnx in this bundle; it holds model.fp32.onnx"):
        bundle.predictor(precision="int8")
    with pytest.raises(BundleError, match="no runtime called 'tflite'"):
        bundle.predictor("tflite")
    with pytest.raises(BundleError, match=r"shape \(5,\); this model takes 661500 mono samples"):
        bundle.predictor()(np.zeros(5, np.float32))


def test_predicting_imports_neither_torch_nor_executorch(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; import numpy as np; from pocketmood.bundle import Bundle; "
        f"b = Bundle.open(Path({str(folder)!r})); print(b.predictor()(np.zeros(b.samples, np.float32))); "
        "sys.exit(bool({'torch', 'executorch', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Emotion(" in done.stdout, done.stderr


def test_executorch_missing_is_said_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "executorch.runtime", None)
    with pytest.raises(BundleError, match=r"pocketmood\[export\]"):
        Bundle.open(folder).predictor("executorch")
