"""ExecuTorch: the shared bundle's programs, read back with the runtime of the Python wheel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.executorch import to_executorch
from export.predict import in_torch
from pocketmood.runs import read_json
from tests.helpers import export_fixtures as tiny

pytestmark = pytest.mark.slow


def test_predicts_like_pytorch(exported_run: Path) -> None:
    path = exported_run / "bundle" / "model.fp32.pte"
    ours, theirs = in_torch(tiny.pipeline()), to_executorch.read(path, threads=1)
    pairs = [(theirs(wave), ours(wave)) for wave in tiny.waves(3)]  # all kept: buffers must not be shared
    for found, wanted in pairs:
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["model.fp32.pte", "model.int8.pte"])
def test_carries_the_contract(exported_run: Path, name: str) -> None:
    assert to_executorch.read_contract(exported_run / "bundle" / name) == tiny.promise()


@pytest.mark.parametrize("name", ["model.fp32.pte", "model.int8.pte"])
def test_is_one_subgraph_with_the_front_end_inside(exported_run: Path, name: str) -> None:
    records = {record["artefact"]: record for record in read_json(exported_run / "bundle" / "parity.json")}
    assert (records[name]["delegated_subgraphs"], records[name]["undelegated_ops"]) == (1, 0)
    assert records[name]["planned_bytes"] > 4 * tiny.SPEC.samples
