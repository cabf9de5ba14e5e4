"""A teacher stage made up for tests: predictions near the ratings, in the layout that the real teacher writes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from pocketmood.data.run_folder import RunFolder
from pocketmood.predictions import Predictions, write_predictions
from pocketmood.runs import Stage, write_json
from pocketmood.spec import MelSpec
from teacher.gan.record import SyntheticRecord

CROPS = [[0, 256], [0, 64], [320, 64], [640, 64], [960, 64]]
FEATURES = 12


def make_teacher(run: Path, seed: int = 0, ids: list[str] | None = None) -> Path:
    """Write `run/teacher`: soft targets of the training clips (or `ids`), predictions of teacher and floor."""
    rng = np.random.default_rng(seed)
    made = RunFolder(run)
    store, split = made.store, made.split
    stage = Stage(run, "teacher", {"seed": seed}, {"data": made.fingerprint("data")})
    mixing = rng.normal(size=(2, FEATURES))
    with stage.work() as folder:
        clips = list(split.train) if ids is None else ids
        emotion = np.nan_to_num(store.labels(clips))[:, None] + rng.normal(0, 0.05, (len(clips), len(CROPS), 2))
        table = {
            "emotion": emotion.astype(np.float32),
            "rater_sd": np.full(emotion.shape, 0.4, np.float32),
            "features": np.tanh(emotion @ mixing).astype(np.float32),
        }
        (folder / "soft_targets").mkdir(exist_ok=True)
        save_file(table, folder / "soft_targets" / "soft_targets.safetensors")
        facts = {"ids": clips, "crops": CROPS, "stride": 5, "frames": 256, "spec_hash": MelSpec().hash}
        write_json(folder / "soft_targets" / "soft_targets.json", {**facts, "teacher": "made up"})
        part_of = split.part_of()
        rated = list(part_of)
        labels = store.labels(rated)
        for name, noise in (("predictions", 0.1), ("floor", 0.3)):
            emotion = labels + rng.normal(0, noise, labels.shape)
            predictions = Predictions(tuple(rated), tuple(part_of.values()), emotion, labels)
            write_predictions(folder / f"{name}.csv", predictions)
    return run


def make_synthetic(run: Path, count: int = 6, seed: int = 0) -> Path:
    """Add synthetic clips and their soft targets to the made-up teacher of a run, as one whose gate accepted them."""
    rng = np.random.default_rng([seed, count])
    folder = RunFolder(run).folder("teacher")
    drawn, table = folder / "synthetic", folder / "synthetic_soft_targets"
    for made in (drawn, table):
        made.mkdir()
    spec, frames = MelSpec(), 1292
    rng.uniform(-1, 1, (count, 1, spec.bands, frames)).astype("<f2").tofile(drawn / "mels.f16")
    rng.uniform(-0.7, 0.7, (count, 2)).astype("<f4").tofile(drawn / "labels.f32")
    record = SyntheticRecord(count, spec.bands, frames, seed, spec.hash, "made up")
    write_json(drawn / "synthetic.json", asdict(record))

    shape = (count, len(CROPS))
    values = {"emotion": rng.uniform(-1, 1, (*shape, 2)), "rater_sd": np.full((*shape, 2), 0.4)}
    values["features"] = rng.normal(size=(*shape, FEATURES))
    save_file({name: value.astype(np.float32) for name, value in values.items()}, table / "soft_targets.safetensors")
    facts = {"ids": [f"synthetic-{row + 1:05d}" for row in range(count)], "crops": CROPS, "stride": 5, "frames": 256}
    write_json(table / "soft_targets.json", {**facts, "spec_hash": spec.hash, "teacher": "made up"})
    return run
