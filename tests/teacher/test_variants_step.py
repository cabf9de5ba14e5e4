"""The teacher stage with variants of its training songs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pocketmood.data.clips import ClipStore
from pocketmood.data.split import Split
from pocketmood.errors import ConfigError
from pocketmood.runs import read_stage
from pocketmood.training import vary
from pocketmood.training.variants import VariantsConfig
from teacher import training_set
from teacher.presets import PRESETS
from teacher.stage import run

SMOKE = PRESETS["smoke"]
CONFIG = replace(
    SMOKE,
    synthetic=0,
    baseline=False,
    variants=VariantsConfig(1, 1.2, 0.0),
    training=replace(SMOKE.training, schedule=replace(SMOKE.training.schedule, epochs=1)),
)


@pytest.mark.slow
def test_variants_are_of_training_songs_alone_and_belong_to_what_the_vit_was_trained_on(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("librosa")
    heard = []
    dataset = training_set.CropDataset

    def listening(*args: object) -> training_set.CropDataset:
        heard.append(dataset(*args))
        return heard[-1]

    monkeypatch.setattr(training_set, "CropDataset", listening)
    config = replace(CONFIG, run=tiny_run)
    run(config)
    teacher, split = tiny_run / "teacher", Split.load(tiny_run / "data" / "split.json")
    made = ClipStore.open(teacher / "variants")
    assert made.ids == [f"{song}#1" for song in split.train]
    assert [rows for (rows,) in heard[0].variant_rows] == list(range(len(split.train)))
    assert read_stage(teacher / "vit").inputs["variants"] == read_stage(teacher / "variants").fingerprint

    # Without variants the step is what it was before there were any: no word of them in what it was made from.
    run(replace(config, variants=VariantsConfig()))
    assert set(read_stage(teacher / "vit").inputs) == {"data", "synthetic"} and heard[1].variants is None
    assert not (teacher / "variants").exists()


def test_without_librosa_nothing_is_trained(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vary, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install librosa"):
        run(replace(CONFIG, run=tiny_run))
    assert not (tiny_run / "teacher.part").exists()
