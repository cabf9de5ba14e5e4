"""A teacher stage made up for tests: predictions near the ratings, in the layout that the real teacher writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from pocketmood.data.run_folder import RunFolder
from pocketmood.predictions import Predictions, write_predictions
from pocketmood.runs import Stage, write_json
from pocketmood.spec import MelSpec

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
