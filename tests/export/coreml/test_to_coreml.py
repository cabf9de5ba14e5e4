"""CoreML: what a saved package holds, whichever its precision, and what its reader says where there is no Mac."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import coremltools
import numpy as np
import pytest

from export.coreml import to_coreml
from export.rewrite import for_coreml
from pocketmood.errors import ExportError
from pocketmood.mel import BLOCKS
from tests.helpers import export_fixtures as tiny


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("coreml") / "model.fp32.mlpackage"
    to_coreml.write(for_coreml(tiny.pipeline()), tiny.SPEC.samples, path, tiny.promise())
    return path


def test_carries_the_contract(written: Path) -> None:
    _, contract = to_coreml.read_program(written)
    assert {name: contract.get(name) for name in tiny.promise()} == {k: str(v) for k, v in tiny.promise().items()}


def test_holds_nothing_but_the_program_and_its_weights(written: Path) -> None:
    files = sorted(path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file())
    data = "Data/com.apple.CoreML"
    assert files == [f"{data}/model.mlmodel", f"{data}/weights/weight.bin", "Manifest.json"]
    assert b"export/pipeline.py" not in (written / data / "model.mlmodel").read_bytes()  # no path of this machine


def test_the_program_is_written_in_the_same_order_every_time(written: Path) -> None:
    program = (written / "Data" / "com.apple.CoreML" / "model.mlmodel").read_bytes()
    assert coremltools.utils.load_spec(str(written)).SerializeToString(deterministic=True) == program


def test_parts_have_the_same_names_every_time(written: Path) -> None:
    manifest = json.loads((written / "Manifest.json").read_text())
    assert manifest["rootModelIdentifier"] in manifest["itemInfoEntries"]
    names = sorted(manifest["itemInfoEntries"])
    to_coreml._same_names_every_time(written / "Manifest.json")
    assert sorted(json.loads((written / "Manifest.json").read_text())["itemInfoEntries"]) == names


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac can run CoreML programs")
def test_reader_says_that_only_a_mac_runs_it(written: Path) -> None:
    with pytest.raises(ExportError, match="macOS only"):
        to_coreml.read(written)


@pytest.mark.slow
def test_the_front_end_is_float32_and_whole_in_every_precision(exported_run: Path) -> None:
    wanted = for_coreml(tiny.pipeline()).front.state_dict()
    for name in ("fp32", "fp16", "int8", "palette6", "w8a8"):
        path = exported_run / "bundle" / f"model.{name}.mlpackage"
        main = to_coreml.read_program(path)[0].functions["main"]
        constants = {o.outputs[0].name: o.outputs[0].val for o in main.operations if o.op_type == "const"}
        values = [value for value in constants.values() if getattr(value, "dtype", None) == np.float32]
        for key in ("window", "first.weight", "second", *(f"filters.{block}.weight" for block in range(BLOCKS))):
            exact = [value for value in values if np.array_equal(value, wanted[key].numpy())]
            assert exact, f"{name}: no float32 constant holds {key}"


@pytest.mark.slow
def test_float16_begins_behind_the_spectrogram_and_ends_before_the_prediction(exported_run: Path) -> None:
    main = to_coreml.read_program(exported_run / "bundle" / "model.fp16.mlpackage")[0].functions["main"]
    types = [(o.op_type, o.outputs[0].dtype.get_bitwidth()) for o in main.operations if o.op_type != "const"]
    log, first = types.index(("log", 32)), types.index(("conv", 16))
    assert [bits for _, bits in types[: log + 1]] == [32] * (log + 1)
    network = [bits for kind, bits in types[first:] if kind != "cast"]
    assert network == [16] * len(network) and len(network) > 30
    assert [output.dtype.get_bitwidth() for output in main.outputs] == [32, 32]
