"""A data stage small enough for a test: sounds whose labels can be heard in them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketmood.data.clips import Clip, ClipStore
from pocketmood.data.record import CorpusRecord, DataRecord, SplitSizes
from pocketmood.emotion import Emotion
from pocketmood.runs import Stage, write_json
from pocketmood.spec import MelSpec

SONGS = 24


def wave(label: Emotion, rng: np.random.Generator, spec: MelSpec) -> NDArray[np.float32]:
    """Arousal is loudness and pulse rate, valence is pitch; a little noise keeps every clip its own."""
    time_s = np.arange(spec.samples) / spec.sample_rate
    pitch_hz = 440 * 2 ** (1.5 * label.valence + rng.normal(0, 0.02))
    pulse = 0.6 + 0.4 * np.sign(np.sin(2 * np.pi * 2 ** (1 + label.arousal) * time_s))
    tone = np.sin(2 * np.pi * pitch_hz * time_s) + 0.5 * np.sin(4 * np.pi * pitch_hz * time_s)
    sound = 0.2 * 10 ** (0.5 * label.arousal) * pulse * tone + 0.003 * rng.standard_normal(spec.samples)
    return sound.astype(np.float32)


def make_data(run: Path, songs: int = SONGS, seed: int = 0) -> Path:
    """Write `run/data` as the data stage leaves it: a store, a split of 16 / 4 / 4 (in proportion), a stage record."""
    spec, rng = MelSpec(), np.random.default_rng(seed)
    points = rng.uniform(-0.7, 0.7, (songs, 2))
    clips = [
        Clip(str(row + 2), None, Emotion(*map(float, point)), Emotion(0.3, 0.35), f"artist {row}", corpus="tiny")
        for row, point in enumerate(points)
    ]
    stage = Stage(run, "data", {"maker": "tests.helpers.tiny", "songs": songs, "seed": seed})
    with stage.work() as folder:
        ClipStore.write(folder / "store", clips, (wave(clip.label, rng, spec) for clip in clips if clip.label), spec)
        ids, held = [clip.id for clip in clips], max(songs // 6, 1)
        parts = {"train": ids[: -2 * held], "validation": ids[-2 * held : -held], "test": ids[-held:]}
        write_json(folder / "split.json", {**parts, "seed": seed, "by": "song"})
        sizes = SplitSizes(*map(len, parts.values()), "song")
        corpus = CorpusRecord("tiny", "tests.helpers.tiny", songs, "tones made for tests", synthetic_labels=True)
        record = DataRecord((corpus,), 0, 0, sizes)
        stage.record |= asdict(record)
    return run
